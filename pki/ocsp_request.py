"""OCSP requests (RFC 6960 §4.1), with a nonce of 32 octets (RFC 9654 §2.1). Pure."""

from __future__ import annotations

from pki.certificate import ParsedCertificate
from pki.der_writing import element, octets, sequence
from pki.ocsp_id import SHA256, CertId

NONCE_OCTETS = 32  # RFC 9654 §2.1: what clients should send; 1 to 128 may be sent

_OID_NONCE = bytes.fromhex("06092b0601050507300102")


def request(
    cert: ParsedCertificate,
    issuer: ParsedCertificate,
    *,
    nonce: bytes | None = None,
    algorithm: str = SHA256,
) -> bytes:
    """DER of an unsigned request about one certificate.

    algorithm: OID of the digest in the CertID, `pki.ocsp_id.SHA256` or SHA1 (responders of
    RFC 5019 know SHA-1 only; it names, it protects nothing).
    Raises ValueError for a nonce of another size than 1 to 128 octets.
    """
    if nonce is not None and not 1 <= len(nonce) <= 128:
        raise ValueError("a nonce has 1 to 128 octets (RFC 9654 §2.1)")
    one = sequence(CertId.naming(cert, issuer, algorithm).der())
    fields = sequence(one)  # requestList
    if nonce is not None:
        extension = sequence(_OID_NONCE, octets(octets(nonce)))
        fields += element(0xA2, sequence(extension))  # [2] requestExtensions
    return sequence(sequence(fields))  # OCSPRequest { tbsRequest }
