"""Entries of a CRL behind their protocol: from DER, or from elsewhere with the header alone."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from pki.certificate import ParsedCertificate
from pki.crl import Crl
from pki.crl_entries import Entries, Entry, header_octets
from pki.errors import CrlRefused
from pki.names import NameKey
from tests.pki_maker import DAY, NOW, Authority, root


class Table:
    """What an index is to a CRL."""

    def __init__(self, found: dict[int, Entry]) -> None:
        self._found = found

    def find(self, serial: int, issuer: NameKey) -> Entry | None:
        return self._found.get(serial)

    def __len__(self) -> int:
        return len(self._found)


def with_entries(ca: Authority, count: int) -> bytes:
    for serial in range(count):
        ca.revoked[serial + 1] = (NOW - DAY, "superseded")
    point = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
    return ca.crl(7, extra=((point, True),))


def from_header(der: bytes, entries: Entries, *keys: bytes) -> Crl:
    verified = [hashlib.sha256(key).hexdigest() for key in keys]
    return Crl.from_header(
        header_octets(der),
        entries,
        sha256=hashlib.sha256(der).hexdigest(),
        verified_keys=verified,
    )


@pytest.mark.parametrize("count", [0, 1, 3, 9, 700])
def test_header_says_what_the_whole_says(count: int) -> None:
    ca = root()
    der = with_entries(ca, count)
    whole = Crl(der)
    table = Table({5: Entry(NOW, "keyCompromise")})
    head = from_header(der, table)
    assert len(header_octets(der)) < 600
    names = (
        "sha256",
        "issuer",
        "number",
        "this_update",
        "next_update",
        "scope",
        "series",
    )
    assert [getattr(head, name) for name in names] == [getattr(whole, name) for name in names]
    assert (len(whole.entries), len(head.entries)) == (count, 1)
    assert head.entries.find(5, head.issuer) == Entry(NOW, "keyCompromise")
    with pytest.raises(ValueError, match="not in memory"):
        _ = head.der


def test_header_is_believed_for_verified_keys_only() -> None:
    """The signature in the header was made over octets that are not there."""
    ca, other = ParsedCertificate(root().der), ParsedCertificate(root("Other").der)
    der = with_entries(root(), 2)
    assert from_header(der, Table({}), ca.spki).signed_by(ca)
    assert not from_header(der, Table({}), other.spki).signed_by(ca)
    assert not from_header(der, Table({}), other.spki).signed_by(other)  # not the issuer's name
    assert not from_header(der, Table({})).signed_by(ca)
    # And the header of a CRL is no way to a shorter CRL with a valid signature.
    assert not Crl(header_octets(der)).signed_by(ca)


def test_refused_by_its_header_as_by_the_whole() -> None:
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    der = root().crl(extra=((odd, True),))
    with pytest.raises(CrlRefused, match=r"critical extension 1\.2\.3\.4"):
        from_header(der, Table({}))


def test_entry_with_invalidity_date_and_without_reason() -> None:
    ca = root()
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.cert.subject)
    builder = builder.last_update(NOW).next_update(NOW + DAY)
    plain = x509.RevokedCertificateBuilder().serial_number(5).revocation_date(NOW)
    dated = x509.RevokedCertificateBuilder().serial_number(6).revocation_date(NOW)
    dated = dated.add_extension(x509.InvalidityDate(NOW - 9 * DAY), critical=False)
    for entry in (plain, dated):
        builder = builder.add_revoked_certificate(entry.build())
    crl = Crl(builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.DER))
    assert crl.entries.find(5, crl.issuer) == Entry(NOW, "")
    assert crl.entries.find(6, crl.issuer) == Entry(NOW, "", NOW - 9 * DAY)
    assert crl.entries.find(7, crl.issuer) is None
    assert crl.entries.find(5, ParsedCertificate(root("Other").der).subject) is None
