"""CRLs: what is refused in words, look-up at speed, never back."""

from __future__ import annotations

import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.crl import Crl, check_successor, read_crl
from pki.der import integer
from pki.errors import CrlRefused
from tests.pki_maker import DAY, NOW, root


def point(**options: object) -> x509.IssuingDistributionPoint:
    values: dict[str, object] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**(values | options))  # type: ignore[arg-type]


ODD = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


@pytest.mark.parametrize(
    ("extension", "words"),
    [
        (point(only_contains_attribute_certs=True), "attribute certificates"),
        (ODD, r"critical extension 1\.2\.3\.4"),
    ],
)
def test_kinds_that_say_nothing_about_certificates(
    extension: x509.ExtensionType, words: str
) -> None:
    with pytest.raises(CrlRefused, match=words):
        Crl(root().crl(extra=((extension, True),)))


def test_critical_entry_extension() -> None:
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(5)
        .revocation_date(NOW)
        .add_extension(ODD, critical=True)
        .build()
    )
    ca = root()
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.cert.subject)
    builder = builder.last_update(NOW).next_update(NOW + DAY).add_revoked_certificate(entry)
    from cryptography.hazmat.primitives import hashes

    der = builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.DER)
    with pytest.raises(CrlRefused, match="an entry has the critical extension"):
        Crl(der)


def test_garbage_and_pem() -> None:
    ca = root()
    der = ca.crl(5)
    pem = x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)
    assert read_crl(pem).der == read_crl(der).der == der
    for bad in (b"", b"<html>", der[:-1], der + b"\0", ca.der, b"-----BEGIN X509 CRL-----\nx"):
        with pytest.raises(CrlRefused):
            read_crl(bad)


def test_signature_is_checked_for_name_and_key() -> None:
    ca, other = root(), root("Other")
    crl = Crl(ca.crl())
    from pki.certificate import ParsedCertificate

    assert crl.signed_by(ParsedCertificate(ca.der))
    assert not crl.signed_by(ParsedCertificate(other.der))
    broken = bytearray(ca.crl())
    broken[-1] ^= 1
    assert not Crl(bytes(broken)).signed_by(ParsedCertificate(ca.der))


def test_never_back() -> None:
    ca = root()
    old = Crl(ca.crl(5))
    check_successor(Crl(ca.crl(6)), old)
    check_successor(old, old)
    for bad in (ca.crl(4), ca.crl(None), ca.crl(6, start=NOW - 2 * DAY)):
        with pytest.raises(CrlRefused, match="known already"):
            check_successor(Crl(bad), old)


@pytest.mark.parametrize("serial", [0, 1, 127, 128, 255, 256, 2**63, 2**159 - 1, -1, -128, -129])
def test_integers_as_der_writes_them(serial: int) -> None:
    from asn1crypto import core

    assert integer(serial) == core.Integer(serial).dump()


def test_two_hundred_thousand_entries_in_milliseconds() -> None:
    """The entry look-up needs no index: one search through the bytes."""
    ca = root()
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.cert.subject)
    builder = builder.last_update(NOW).next_update(NOW + DAY)
    entries = [
        x509.RevokedCertificateBuilder()
        .serial_number(2**120 + 7 * number)
        .revocation_date(NOW - DAY)
        .build()
        for number in range(200_000)
    ]
    builder._revoked_certificates = entries  # adding one by one copies the list each time
    from cryptography.hazmat.primitives import hashes

    der = builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.DER)
    start = time.process_time()
    crl = Crl(der)
    loaded = time.process_time() - start
    start = time.process_time()
    assert all(
        crl.entries.find(2**120 + 7 * number + 1, crl.issuer) is None for number in range(20)
    )
    absent = (time.process_time() - start) / 20
    start = time.process_time()
    assert crl.entries.find(2**120 + 7 * 199_999, crl.issuer) is not None
    present = time.process_time() - start
    assert loaded < 0.5
    assert absent < 0.02
    assert present < 0.5
