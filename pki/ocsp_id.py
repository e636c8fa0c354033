"""CertID: how OCSP names a certificate (RFC 6960 §4.1.1). Pure.

The hashes only name: what a CertID with SHA-1 names is decided by comparing with the issuer that
the path has, so that a collision would need a CA of ours to make it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pki import ber
from pki.ber import Element
from pki.certificate import ParsedCertificate
from pki.der import integer
from pki.der_writing import octets, sequence

SHA1, SHA256 = "1.3.14.3.2.26", "2.16.840.1.101.3.4.2.1"
_DIGESTS = {
    SHA1: "sha1",
    SHA256: "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}


@dataclass(frozen=True, slots=True)
class CertId:
    """hashAlgorithm (an OID), issuerNameHash, issuerKeyHash, serialNumber."""

    algorithm: str
    name_hash: bytes
    key_hash: bytes
    serial: int

    @classmethod
    def of(cls, element: Element) -> CertId:
        """From a response. Raises ValueError."""
        if len(element.children) != 4:
            raise ValueError("a CertID has four parts")
        algorithm = ber.dotted(element[0].expect(ber.SEQUENCE)[0])
        name, key = (element[number].expect(ber.OCTET_STRING).content for number in (1, 2))
        serial = element[3].expect(ber.INTEGER).content
        if not 1 <= len(serial) <= 21:  # RFC 5280 §4.1.2.2: 20 octets, and one for the sign
            raise ValueError("a serial number has more than 20 octets")
        return cls(algorithm, name, key, int.from_bytes(serial, "big", signed=True))

    @classmethod
    def naming(
        cls, cert: ParsedCertificate, issuer: ParsedCertificate, algorithm: str = SHA256
    ) -> CertId:
        """What names `cert`, issued by `issuer`."""
        name = _name_of_issuer(cert)
        return cls(algorithm, _digest(algorithm, name), key_hash(issuer, algorithm), cert.serial)

    def names(self, cert: ParsedCertificate, issuer: ParsedCertificate) -> bool:
        """Whether this is `cert`: serial, name and key of its issuer, all three."""
        if self.serial != cert.serial or self.algorithm not in _DIGESTS:
            return False
        if cert.issuer != issuer.subject:
            return False
        return self == CertId.naming(cert, issuer, self.algorithm)

    def der(self) -> bytes:
        """As it stands in a request."""
        # NULL parameters: RFC 5754 §2 leaves them out, but old responders look for the octets
        # that every client has sent since RFC 2560.
        oid = _OID_DER[self.algorithm] + b"\x05\x00"
        return sequence(
            sequence(oid), octets(self.name_hash), octets(self.key_hash),
            integer(self.serial),
        )  # fmt: skip


_OID_DER = {
    SHA1: bytes.fromhex("06052b0e03021a"),
    SHA256: bytes.fromhex("0609608648016503040201"),
}


def key_hash(cert: ParsedCertificate, algorithm: str = SHA1) -> bytes:
    """Hash of a certificate's key: the BIT STRING without tag, length, number of unused bits."""
    tbs = _tbs(cert)
    # version and serial number may be one or two elements: count from the issuer's name on.
    key = tbs[_first_name(tbs) + 3].expect(ber.SEQUENCE)[1]
    return _digest(algorithm, key.content[1:])


def _name_of_issuer(cert: ParsedCertificate) -> bytes:
    """DER of the issuer's name as it stands in the certificate: encoded anew it may differ."""
    tbs = _tbs(cert)
    return tbs[_first_name(tbs)].raw


def _tbs(cert: ParsedCertificate) -> Element:
    return ber.read(cert.x509.tbs_certificate_bytes)


def _first_name(tbs: Element) -> int:
    """Where the issuer stands: behind [0] version (absent in v1), serial number, signature."""
    return 3 if tbs[0].tag == 0xA0 else 2


def _digest(algorithm: str, data: bytes) -> bytes:
    return hashlib.new(_DIGESTS[algorithm], data, usedforsecurity=False).digest()
