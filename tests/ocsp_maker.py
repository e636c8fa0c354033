"""Answers as an OCSP responder would make them, and as a forger would. DER by hand, so that
everything can be wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki.certificate import ParsedCertificate
from pki.der_writing import element, octets, sequence
from pki.ocsp_id import SHA256, CertId, key_hash
from tests.pki_maker import DAY, NOW, Authority, Issued, key, usage

_BASIC = bytes.fromhex("06092b0601050507300101")
_NONCE = bytes.fromhex("06092b0601050507300102")
_RSA_SHA256 = bytes.fromhex("300d06092a864886f70d01010b0500")
_EC_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def responder(
    ca: Authority,
    name: str = "Responder",
    *,
    nocheck: bool = True,
    extended: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.OCSP_SIGNING,),
    **more: Any,
) -> Issued:
    """A delegated responder of `ca` (RFC 6960 §4.2.2.2)."""
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = more.pop("extra", ())
    if nocheck:
        extra = (*extra, (x509.OCSPNoCheck(), False))
    more.setdefault("key_usage", usage("digital_signature"))
    return ca.issue(
        name, extended=extended, extra=extra, subject_key=key(f"responder {name}"), **more
    )


@dataclass(frozen=True)
class Answer:
    """One response. by: who signs. cert_id: of another certificate than `cert`."""

    cert: Issued
    ca: Authority
    by: Issued
    status: str = "good"
    this_update: datetime = NOW - timedelta(hours=1)
    next_update: datetime | None = NOW + DAY
    produced_at: datetime = NOW - timedelta(hours=1)
    revoked_at: datetime = NOW - DAY
    reason: int | None = 1
    algorithm: str = SHA256
    cert_id: CertId | None = None
    by_key: bool = True
    name: x509.Name | None = None
    nonce: bytes | None = None
    certificates: tuple[Issued, ...] | None = None
    extensions: tuple[bytes, ...] = ()
    more: tuple[Answer, ...] = ()  # further SingleResponses
    signing_key: Any = None

    def but(self, **changes: Any) -> Answer:
        """The same but for."""
        return replace(self, **changes)

    def der(self) -> bytes:
        """OCSPResponse."""
        data = b""
        if self.by_key:
            data += element(0xA2, octets(key_hash(ParsedCertificate(self.by.der))))
        else:
            data += element(0xA1, (self.name or self.by.cert.subject).public_bytes())
        data += _time(self.produced_at)
        data += sequence(self._single(), *(one._single() for one in self.more))
        extensions = list(self.extensions)
        if self.nonce is not None:
            extensions.append(sequence(_NONCE, octets(octets(self.nonce))))
        if extensions:
            data += element(0xA1, sequence(*extensions))
        tbs = sequence(data)
        private = self.signing_key or self.by.key
        if isinstance(private, ec.EllipticCurvePrivateKey):
            algorithm, signature = _EC_SHA256, private.sign(tbs, ec.ECDSA(hashes.SHA256()))
        else:
            signature = private.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
            algorithm = _RSA_SHA256
        certificates = (self.by,) if self.certificates is None else self.certificates
        basic = tbs + algorithm + element(0x03, b"\0" + signature)
        if certificates:
            basic += element(0xA0, sequence(*(one.der for one in certificates)))
        return wrapped(sequence(basic))

    def _single(self) -> bytes:
        cert_id = self.cert_id or CertId.naming(
            ParsedCertificate(self.cert.der), ParsedCertificate(self.ca.der), self.algorithm
        )
        if self.status == "revoked":
            info = _time(self.revoked_at)
            if self.reason is not None:
                info += element(0xA0, bytes((0x0A, 1, self.reason)))
            status = element(0xA1, info)
        else:
            status = {"good": b"\x80\0", "unknown": b"\x82\0"}[self.status]
        body = cert_id.der() + status + _time(self.this_update)
        if self.next_update is not None:
            body += element(0xA0, _time(self.next_update))
        return sequence(body)


def wrapped(basic: bytes) -> bytes:
    """A BasicOCSPResponse as an OCSPResponse."""
    return sequence(b"\x0a\x01\x00", element(0xA0, sequence(_BASIC, octets(basic))))


def error(status: int) -> bytes:
    """A response without content."""
    return sequence(bytes((0x0A, 1, status)))


def _time(moment: datetime) -> bytes:
    return element(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode())
