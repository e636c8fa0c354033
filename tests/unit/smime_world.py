"""A small PKI and mails for the S/MIME tests, made once a run; and OpenSSL as the judge."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x448, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.smime.algorithms import KeyManagement
from gateway.smime.encrypt import Recipient
from pki.keys import KeySigner
from pki.models import CheckedCertificate, Purpose

NOW = datetime.now(UTC).replace(microsecond=0)

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Agreeing = Key | x25519.X25519PrivateKey | x448.X448PrivateKey

MAIL = (
    b"Received: from client.example.org\r\n"
    b"From: Alice <alice@example.org>\r\n"
    b"To: bob@example.net\r\n"
    b"Subject: =?utf-8?q?R=C3=A9union?=\r\n"
    b"Date: %s\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain;\r\n charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n"
    b"\r\n" + "Bonjour, à demain : éèà.\r\nFrom here on.\r\n".encode()
) % NOW.strftime("%a, %d %b %Y %H:%M:%S +0000").encode()


@dataclass(frozen=True)
class Identity:
    """A key, its certificate, and who issued it."""

    address: str
    key: Agreeing
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def signer(self) -> KeySigner:
        chain = tuple(one.public_bytes(serialization.Encoding.DER) for one in self.chain)
        assert isinstance(self.key, Key)
        return KeySigner(self.key, self.der, chain)

    def checked(
        self, capabilities: tuple[str, ...] = (), purpose: Purpose = Purpose.ENCRYPT
    ) -> CheckedCertificate:
        """As a test needs it: no check was made."""
        return CheckedCertificate(
            certificate=self.certificate,
            der=self.der,
            sha256=self.certificate.fingerprint(hashes.SHA256()).hex(),
            address=self.address,
            purpose=purpose,
            moment=NOW,
            path=(),
            anchor="",
            revocation=(),
            source="test",
            capabilities=capabilities,
            unchecked=True,
        )

    def recipient(self, transport: KeyManagement) -> Recipient:
        return Recipient(self.checked(), transport)

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """PEM files of certificate and key."""
        cert, key = folder / f"{name}.pem", folder / f"{name}.key"
        cert.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        key.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return cert, key

    def write_p12(self, path: Path, password: bytes, root: x509.Certificate) -> Path:
        """PKCS#12 in the old encryption, which every NSS and gpgsm reads."""
        old = (
            serialization.PrivateFormat.PKCS12.encryption_builder()
            .kdf_rounds(2048)
            .key_cert_algorithm(serialization.pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
            .hmac_hash(hashes.SHA1())
            .build(password)
        )
        assert isinstance(self.key, Key)
        path.write_bytes(
            serialization.pkcs12.serialize_key_and_certificates(
                self.address.encode(), self.key, self.certificate, [*self.chain, root], old
            )
        )
        return path


def _name(text: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ministère d’essai"),
            x509.NameAttribute(NameOID.COMMON_NAME, text),
        ]
    )


def _issue(
    subject: str, key: Agreeing, issuer: str, issuer_key: rsa.RSAPrivateKey, address: str | None
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=2))
        .not_valid_after(NOW + timedelta(days=300))
        .add_extension(x509.BasicConstraints(ca=address is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=address is not None,
                content_commitment=False,
                key_encipherment=address is not None and isinstance(key, rsa.RSAPrivateKey),
                data_encipherment=False,
                key_agreement=address is not None and not isinstance(key, rsa.RSAPrivateKey),
                key_cert_sign=address is None,
                crl_sign=address is None,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if address is not None:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.RFC822Name(address)]), critical=False
        ).add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
    return builder.sign(issuer_key, hashes.SHA256())


class World:
    """Root, intermediate, and people with RSA and EC keys: `alice`, `bob`, `carol`…"""

    def __init__(self) -> None:
        root_key = rsa.generate_private_key(65537, 2048)
        middle_key = rsa.generate_private_key(65537, 2048)
        self.root = _issue("Racine d’essai", root_key, "Racine d’essai", root_key, None)
        self.middle = _issue("AC d’essai", middle_key, "Racine d’essai", root_key, None)
        self._middle_key = middle_key
        self.alice = self._person("alice@example.org", rsa.generate_private_key(65537, 3072))
        self.bob = self._person("bob@example.net", rsa.generate_private_key(65537, 3072))
        self.erin = self._person("alice@example.org", ec.generate_private_key(ec.SECP256R1()))
        self.curves = {
            curve.name: self._person(f"{curve.name}@example.net", ec.generate_private_key(curve))
            for curve in (
                ec.SECP256R1(),
                ec.SECP384R1(),
                ec.SECP521R1(),
                ec.BrainpoolP256R1(),
                ec.BrainpoolP384R1(),
                ec.BrainpoolP512R1(),
            )
        }
        self.odd_curve = self._person("odd@example.net", ec.generate_private_key(ec.SECP256K1()))
        self.yves = self._person("alice@example.org", ed25519.Ed25519PrivateKey.generate())
        self.xavier = self._person("xavier@example.net", x25519.X25519PrivateKey.generate())
        self.xenia = self._person("xenia@example.net", x448.X448PrivateKey.generate())

    def _person(self, address: str, key: Agreeing) -> Identity:
        certificate = _issue(f"Titulaire {address}", key, "AC d’essai", self._middle_key, address)
        return Identity(address, key, certificate, (self.middle,))

    def write_cas(self, folder: Path) -> Path:
        path = folder / "ca.pem"
        path.write_bytes(
            b"".join(
                one.public_bytes(serialization.Encoding.PEM) for one in (self.root, self.middle)
            )
        )
        return path


@cache
def world() -> World:
    return World()


def at_home(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> Path:
    """The folder as the place of a command in English, with the files of these people."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LC_ALL", "C")
    for name in names:
        getattr(world(), name).write(folder, name)
    return folder


def openssl_verify(folder: Path, mail: bytes, *options: str) -> bytes:
    """The content that `openssl cms -verify` vouches for; raises if it does not."""
    source, target = folder / "verify.eml", folder / "verified"
    source.write_bytes(mail)
    ca = world().write_cas(folder)
    _openssl(
        "cms", "-verify", "-in", source, "-CAfile", ca, "-out", target,
        "-purpose", "smimesign", *options,
    )  # fmt: skip
    return target.read_bytes()


def openssl_decrypt(folder: Path, mail: bytes, owner: Identity) -> bytes:
    source, target = folder / "decrypt.eml", folder / "decrypted"
    source.write_bytes(mail)
    cert, key = owner.write(folder, "owner")
    _openssl("cms", "-decrypt", "-in", source, "-recip", cert, "-inkey", key, "-out", target)
    return target.read_bytes()


def _openssl(*arguments: object) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
