"""Which client certificates prove something, and for whom."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.senders.clients import ClientEntry, Clients
from pki.certificate import ParsedCertificate
from pki.crl import Crl
from pki.errors import PkiError
from pki.path import Material
from tests.pki_maker import DAY, NOW, Authority, Issued, dn, root

CA, OTHER = root("Clients CA"), root("Other CA")
AUTH = (ExtendedKeyUsageOID.CLIENT_AUTH,)


def client(ca: Authority, *emails: str, dns: tuple[str, ...] = (), **more: object) -> Issued:
    names = tuple(x509.DNSName(each) for each in dns)
    return ca.issue("client", emails=emails, other_names=names, extended=AUTH, **more)  # type: ignore[arg-type]


def entry(name: str, *, ca: Authority = CA, **more: object) -> ClientEntry:
    return ClientEntry(name, (ParsedCertificate(ca.der),), **more)  # type: ignore[arg-type]


def material(*ders: bytes) -> Material:
    return Material((), (), [Crl(der) for der in ders])


def test_by_fingerprint_no_crl_is_needed_but_one_that_revokes_counts() -> None:
    mine = client(CA, "crm@a.example")
    clients = Clients([entry("crm", fingerprints=frozenset({mine.sha256}))])
    found = clients.identify(mine.der, material(), NOW)
    assert (found.method, found.name, found.addresses, found.certificate) == (
        "client-certificate", "crm", ("crm@a.example",), mine.sha256,
    )  # fmt: skip
    CA.revoked[mine.cert.serial_number] = (NOW - DAY, "keyCompromise")
    with pytest.raises(PkiError) as refused:
        clients.identify(mine.der, material(CA.crl()), NOW)
    assert refused.value.problem.code == "revocation.revoked"


@pytest.mark.parametrize(
    ("pattern", "emails", "dns", "fits"),
    [
        ("crm.a.example", (), ("crm.a.example",), True),
        ("crm.a.example", (), ("CRM.a.example",), True),
        ("crm.a.example", (), ("crm.a.example.evil.example",), False),
        ("crm.a.example", (), ("*.a.example",), False),
        ("*.apps.a.example", (), ("one.apps.a.example",), True),
        ("*.apps.a.example", (), ("apps.a.example",), False),
        ("*.apps.a.example", (), ("evilapps.a.example",), False),
        ("*.apps.a.example", (), ("*.apps.a.example",), False),
        ("anna@a.example", ("Anna@A.example",), (), True),
        ("anna@a.example", ("bruno@a.example",), (), False),
        ("@a.example", ("bruno@a.example",), (), True),
        ("@a.example", ("bruno@sub.a.example",), (), False),
        ("@a.example", (), ("a.example",), False),
        ("crm.a.example", ("x@crm.a.example",), (), False),
    ],
)
def test_by_name(
    pattern: str, emails: tuple[str, ...], dns: tuple[str, ...], *, fits: bool
) -> None:
    shown = client(CA, *emails, dns=dns)
    clients = Clients([entry("crm", names=(pattern,))])
    if fits:
        assert clients.identify(shown.der, material(CA.crl()), NOW).name == "crm"
    else:
        with pytest.raises(PkiError) as refused:
            clients.identify(shown.der, material(CA.crl()), NOW)
        assert refused.value.problem.code == "identity.client"


def test_an_address_in_the_subject_is_no_name() -> None:
    shown = CA.issue(dn("client", email="anna@a.example"), extended=AUTH,
                     emails=("x@a.example",))  # fmt: skip
    with pytest.raises(PkiError):
        Clients([entry("anna", names=("anna@a.example",))]).identify(
            shown.der, material(CA.crl()), NOW
        )
    pinned = Clients([entry("anna", fingerprints=frozenset({shown.sha256}))])
    assert pinned.identify(shown.der, material(), NOW).addresses == ("x@a.example",)


def test_by_name_a_crl_is_needed_and_a_fresh_one() -> None:
    shown = client(CA, dns=("crm.a.example",))
    clients = Clients([entry("crm", names=("crm.a.example",))])
    for crls, code in (
        (material(), "revocation.missing"),
        (material(CA.crl(start=NOW - 9 * DAY, end=NOW - DAY)), "revocation.stale"),
        (material(OTHER.crl()), "revocation.missing"),
    ):
        with pytest.raises(PkiError) as refused:
            clients.identify(shown.der, crls, NOW)
        assert refused.value.problem.code == code
    lenient = Clients([entry("crm", names=("crm.a.example",), unsafe_no_revocation=True)])
    assert lenient.identify(shown.der, material(), NOW).name == "crm"


def test_each_entry_has_its_own_ca() -> None:
    """OpenSSL is given all of them together: a name under the wrong one proves nothing."""
    shown = client(OTHER, dns=("crm.a.example",))
    clients = Clients(
        [
            entry("crm", names=("crm.a.example",), unsafe_no_revocation=True),
            entry("others", ca=OTHER, names=("*.b.example",), unsafe_no_revocation=True),
        ]
    )
    with pytest.raises(PkiError):
        clients.identify(shown.der, material(), NOW)


def test_a_ca_of_the_same_name_is_another_ca() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    impostor = root("Clients CA", kind="ec")
    assert impostor.cert.subject == CA.cert.subject
    assert isinstance(impostor.key, ec.EllipticCurvePrivateKey)
    shown = client(impostor, dns=("crm.a.example",))
    clients = Clients([entry("crm", names=("crm.a.example",), unsafe_no_revocation=True)])
    with pytest.raises(PkiError):
        clients.identify(shown.der, material(), NOW)


def test_a_resumed_session_does_not_outlive_the_certificate() -> None:
    mine = client(CA, end=NOW + DAY)
    clients = Clients([entry("crm", fingerprints=frozenset({mine.sha256}))])
    assert clients.identify(mine.der, material(), NOW).name == "crm"
    with pytest.raises(PkiError):
        clients.identify(mine.der, material(), NOW + timedelta(days=2))
