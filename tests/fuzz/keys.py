"""Keys that are the same in every run, so that an input found once can be replayed for ever.

They are made up for this and protect nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

START, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2090, 1, 1, tzinfo=UTC)
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)  # of every judgement
AUTHOR = "alice@example.org"
RECIPIENT = "bob@example.net"
_SERIAL = 77  # of all: what is found may hang on it

_P = int(
    "fdda57bbfc3c7ea6ca47192d1d854ecbdd3d8b909e495f42bda45c4587a5a993cce5a656f09e9dcc"
    "4e7a32793bc5de1f5c8cffd6186d0134f45bd7ffa1e2fc62d671f19c4a007cc625cc6b134e527be9"
    "87d93b5377d49057173ccd6c4de69ab76308cfca8c7e72fc0db31059fcadc376818dcfc6f42252f1"
    "5c9387977342dd8b",
    16,
)
_Q = int(
    "f8a65c5491cd72049ba5a44502873254b1a89740bcd7aed865086ae282ace90a1ccfdad41cab2adf"
    "89576338aefb6f05319285966fe3644c0d8357b3c6fea10d95d7e59a62363b2b27336077345850bd"
    "f2dfc96867c5249fbe4c394ab5e2071035085d4ff34d1ec9b8ec2013c8bb002f0b45aa5b5c401508"
    "d9774699e288d57b",
    16,
)

Public = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | x25519.X25519PublicKey


@cache
def root_key() -> ec.EllipticCurvePrivateKey:
    """Of the one trust anchor."""
    return ec.derive_private_key(11, ec.SECP256R1())


@cache
def curve_key() -> ec.EllipticCurvePrivateKey:
    """Of the author, who signs with it, and of a recipient."""
    return ec.derive_private_key(12, ec.SECP256R1())


@cache
def montgomery_key() -> x25519.X25519PrivateKey:
    """Of a recipient."""
    return x25519.X25519PrivateKey.from_private_bytes(bytes(range(32)))


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """Of a recipient."""
    exponent = 65537
    private = rsa.rsa_recover_private_exponent(exponent, _P, _Q)
    return rsa.RSAPrivateNumbers(
        _P, _Q, private,
        rsa.rsa_crt_dmp1(private, _P), rsa.rsa_crt_dmq1(private, _Q), rsa.rsa_crt_iqmp(_P, _Q),
        rsa.RSAPublicNumbers(exponent, _P * _Q),
    ).private_key()  # fmt: skip


def certificate(public: Public, address: str | None = None) -> x509.Certificate:
    """By the root; of a person with that address, or without one of the root itself."""
    person = address is not None
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(address or "Root"))
        .issuer_name(_name("Root"))
        .public_key(public)
        .serial_number(_SERIAL)
        .not_valid_before(START)
        .not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=not person, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key().public_key()),
            critical=False,
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=person and isinstance(public, ec.EllipticCurvePublicKey),
                content_commitment=False,
                key_encipherment=isinstance(public, rsa.RSAPublicKey),
                data_encipherment=False,
                key_agreement=person and not isinstance(public, rsa.RSAPublicKey),
                key_cert_sign=not person,
                crl_sign=not person,
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
    return builder.sign(root_key(), hashes.SHA256())


def der(made: x509.Certificate) -> bytes:
    """Its octets."""
    return made.public_bytes(Encoding.DER)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
