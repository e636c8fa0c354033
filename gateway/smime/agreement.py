"""KeyAgreeRecipientInfo, ephemeral-static (RFC 5652 §6.2.2, RFC 5753 §3.1, RFC 8418 §2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.smime import algorithms
from pki import der_writing as der

CURVES = frozenset(
    {
        "secp256r1",
        "secp384r1",
        "secp521r1",
        "brainpoolP256r1",
        "brainpoolP384r1",
        "brainpoolP512r1",
    }
)

Wrap = Callable[[bytes], bytes]

_KEK_SIZE = 32
_WRAP_ALGORITHM = der.algorithm(algorithms.AES_256_WRAP)
# ECC-CMS-SharedInfo (RFC 5753 §7.2): 256 bits of wrapping key, no ukm.
_SHARED_INFO = der.sequence(
    _WRAP_ALGORITHM, der.element(0xA2, der.octets((8 * _KEK_SIZE).to_bytes(4, "big")))
)


def agreement(public: ec.EllipticCurvePublicKey, name: bytes) -> Wrap:
    """What makes the RecipientInfo of a key on a prime curve, for a content key.

    name: IssuerAndSerialNumber of its certificate. The KDF is X9.63 with SHA-256 for all curves,
    which common readers know. Raises ValueError for a curve that is not in `CURVES`.
    """
    if public.curve.name not in CURVES:
        raise ValueError(f"cannot encrypt to a key on the curve {public.curve.name}")
    originator = der.algorithm(algorithms.EC_PUBLIC_KEY)
    scheme = der.algorithm(algorithms.STD_DH_SHA256_KDF, _WRAP_ALGORITHM)

    def wrap(key: bytes) -> bytes:
        ephemeral = ec.generate_private_key(public.curve)
        secret = ephemeral.exchange(ec.ECDH(), public)
        # X9.63 KDF (SEC 1 §3.6.1): one round gives all 32 octets.
        kek = hashlib.sha256(secret + b"\0\0\0\x01" + _SHARED_INFO).digest()
        point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return _recipient_info(originator, point, scheme, name, aes_key_wrap(kek, key))

    return wrap


def montgomery_agreement(public: x25519.X25519PublicKey | x448.X448PublicKey, name: bytes) -> Wrap:
    """The same for X25519 and X448 (RFC 8418): HKDF, with no salt where there is no ukm."""
    if isinstance(public, x25519.X25519PublicKey):
        originator = der.algorithm(algorithms.X25519)
        scheme = der.algorithm(algorithms.STD_DH_HKDF_SHA256, _WRAP_ALGORITHM)
    else:
        originator = der.algorithm(algorithms.X448)
        scheme = der.algorithm(algorithms.STD_DH_HKDF_SHA512, _WRAP_ALGORITHM)

    def wrap(key: bytes) -> bytes:
        # A public key of small order gives a secret of zeros; the library raises ValueError.
        if isinstance(public, x25519.X25519PublicKey):
            ephemeral = x25519.X25519PrivateKey.generate()
            secret, point = ephemeral.exchange(public), ephemeral.public_key().public_bytes_raw()
            kek = HKDF(SHA256(), _KEK_SIZE, None, _SHARED_INFO).derive(secret)
        else:
            other = x448.X448PrivateKey.generate()
            secret, point = other.exchange(public), other.public_key().public_bytes_raw()
            kek = HKDF(SHA512(), _KEK_SIZE, None, _SHARED_INFO).derive(secret)
        return _recipient_info(originator, point, scheme, name, aes_key_wrap(kek, key))

    return wrap


def _recipient_info(
    originator: bytes, point: bytes, scheme: bytes, name: bytes, wrapped: bytes
) -> bytes:
    return der.element(
        0xA1,
        der.integer(3),
        der.element(0xA0, der.element(0xA1, originator, der.element(der.BIT_STRING, b"\0", point))),
        scheme,
        der.sequence(der.sequence(name, der.octets(wrapped))),
    )
