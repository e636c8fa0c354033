"""EnvelopedData and AuthEnvelopedData over a MIME entity (RFC 8551 §3.3 and §3.4, RFC 5083)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x448, x25519
from cryptography.hazmat.primitives.ciphers import Cipher as _Cipher
from cryptography.hazmat.primitives.ciphers import algorithms as _ciphers
from cryptography.hazmat.primitives.ciphers import modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from gateway.smime import algorithms
from gateway.smime.agreement import agreement, montgomery_agreement
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.bulk import encrypt_large, enveloped_version
from gateway.smime.encapsulation import Public, encapsulation
from gateway.smime.hybrid import refuse_false_hybrid
from gateway.smime.names import issuer_and_serial
from gateway.smime.wrapping import LARGE, pkcs7_mime
from pki import der_writing as der
from pki.models import CheckedCertificate, Purpose

_NONCE, _TAG = 12, 16  # RFC 5084 §3.2; a shorter tag is easier to forge
_BLOCK = 16
_RSA = (KeyManagement.RSA_PKCS1, KeyManagement.RSA_OAEP)


@dataclass(frozen=True, slots=True)
class Recipient:
    """A checked certificate and how the content key reaches its owner."""

    certificate: CheckedCertificate
    transport: KeyManagement


def encrypt(
    entity: bytes, recipients: Sequence[Recipient], cipher: Cipher, *, before: bytes = b""
) -> bytes:
    """application/pkcs7-mime entity (fields, empty line, base64) that only the recipients open.

    before: octets that stand in front of it in what is returned: the fields of the mail.
    One RecipientInfo per certificate, in the order given; a certificate given twice counts once.
    Raises ValueError: no recipient, a certificate not checked for encryption, a transport that
    does not fit the certificate's key, a curve that is not among `agreement.CURVES`; FalseHybrid,
    for one person by ML-KEM and by a classical algorithm.
    """
    if not recipients:
        raise ValueError("nobody to encrypt to")
    for recipient in recipients:
        if recipient.certificate.purpose is not Purpose.ENCRYPT:
            raise ValueError(
                f"the certificate {recipient.certificate.sha256} was not checked for encryption"
            )
    refuse_false_hybrid((one.certificate, one.transport) for one in recipients)
    unique = dict.fromkeys((one.certificate.der, one.transport) for one in recipients)
    key = secrets.token_bytes(cipher.key_size)
    infos = [_wrapper(certificate, transport)(key) for certificate, transport in unique]
    if len(entity) > LARGE:
        return encrypt_large(entity, key, infos, cipher, before=before)
    if cipher.authenticated:
        return before + pkcs7_mime(
            "authEnveloped-data", _auth_enveloped(entity, key, infos, cipher)
        )
    return before + pkcs7_mime("enveloped-data", _enveloped(entity, key, infos, cipher))


def _enveloped(entity: bytes, key: bytes, infos: list[bytes], cipher: Cipher) -> bytes:
    """ContentInfo with an EnvelopedData (RFC 5652 §6.1), AES-CBC as RFC 3565."""
    iv = secrets.token_bytes(_BLOCK)
    encryptor = _Cipher(_ciphers.AES(key), modes.CBC(iv)).encryptor()
    whole = len(entity) - len(entity) % _BLOCK
    fill = _BLOCK - len(entity) + whole  # RFC 5652 §6.3: always at least one octet
    ciphertext = (
        encryptor.update(memoryview(entity)[:whole]),
        encryptor.update(entity[whole:] + bytes((fill,)) * fill),
        encryptor.finalize(),
    )
    return _content_info(
        algorithms.ENVELOPED_DATA,
        der.integer(enveloped_version(infos)),
        der.element(der.SET, *infos),
        *_encrypted_content(der.algorithm(cipher.oid, der.octets(iv)), ciphertext),
    )


def _auth_enveloped(entity: bytes, key: bytes, infos: list[bytes], cipher: Cipher) -> bytes:
    """ContentInfo with an AuthEnvelopedData (RFC 5083 §2.1), AES-GCM as RFC 5084 §3.2.

    No authAttrs: they are demanded only for content other than id-data, and then the additional
    data of GCM is empty.
    """
    nonce = secrets.token_bytes(_NONCE)
    sealed = memoryview(AESGCM(key).encrypt(nonce, entity, None))
    parameters = der.sequence(der.octets(nonce), der.integer(_TAG))
    return _content_info(
        algorithms.AUTH_ENVELOPED_DATA,
        der.integer(0),
        der.element(der.SET, *infos),
        *_encrypted_content(der.algorithm(cipher.oid, parameters), (sealed[:-_TAG],)),
        der.octets(sealed[-_TAG:]),
    )


def _encrypted_content(
    algorithm: bytes, ciphertext: Sequence[bytes | memoryview]
) -> list[bytes | memoryview]:
    """EncryptedContentInfo (RFC 5652 §6.1) in pieces, so that ciphertext is copied once only."""
    size = sum(map(len, ciphertext))
    start = der.oid(algorithms.DATA) + algorithm + der.header(0x80, size)
    return [der.header(der.SEQUENCE, len(start) + size), start, *ciphertext]


def _content_info(kind: str, *parts: bytes | memoryview) -> bytes:
    size = sum(map(len, parts))
    inner = der.header(der.SEQUENCE, size)
    middle = der.header(0xA0, len(inner) + size)
    name = der.oid(kind)
    outer = der.header(der.SEQUENCE, len(name) + len(middle) + len(inner) + size)
    return b"".join((outer, name, middle, inner, *parts))


# Bounded: a closure holds a parsed public key, a few kB, and directories name 200,000 people.
@lru_cache(maxsize=4096)
def _wrapper(certificate: bytes, transport: KeyManagement) -> Callable[[bytes], bytes]:
    """What makes the RecipientInfo for a content key: all that depends on the certificate is here.

    Raises ValueError where the transport does not fit the key.
    """
    key = x509.load_der_x509_certificate(certificate).public_key()
    name = issuer_and_serial(certificate)
    if isinstance(key, rsa.RSAPublicKey) and transport in _RSA:
        return _key_transport(key, name, transport)
    if isinstance(key, Public):
        if transport is KeyManagement.ML_KEM:
            return encapsulation(key, name)
    elif transport is KeyManagement.ECDH:
        if isinstance(key, ec.EllipticCurvePublicKey):
            return agreement(key, name)
        if isinstance(key, x25519.X25519PublicKey | x448.X448PublicKey):
            return montgomery_agreement(key, name)
    raise ValueError(f"{transport.value} does not fit the key of this certificate")


def _key_transport(
    public: rsa.RSAPublicKey, name: bytes, transport: KeyManagement
) -> Callable[[bytes], bytes]:
    """KeyTransRecipientInfo (RFC 5652 §6.2.1)."""
    pad: padding.AsymmetricPadding
    if transport is KeyManagement.RSA_OAEP:
        pad = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
        algorithm = algorithms.oaep_algorithm()
    else:
        pad = padding.PKCS1v15()
        algorithm = der.algorithm(algorithms.RSA_ENCRYPTION, b"\x05\x00")
    start = der.integer(0) + name + algorithm

    def wrap(key: bytes) -> bytes:
        return der.sequence(start, der.octets(public.encrypt(key, pad)))

    return wrap
