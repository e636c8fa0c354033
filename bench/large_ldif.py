"""An LDIF of any number of people, as directories write themselves out: made in a minute.

One certificate is made by a library; the others are it with another serial number, name, address
and key, signed anew. Keys are numbers without a small factor, not products of two primes: what
reads a certificate cannot tell, and 200,000 real ones take an hour.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from math import gcd

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.demo.pki import Authority
from pki.der import element, signed_part
from pki.der_writing import sequence
from pki.weak_keys import SMALL_FACTORS

_BITS = 2048
_DIGITS = 6
_WIDTH = 76  # of a line, as `slapcat` folds it


class Crowd:
    """People below one CA with an EC key, each with two addresses, which the certificate has."""

    def __init__(self, authority: Authority, domain: str, *, moment: datetime) -> None:
        key = authority.credential.key
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("this CA signs too slowly for a hundred thousand people")
        self._key = key
        self._domain = domain
        self._chance = random.Random(domain)  # noqa: S311 - no secret
        self._serial = (1 << 126) - 1
        self._modulus = self._next_modulus()
        self._template = _template(
            authority, self._addresses(0), self._serial, self._modulus, moment=moment
        )

    def ldif(self, people: int) -> Iterator[bytes]:
        """The file, entry by entry."""
        yield b"version: 1\n\n"
        for number in range(people):
            yield self._entry(number)

    def _entry(self, number: int) -> bytes:
        lines = [
            f"dn: uid=agent.{number:0{_DIGITS}d},ou=people,dc=justice,dc=example",
            "objectClass: inetOrgPerson",
            f"cn: Agent {number:0{_DIGITS}d}",
            *(f"mail: {address}" for address in self._addresses(number)),
            "userCertificate;binary:: " + base64.b64encode(self.certificate(number)).decode(),
        ]
        return "".join(_folded(line) for line in lines).encode() + b"\n"

    def certificate(self, number: int) -> bytes:
        """DER; each is another one at each call."""
        tbs = signed_part(self._template)
        old, new = f"{0:0{_DIGITS}d}".encode(), f"{number:0{_DIGITS}d}".encode()
        serial = self._chance.getrandbits(126) | 1 << 125
        for before, after in (
            (self._serial.to_bytes(16, "big"), serial.to_bytes(16, "big")),
            (self._modulus.to_bytes(_BITS // 8, "big"), self._next_modulus().to_bytes(_BITS // 8)),
            (b"Agent " + old, b"Agent " + new),
            (b"agent." + old, b"agent." + new),
            (b"a" + old, b"a" + new),
        ):
            tbs = tbs.replace(before, after)
        start, _ = element(self._template, 0)
        _, end = element(self._template, start)
        algorithm = self._template[end : element(self._template, end)[1]]
        signature = b"\0" + self._key.sign(tbs, ec.ECDSA(hashes.SHA256()))
        return sequence(tbs + algorithm + bytes((0x03, len(signature))) + signature)

    def _addresses(self, number: int) -> tuple[str, str]:
        digits = f"{number:0{_DIGITS}d}"
        return f"agent.{digits}@{self._domain}", f"a{digits}@{self._domain}"

    def _next_modulus(self) -> int:
        while True:
            number = self._chance.getrandbits(_BITS) | 1 << (_BITS - 1) | 1
            if gcd(number, SMALL_FACTORS) == 1:
                return number


def _template(
    authority: Authority,
    addresses: tuple[str, ...],
    serial: int,
    modulus: int,
    *,
    moment: datetime,
) -> bytes:
    credential = authority.credential
    public = rsa.RSAPublicNumbers(65537, modulus).public_key()
    name = [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ministère fictif de la Justice"),
        x509.NameAttribute(NameOID.COMMON_NAME, f"Agent {0:0{_DIGITS}d}"),
    ]
    usage = dict.fromkeys(
        (
            "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign", "encipher_only",
            "decipher_only",
        ),
        False,
    )  # fmt: skip
    where = [x509.UniformResourceIdentifier(authority.crl_url)]
    builder = (
        x509.CertificateBuilder()
        .issuer_name(credential.certificate.subject)
        .subject_name(x509.Name(name))
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=365))
    )
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (
            x509.KeyUsage(
                digital_signature=True, content_commitment=True, key_encipherment=True, **usage
            ),
            True,
        ),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),
        (x509.SubjectAlternativeName([x509.RFC822Name(one) for one in addresses]), False),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
        (
            x509.AuthorityKeyIdentifier.from_issuer_public_key(credential.key.public_key()),
            False,
        ),
        (x509.CRLDistributionPoints([x509.DistributionPoint(where, None, None, None)]), False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(credential.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _folded(line: str) -> str:
    first, rest = line[:_WIDTH], line[_WIDTH:]
    size = _WIDTH - 1
    parts = [first, *(" " + rest[at : at + size] for at in range(0, len(rest), size))]
    return "\n".join(parts) + "\n"
