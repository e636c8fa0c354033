"""Makes small certification authorities for tests. Keys are reused: making them is slow."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki.anchors import HARD_FAIL, Anchor
from pki.models import Purpose

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)

_USAGES = """digital_signature content_commitment key_encipherment data_encipherment key_agreement
key_cert_sign crl_sign encipher_only decipher_only"""

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def key(name: str, kind: str = "rsa") -> Key:
    """A key; the same name gives the same key."""
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    size = int(kind.removeprefix("rsa") or "2048")
    return rsa.generate_private_key(public_exponent=65537, key_size=size)


def dn(common_name: str, **more: str) -> x509.Name:
    """CN=…, O=Sceau Tests; email=… adds an emailAddress."""
    parts = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Sceau Tests"),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ]
    if "email" in more:
        parts.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, more["email"], _validate=False))
    return x509.Name(parts)


def usage(*names: str) -> x509.KeyUsage:
    """keyUsage with the bits named."""
    all_names = _USAGES.split()
    return x509.KeyUsage(**{name: name in names for name in all_names})


@dataclass
class Issued:
    """A certificate with its key."""

    cert: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        return self.cert.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.cert.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.der).hexdigest()

    def p12(self, password: bytes, *others: x509.Certificate) -> bytes:
        return pkcs12.serialize_key_and_certificates(
            b"key", self.key, self.cert, list(others), BestAvailableEncryption(password)
        )


@dataclass
class Authority(Issued):
    """A CA: issues certificates and CRLs."""

    revoked: dict[int, tuple[datetime, str]] = field(default_factory=dict)
    _serial: int = 1000

    def issue(
        self,
        name: x509.Name | str,
        *,
        emails: tuple[str, ...] = (),
        kind: str = "rsa",
        key_usage: x509.KeyUsage | None = None,
        extended: tuple[x509.ObjectIdentifier, ...] | None = (
            ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ),
        start: datetime = NOW - 30 * DAY,
        end: datetime = NOW + 300 * DAY,
        extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
        other_names: tuple[x509.GeneralName, ...] = (),
        digest: hashes.HashAlgorithm | None = None,
        subject_key: Any = None,
        default_usage: bool = True,
    ) -> Issued:
        subject_key = subject_key or key(f"leaf-{kind}", kind)
        names = [x509.RFC822Name._init_without_validation(mail) for mail in emails]
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True)
        ]
        if default_usage:
            wanted = ("key_agreement",) if kind == "ec" else ("key_encipherment",)
            extensions.append((key_usage or usage("digital_signature", *wanted), True))
        if extended is not None:
            extensions.append((x509.ExtendedKeyUsage(extended), False))
        if names or other_names:
            extensions.append((x509.SubjectAlternativeName([*names, *other_names]), False))
        cert = self._sign(
            name if isinstance(name, x509.Name) else dn(name),
            subject_key.public_key(),
            start,
            end,
            [*extensions, *extra],
            digest,
        )
        return Issued(cert, subject_key)

    def sub(
        self,
        name: str,
        *,
        path_length: int | None = None,
        start: datetime = NOW - 300 * DAY,
        end: datetime = NOW + 1000 * DAY,
        ca: bool = True,
        key_usage: x509.KeyUsage | None = None,
        extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
        ca_key: Key | None = None,
    ) -> Authority:
        ca_key = ca_key or key(name)
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=ca, path_length=path_length), True),
            (key_usage or usage("key_cert_sign", "crl_sign"), True),
            *extra,
        ]
        cert = self._sign(dn(name), ca_key.public_key(), start, end, extensions, None)
        return Authority(cert, ca_key)

    def revoke(
        self, issued: Issued, *, when: datetime = NOW - DAY, why: str = "keyCompromise"
    ) -> None:
        self.revoked[issued.cert.serial_number] = (when, why)

    def crl(
        self,
        number: int | None = 1,
        *,
        start: datetime = NOW - DAY,
        end: datetime = NOW + 7 * DAY,
        extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
        crl_key: Key | None = None,
        issuer: x509.Name | None = None,
    ) -> bytes:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer or self.cert.subject)
            .last_update(start)
            .next_update(end)
        )
        if number is not None:
            builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical)
        for serial, (when, why) in self.revoked.items():
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when)
            entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags(why)), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(crl_key or self.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def anchor(
        self,
        *,
        domains: tuple[str, ...] = (),
        purposes: frozenset[Purpose] = frozenset(Purpose),
        grace: timedelta = HARD_FAIL,
    ) -> Anchor:
        return Anchor("test root", self.der, self.sha256, purposes, domains, grace)

    def _sign(
        self,
        subject: x509.Name,
        public_key: Any,
        start: datetime,
        end: datetime,
        extensions: list[tuple[x509.ExtensionType, bool]],
        digest: hashes.HashAlgorithm | None,
    ) -> x509.Certificate:
        self._serial += 1
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.cert.subject)
            .public_key(public_key)
            .serial_number(self._serial)
            .not_valid_before(start)
            .not_valid_after(end)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, digest or hashes.SHA256())


def root(name: str = "Root", *, kind: str = "rsa", **more: Any) -> Authority:
    """A self-signed CA."""
    ca_key = key(name, kind)
    builder = (
        x509.CertificateBuilder()
        .subject_name(dn(name))
        .issuer_name(dn(name))
        .public_key(ca_key.public_key())
        .serial_number(1)
        .not_valid_before(more.get("start", NOW - 1000 * DAY))
        .not_valid_after(more.get("end", NOW + 5000 * DAY))
        .add_extension(x509.BasicConstraints(more.get("ca", True), more.get("path_length")), True)
        .add_extension(more.get("key_usage") or usage("key_cert_sign", "crl_sign"), True)
    )
    for extension, critical in more.get("extra", ()):
        builder = builder.add_extension(extension, critical)
    return Authority(builder.sign(ca_key, hashes.SHA256()), ca_key)
