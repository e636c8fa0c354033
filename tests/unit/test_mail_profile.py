"""Certificates for mail, one trap a case (RFC 8550 §4.4, threat S12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku

from pki.addresses import SMTP_UTF8_MAILBOX
from pki.errors import CannotJudge, CertificateRefused
from pki.models import Purpose
from pki.verdict import check
from tests.pki_maker import DAY, NOW, Authority, Issued, dn, key, root, usage

MARIE = "marie@a.example"
SIGN, ENCRYPT = Purpose.SIGN, Purpose.ENCRYPT


@dataclass
class Case:
    """What is asked. crls: None for a fresh one of each CA."""

    leaf: Issued
    cas: list[Authority]
    top: Authority
    purpose: Purpose = ENCRYPT
    address: str = MARIE
    moment: datetime = NOW
    crls: list[bytes] | None = None
    anchors: list[Authority] = field(default_factory=list)

    def verdict(self) -> str:
        """ "valid" or the code of the reason."""
        crls = [one.crl() for one in (self.top, *self.cas)] if self.crls is None else self.crls
        anchors = self.anchors or [self.top]
        try:
            check(
                self.leaf.der, address=self.address, purpose=self.purpose, moment=self.moment,
                anchors=[one.anchor() for one in anchors],
                intermediates=[one.der for one in self.cas], crls=crls, source="test",
            )  # fmt: skip
        except (CertificateRefused, CannotJudge) as error:
            return error.problem.code
        return "valid"


def eku(*usages: x509.ObjectIdentifier) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    return ((x509.ExtendedKeyUsage(usages), False),)


def names(
    *permitted: x509.GeneralName, excluded: tuple[x509.GeneralName, ...] = ()
) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    return ((x509.NameConstraints(permitted or None, excluded or None), True),)


def mail(text: str) -> x509.RFC822Name:
    return x509.RFC822Name(text)


def below(
    leaf: dict[str, Any] | None = None, case: dict[str, Any] | None = None, **ca: Any
) -> Case:
    """Root, one CA with these properties, a leaf with those."""
    top = root()
    issuing = top.sub("Issuing CA", **ca)
    made = issuing.issue(**{"name": "Marie", "emails": (MARIE,), **(leaf or {})})
    return Case(made, [issuing], top, **(case or {}))


def two_constraints() -> Case:
    """Each CA permits what the other does not: nothing is left."""
    top = root()
    upper = top.sub("Upper CA", extra=names(mail("a.example")))
    lower = upper.sub("Lower CA", extra=names(mail("b.example")))
    return Case(lower.issue("Marie", emails=(MARIE,)), [upper, lower], top)


def self_issued_leaf(address: str) -> Case:
    """A leaf with its CA's own name: RFC 5280 §6.1.3 (b) excepts self-issued CAs, never the last.

    A validator that skipped it (CVE-2026-71889) would let a cut-down CA make any address.
    """
    top = root()
    issuing = top.sub("Issuing CA", extra=names(mail("a.example")))
    leaf = issuing.issue(issuing.cert.subject, emails=(address,))
    return Case(leaf, [issuing], top, address=address)


def self_issued_between() -> Case:
    """The constraint stays when the CA changes its key in between."""
    top = root()
    issuing = top.sub("Issuing CA", extra=names(mail("a.example")))
    rolled = issuing.sub("Issuing CA", ca_key=key("rolled"))
    leaf = rolled.issue("Marie", emails=("marie@b.example",))
    return Case(leaf, [issuing, rolled], top, address="marie@b.example")


def crl_of_a_homonym() -> Case:
    """Another root certified a CA of the same name, which says that nobody is revoked."""
    case = below()
    other = root("Other Root")
    homonym = other.sub("Issuing CA", ca_key=key("homonym"))
    case.cas[0].revoke(case.leaf)
    case.crls = [case.top.crl(), homonym.crl(9)]
    case.cas.append(homonym)
    case.anchors = [case.top, other]
    return case


def crl_of_a_person() -> Case:
    """A leaf with the CA's name and cRLSign, made by another CA below the same root."""
    case = below()
    evil = case.top.sub("Evil CA")
    person = evil.issue(
        case.cas[0].cert.subject, key_usage=usage("crl_sign"), subject_key=key("person")
    )
    forged = Authority(person.cert, key("person")).crl(9, issuer=case.cas[0].cert.subject)
    case.crls = [case.top.crl(), evil.crl(), forged]
    case.cas.append(evil)
    return case


def path_length(length: int | None, deeper: int) -> Case:
    top = root()
    cas = [top.sub("CA 0", path_length=length)]
    for number in range(deeper):
        cas.append(cas[-1].sub(f"CA {number + 1}"))
    return Case(cas[-1].issue("Marie", emails=(MARIE,)), cas, top)


def pinned_person(**ca: Any) -> Case:
    """A partner's self-signed certificate is an anchor; his key makes one for somebody else."""
    person = root("Paul", extra=((x509.ExtendedKeyUsage([Eku.EMAIL_PROTECTION]), False),), **ca)
    return Case(person.issue("Marie", emails=(MARIE,)), [], person)


def utf8(address: str) -> x509.OtherName:
    return x509.OtherName(SMTP_UTF8_MAILBOX, core.UTF8String(address).dump())


CASES: dict[str, tuple[Callable[[], Case], str]] = {
    # extended key usage, along the whole path
    "CA for mail": (lambda: below(extra=eku(Eku.EMAIL_PROTECTION)), "valid"),
    "CA for anything": (lambda: below(extra=eku(Eku.ANY_EXTENDED_KEY_USAGE)), "valid"),
    "CA for web servers": (lambda: below(extra=eku(Eku.SERVER_AUTH)), "path.extended-key-usage"),
    "CA for web servers, leaf for anything": (
        lambda: below(
            {"extended": (Eku.ANY_EXTENDED_KEY_USAGE,)}, extra=eku(Eku.SERVER_AUTH, Eku.CLIENT_AUTH)
        ),
        "path.extended-key-usage",
    ),
    "CA for web servers and mail": (
        lambda: below(extra=eku(Eku.SERVER_AUTH, Eku.EMAIL_PROTECTION)),
        "valid",
    ),
    "leaf for time stamps": (
        lambda: below({"extended": (Eku.TIME_STAMPING,)}),
        "path.extended-key-usage",
    ),
    # key usage: one key to sign, one to encrypt
    "signs with an encryption certificate": (
        lambda: below({"key_usage": usage("key_encipherment")}, {"purpose": SIGN}),
        "path.key-usage",
    ),
    "encrypts to a signing certificate": (
        lambda: below({"key_usage": usage("digital_signature")}),
        "path.key-usage",
    ),
    "RSA with keyAgreement": (
        lambda: below({"key_usage": usage("key_agreement")}),
        "path.key-usage",
    ),
    "elliptic with keyAgreement": (
        lambda: below({"kind": "ec", "key_usage": usage("key_agreement")}),
        "valid",
    ),
    "a key that certifies only": (
        lambda: below({"key_usage": usage("key_cert_sign")}, {"purpose": SIGN}),
        "path.key-usage",
    ),
    "a curve that no table has": (
        lambda: below({"subject_key": ec.generate_private_key(ec.SECP256K1()), "kind": "ec"}),
        "algorithm.key",
    ),
    # name constraints for mail
    "excluded beats permitted": (
        lambda: below(extra=names(mail("a.example"), excluded=(mail(MARIE),))),
        "path.name-constraints",
    ),
    "permitted in both, not the same": (two_constraints, "path.name-constraints"),
    "hosts are constrained, mail is not": (
        lambda: below(extra=names(x509.DNSName("b.example"))),
        "valid",
    ),
    "one of two addresses is outside": (
        lambda: below({"emails": (MARIE, "marie@b.example")}, extra=names(mail("a.example"))),
        "path.name-constraints",
    ),
    "international address outside": (
        lambda: below({"other_names": (utf8("élodie@b.example"),)}, extra=names(mail("a.example"))),
        "path.name-constraints",
    ),
    "international address excluded": (
        lambda: below(
            {"other_names": (utf8("élodie@b.example"),)}, extra=names(excluded=(mail("b.example"),))
        ),
        "path.name-constraints",
    ),
    "address in the subject outside": (
        lambda: below(
            {"name": dn("Marie", email="marie@b.example")}, extra=names(mail("a.example"))
        ),
        "path.name-constraints",
    ),
    "subject outside of the organisation": (
        lambda: below(
            {"name": x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Marie")])},
            extra=names(x509.DirectoryName(x509.Name(list(dn("x"))[:1]))),
        ),
        "path.name-constraints",
    ),
    "self-issued leaf inside": (lambda: self_issued_leaf(MARIE), "valid"),
    "self-issued leaf outside": (
        lambda: self_issued_leaf("marie@b.example"),
        "path.name-constraints",
    ),
    "constraint above a key change": (self_issued_between, "path.name-constraints"),
    # lengths and dates
    "length 0, nothing below": (lambda: path_length(0, 0), "valid"),
    "length 0, one below": (lambda: path_length(0, 1), "path.length"),
    "length 1, two below": (lambda: path_length(1, 2), "path.length"),
    "the last second": (lambda: below({"end": NOW}), "valid"),
    "a second later": (
        lambda: below({"end": NOW}, {"moment": NOW + DAY / 86400}),
        "path.expired",
    ),
    # an anchor that is no CA
    "made by a pinned person": (lambda: pinned_person(ca=False), "path.not-a-ca"),
    "made by a key that may not sign certificates": (
        lambda: pinned_person(key_usage=usage("digital_signature", "crl_sign")),
        "path.not-a-ca",
    ),
    # who may speak of revocation
    "CRL of a CA of the same name": (crl_of_a_homonym, "revocation.signature"),
    "CRL of a person of the CA's name": (crl_of_a_person, "revocation.signature"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_mail_profile(name: str) -> None:
    make, expected = CASES[name]
    assert make().verdict() == expected
