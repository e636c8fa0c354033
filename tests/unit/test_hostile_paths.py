"""Certificates made to cost hours or to slip through: bounded, and refused with a reason."""

from __future__ import annotations

import pytest
from cryptography import x509

from pki.addresses import SMTP_UTF8_MAILBOX
from pki.certificate import MAX_OCTETS, ParsedCertificate
from pki.errors import CertificateRefused
from pki.path import Material, Revocation, find_path
from tests.pace import at_most
from tests.pki_maker import NOW, Authority, Issued, root

ROOT = root()


def path(cert: Issued, *above: Authority) -> str:
    """ "" or the code of the problem."""
    try:
        find_path(
            ParsedCertificate(cert.der),
            Material([ROOT.anchor()], [one.der for one in above]),
            moment=NOW,
            revocation=Revocation.OFF,
        )
    except CertificateRefused as error:
        return error.problem.code
    return ""


def constrained(
    name: str,
    *,
    permitted: list[x509.GeneralName] | None = None,
    excluded: list[x509.GeneralName] | None = None,
    parent: Authority = ROOT,
) -> Authority:
    return parent.sub(name, extra=((x509.NameConstraints(permitted, excluded), True),))


def other_names(cert_of: Authority, *names: x509.GeneralName) -> Issued:
    return cert_of.issue("Marie", other_names=names)


def dns(text: str) -> x509.DNSName:
    return x509.DNSName._init_without_validation(text)


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier._init_without_validation(text)


def test_names_times_constraints_are_bounded() -> None:
    """Threat F13: both certificates are below the limit of octets, their product is not."""
    far = [x509.RFC822Name(f"h{number}.b.example") for number in range(3000)]
    ca = constrained("Full CA", excluded=far)  # type: ignore[arg-type]
    many = tuple(f"m{number}@a.example" for number in range(3000))
    cert = ca.issue("Marie", emails=many)
    assert max(len(cert.der), len(ca.der)) < MAX_OCTETS
    with at_most(2):
        assert path(cert, ca) == "limits.names"
    assert path(ca.issue("Marie", emails=many[:10]), ca) == ""


def policies(count: int, *, start: int = 0) -> x509.CertificatePolicies:
    return x509.CertificatePolicies(
        [
            x509.PolicyInformation(x509.ObjectIdentifier(f"1.2.3.{start + number}"), None)
            for number in range(count)
        ]
    )


def test_policies_times_policies_are_quick() -> None:
    """RFC 9618 §3.1 bounds the graph; looking through it again and again would not be."""
    extra = ((policies(5000), False),)
    first = ROOT.sub("First", extra=extra)
    second = first.sub("Second", extra=extra)
    cert = second.issue("Marie", extra=extra)
    with at_most(2):
        assert path(cert, first, second) == ""


@pytest.mark.parametrize(
    ("base", "name", "inside"),
    [
        (dns("a.example"), dns("a.example"), True),
        (dns("a.example"), dns("Host.A.example"), True),
        (dns("a.example"), dns("ba.example"), False),
        (dns(".a.example"), dns("a.example"), False),
        (dns(".a.example"), dns("b.a.example"), True),
        (dns("a.example"), dns("*.a.example"), True),
        (uri("a.example"), uri("https://a.example/x"), True),
        (uri("a.example"), uri("https://b.a.example/x"), False),
        (uri(".a.example"), uri("https://b.a.example:8443/x"), True),
        (uri(".a.example"), uri("https://a.example/x"), False),
        (uri("a.example"), uri("https://a.example@evil.example/"), False),
        (uri("a.example"), uri("urn:oid:1.2.3"), False),  # §4.2.1.10: no host, so rejected
        (uri("a.example"), uri("https://192.0.2.1/"), False),
        (x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
         x509.RegisteredID(x509.ObjectIdentifier("1.2.3")), False),  # not processed: rejected
        (x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"),
         x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), False),
        (dns("a.example"), x509.RegisteredID(x509.ObjectIdentifier("1.2.3")), True),
    ],
)  # fmt: skip
def test_permitted(base: x509.GeneralName, name: x509.GeneralName, inside: bool) -> None:
    ca = constrained("Permitted CA", permitted=[base])
    assert path(other_names(ca, name), ca) == ("" if inside else "path.name-constraints")


@pytest.mark.parametrize(
    ("base", "name", "outside"),
    [
        (dns("a.example"), dns("b.example"), True),
        (dns("a.example"), dns("x.a.example"), False),
        (dns(".a.example"), dns("a.example"), False),
        (dns("x.a.example"), dns("*.a.example"), False),  # it stands for x.a.example, too
        (uri("a.example"), uri("https://b.example/"), True),
        (uri("a.example"), uri("https://a.example./"), False),
        (uri("a.example"), uri("urn:oid:1.2.3"), False),
        (x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
         x509.RegisteredID(x509.ObjectIdentifier("1.2.4")), False),
    ],
)  # fmt: skip
def test_excluded(base: x509.GeneralName, name: x509.GeneralName, outside: bool) -> None:
    ca = constrained("Excluding CA", excluded=[base])
    assert path(other_names(ca, name), ca) == ("" if outside else "path.name-constraints")


def test_constraint_on_smtp_utf8_mailboxes_lets_no_address_pass() -> None:
    """RFC 9598 §6: rfc822Name constrains them; a base of their own form has no meaning."""
    value = b"\x0c\x09a.example"
    base = x509.OtherName(SMTP_UTF8_MAILBOX, value)
    for ca in (constrained("P", permitted=[base]), constrained("E", excluded=[base])):
        assert path(ca.issue("Marie", emails=("marie@a.example",)), ca) == "path.name-constraints"
        assert path(other_names(ca, dns("a.example")), ca) == ""


@pytest.mark.parametrize(("tag", "sense"), [(0xA0, "permitted"), (0xA1, "excluded")])
@pytest.mark.parametrize("limit", [b"\x80\x01\x01", b"\x81\x01\x05"])
def test_subtrees_with_a_range_let_no_name_of_their_form_pass(
    tag: int, sense: str, limit: bytes
) -> None:
    """§4.2.1.10: minimum and maximum are processed, or the certificate is rejected."""

    def wrap(kind: int, content: bytes) -> bytes:
        return bytes((kind, len(content))) + content

    subtrees = wrap(0x30, wrap(0x82, b"a.example") + limit) + wrap(0x30, wrap(0x82, b"b.example"))
    value = wrap(0x30, wrap(tag, subtrees))
    extension = x509.UnrecognizedExtension(x509.NameConstraints.oid, value)
    ca = ROOT.sub(f"Ranged {sense}", extra=((extension, True),))
    assert path(other_names(ca, dns("a.example")), ca) == "path.name-constraints"
    inside = "b.example" if sense == "permitted" else "c.example"
    said = path(other_names(ca, dns(inside)), ca)
    assert said == ("" if sense == "permitted" else "path.name-constraints")
    assert path(ca.issue("Marie", emails=("marie@a.example",)), ca) == ""


def test_a_constraint_nested_beyond_reading_lets_no_name_of_its_form_pass() -> None:
    value = b"\x05\x00"
    for _ in range(40):
        value = bytes((0x30, len(value))) + value
    deep = x509.OtherName(x509.ObjectIdentifier("1.2.3"), value)
    ca = constrained("Deep CA", permitted=[dns("a.example"), deep])
    assert path(other_names(ca, dns("a.example")), ca) == "path.name-constraints"
