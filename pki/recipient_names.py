"""By what a RecipientInfo may call a key of ours (RFC 5652 §6.2.1), as keys of an index. Pure."""

from __future__ import annotations

import hashlib
import json

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from pki.certificate import ParsedCertificate
from pki.names import NameKey


def by_issuer(issuer: NameKey, serial: int) -> str:
    """issuerAndSerialNumber. Names that RFC 5280 §7.1 calls equal give the same."""
    prepared = json.dumps([sorted(rdn) for rdn in issuer], ensure_ascii=True)
    return _hashed("issuer", f"{serial:x} {prepared}".encode())


def by_key_identifier(octets: bytes) -> str:
    """subjectKeyIdentifier."""
    return _hashed("key", octets)


def names_of(certificate: ParsedCertificate) -> tuple[str, ...]:
    """All by which senders may call the key of a certificate: issuer and serial number, the key
    identifier of the extension, and SHA-1 of the key (RFC 5280 §4.2.1.2), which some compute.
    """
    identifiers = {certificate.subject_key_id or b"", _computed(certificate)} - {b""}
    return (
        by_issuer(certificate.issuer, certificate.serial),
        *sorted(by_key_identifier(one) for one in identifiers),
    )


def _computed(certificate: ParsedCertificate) -> bytes:
    try:
        public = certificate.x509.public_key()
        return x509.SubjectKeyIdentifier.from_public_key(public).digest
    except (ValueError, UnsupportedAlgorithm):
        return b""


def _hashed(kind: str, octets: bytes) -> str:
    return hashlib.sha256(b"sceau/recipient-name/1\0" + kind.encode() + b"\0" + octets).hexdigest()
