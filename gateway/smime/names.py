"""How CMS names a certificate: issuerAndSerialNumber (RFC 5652 §10.2.4)."""

from __future__ import annotations

from functools import lru_cache

from pki import der_writing as der
from pki.der import children


def issuer_and_serial(certificate: bytes) -> bytes:
    """IssuerAndSerialNumber of a DER certificate, its octets taken over as they stand there.

    Raises ValueError if this is not a certificate.
    """
    issuer, serial = _issuer_serial(certificate)
    return der.sequence(issuer, serial)


def issuer_serial_general(certificate: bytes) -> bytes:
    """IssuerSerial as ESSCertIDv2 has it: the issuer as a GeneralNames (RFC 5035 §5)."""
    issuer, serial = _issuer_serial(certificate)
    return der.sequence(der.sequence(der.element(0xA4, issuer)), serial)


def issuer_octets(certificate: bytes) -> bytes:
    """The issuer of a DER certificate as it stands there. Raises ValueError."""
    return _issuer_serial(certificate)[0]


# The same people's certificates come with mail after mail.
@lru_cache(maxsize=512)
def _issuer_serial(certificate: bytes) -> tuple[bytes, bytes]:
    tbs = children(certificate)[0][1]
    fields = children(certificate, tbs)
    if fields[0][0] == 0xA0:  # version
        fields = fields[1:]
    serial, _, issuer = fields[:3]
    if serial[0] != der.INTEGER or issuer[0] != der.SEQUENCE:
        raise ValueError("this is not an X.509 certificate")
    return certificate[issuer[1] : issuer[2]], certificate[serial[1] : serial[2]]
