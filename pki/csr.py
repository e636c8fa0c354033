"""Certification requests (PKCS#10, RFC 2986) for mail certificates.

What is asked for: the mail addresses (rfc822Name, RFC 5280 §4.2.1.6; SmtpUTF8Mailbox, RFC 9598,
where a local part is not ASCII), keyUsage for what the key is to do, and emailProtection. What the
CA makes of it is its business, and is checked when the certificate is installed.

A request is signed by its key, which proves that whoever asks has it. Keys that cannot sign
(X25519, ML-KEM) have no request: their CA makes the certificate from the public key, and proves
possession its own way (RFC 4211 §4.2, RFC 9810).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Flag, auto

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki import der_writing as der
from pki.addresses import canonical
from pki.errors import PrivateKeyError, problem
from pki.models import SignatureScheme
from pki.own_keys import OwnKey

SMTP_UTF8_MAILBOX = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")  # RFC 9598 §3

_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)

Sign = Callable[[bytes], bytes]
_MLDSA = (
    (mldsa.MLDSA44PublicKey, "2.16.840.1.101.3.4.3.17"),
    (mldsa.MLDSA65PublicKey, "2.16.840.1.101.3.4.3.18"),
    (mldsa.MLDSA87PublicKey, "2.16.840.1.101.3.4.3.19"),
)


class Asks(Flag):
    """What the certificate is to be for."""

    SIGN = auto()
    OPEN = auto()


def subject_of(text: str | None, addresses: Sequence[str]) -> x509.Name:
    """The subject of a request: RFC 4514, else the first address as common name. Raises
    PrivateKeyError.
    """
    if text is None:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, addresses[0][:64])])
    try:
        return x509.Name.from_rfc4514_string(text)
    except ValueError:
        raise PrivateKeyError(
            problem(
                "structure.subject",
                "“{name}” is not a name: write CN=Marie Curie,O=Ministry,C=FR",
                name=text[:100],
            )
        ) from None


def request(
    public: object, sign: Sign, *, subject: x509.Name, addresses: Sequence[str], asks: Asks
) -> bytes:
    """DER of a request. sign: makes signatures with the key, as `scheme_of` says.

    Raises AddressError, PrivateKeyError (a key that cannot sign), and what `sign` raises.
    """
    algorithm = _algorithm(public)
    extensions = [
        (x509.KeyUsage(**_usage(public, asks)), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),
        (x509.SubjectAlternativeName([_general_name(one) for one in addresses]), False),
    ]
    requested = der.sequence(*(_extension(value, critical) for value, critical in extensions))
    attribute = der.sequence(_EXTENSION_REQUEST, der.set_of([requested]))
    info = der.sequence(
        der.integer(0), subject.public_bytes(), _spki(public), der.element(0xA0, attribute)
    )
    octets = der.sequence(info, algorithm, der.element(der.BIT_STRING, b"\x00", sign(info)))
    if not x509.load_der_x509_csr(octets).is_signature_valid:
        raise PrivateKeyError(
            problem("structure.key-broken", "the key signs what its own public key refuses")
        )
    return octets


def signs_by(key: OwnKey) -> Sign:
    """Makes the signature of a request with a key in memory. Raises PrivateKeyError."""
    match key:
        case rsa.RSAPrivateKey():
            return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        case ec.EllipticCurvePrivateKey():
            return lambda data: key.sign(data, ec.ECDSA(hashes.SHA256()))
        case ed25519.Ed25519PrivateKey():
            return key.sign
        case mldsa.MLDSA44PrivateKey() | mldsa.MLDSA65PrivateKey() | mldsa.MLDSA87PrivateKey():
            return key.sign
    raise cannot_ask()


def scheme_of(public: object) -> SignatureScheme:
    """By which scheme, with SHA-256, a token signs a request of this key. Raises
    PrivateKeyError.
    """
    if isinstance(public, rsa.RSAPublicKey):
        return SignatureScheme.RSA_PKCS1
    if isinstance(public, ec.EllipticCurvePublicKey):
        return SignatureScheme.ECDSA
    if isinstance(public, ed25519.Ed25519PublicKey):
        return SignatureScheme.ED25519
    raise cannot_ask()


def cannot_ask() -> PrivateKeyError:
    """That a key cannot sign its request, and what to do."""
    return PrivateKeyError(
        problem(
            "structure.key-cannot-sign",
            "this key cannot sign, so it has no certification request: give the CA its public "
            "key (--public), it makes the certificate from that",
        )
    )


def _algorithm(public: object) -> bytes:
    """AlgorithmIdentifier (RFC 4055 §5, RFC 5758 §3.2, RFC 8410 §3, RFC 9881 §2)."""
    if isinstance(public, rsa.RSAPublicKey):
        return der.algorithm("1.2.840.113549.1.1.11", der.element(der.NULL))
    if isinstance(public, ec.EllipticCurvePublicKey):
        return der.algorithm("1.2.840.10045.4.3.2")
    if isinstance(public, ed25519.Ed25519PublicKey):
        return der.algorithm("1.3.101.112")
    for kind, oid in _MLDSA:
        if isinstance(public, kind):
            return der.algorithm(oid)
    raise cannot_ask()


def _usage(public: object, asks: Asks) -> dict[str, bool]:
    named = set()
    if Asks.SIGN in asks:
        named.add("digital_signature")
    if Asks.OPEN in asks:
        agrees = isinstance(public, ec.EllipticCurvePublicKey)
        named.add("key_agreement" if agrees else "key_encipherment")
    return {bit: bit in named for bit in _USAGES}


def _general_name(address: str) -> x509.GeneralName:
    wanted = canonical(address)
    if wanted.isascii():
        return x509.RFC822Name(wanted)
    return x509.OtherName(SMTP_UTF8_MAILBOX, der.element(0x0C, wanted.encode("utf-8")))


def _extension(value: x509.ExtensionType, critical: bool) -> bytes:
    flag = b"\x01\x01\xff" if critical else b""
    octets = der.octets(value.public_bytes())
    return der.sequence(der.oid(value.oid.dotted_string), flag, octets)


def _spki(public: object) -> bytes:
    octets: bytes = public.public_bytes(  # type: ignore[attr-defined]
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return octets


_EXTENSION_REQUEST = der.oid("1.2.840.113549.1.9.14")  # RFC 2985 §5.4.2
