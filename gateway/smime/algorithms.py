"""The algorithms that the engine writes: names, object identifiers, encodings."""

from __future__ import annotations

from enum import Enum

from pki import der_writing as der
from pki.models import SignatureScheme

# Content types (RFC 5652 §4 to §6, RFC 5083 §2.1)
DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
ENVELOPED_DATA = "1.2.840.113549.1.7.3"
AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23"
COMPRESSED_DATA = "1.2.840.113549.1.9.16.1.9"  # RFC 3274 §1.1

# Attributes (RFC 5652 §11, RFC 8551 §2.5.2, RFC 5035 §3, RFC 6211 §2)
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
SMIME_CAPABILITIES = "1.2.840.113549.1.9.15"
SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
ALGORITHM_PROTECTION = "1.2.840.113549.1.9.52"

RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
RSAES_OAEP = "1.2.840.113549.1.1.7"
ZLIB = "1.2.840.113549.1.9.16.3.8"  # RFC 3274 §2; parameters absent
MGF1 = "1.2.840.113549.1.1.8"
RSASSA_PSS = "1.2.840.113549.1.1.10"
EC_PUBLIC_KEY = "1.2.840.10045.2.1"
ED25519 = "1.3.101.112"  # RFC 8410 §3
X25519, X448 = "1.3.101.110", "1.3.101.111"
STD_DH_HKDF_SHA256 = "1.2.840.113549.1.9.16.3.19"  # RFC 8418 §2.2
STD_DH_HKDF_SHA512 = "1.2.840.113549.1.9.16.3.21"
STD_DH_SHA256_KDF = "1.3.132.1.11.1"  # RFC 5753 §7.1.4
HKDF_SHA256 = "1.2.840.113549.1.9.16.3.28"  # RFC 8619 §2
ML_KEM_768, ML_KEM_1024 = "2.16.840.1.101.3.4.4.2", "2.16.840.1.101.3.4.4.3"
ORI_KEM = "1.2.840.113549.1.9.16.13.3"  # RFC 9629 §3
AES_256_WRAP = "2.16.840.1.101.3.4.1.45"

DIGESTS = {
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
MICALG = {"sha256": "sha-256", "sha384": "sha-384", "sha512": "sha-512"}  # RFC 8551 §3.5.3.2
_ECDSA = {
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
}
_DIGEST_SIZE = {"sha256": 32, "sha384": 48, "sha512": 64}
_NULL = b"\x05\x00"


class Cipher(Enum):
    """Content encryption. The value is the name on the command line and in records."""

    AES_256_CBC = "aes-256-cbc"
    AES_128_CBC = "aes-128-cbc"
    AES_256_GCM = "aes-256-gcm"
    AES_128_GCM = "aes-128-gcm"

    @property
    def authenticated(self) -> bool:
        """True for AuthEnvelopedData (RFC 5083), False for EnvelopedData."""
        return self in (Cipher.AES_256_GCM, Cipher.AES_128_GCM)

    @property
    def key_size(self) -> int:
        """Octets of the content key."""
        return 32 if self in (Cipher.AES_256_CBC, Cipher.AES_256_GCM) else 16

    @property
    def oid(self) -> str:
        """Object identifier (RFC 3565 §4.1, RFC 5084 §3.2); also its capability."""
        return CIPHER_OIDS[self]


CIPHER_OIDS = {
    Cipher.AES_256_CBC: "2.16.840.1.101.3.4.1.42",
    Cipher.AES_128_CBC: "2.16.840.1.101.3.4.1.2",
    Cipher.AES_256_GCM: "2.16.840.1.101.3.4.1.46",
    Cipher.AES_128_GCM: "2.16.840.1.101.3.4.1.6",
}


class KeyManagement(Enum):
    """How the content key reaches a recipient. The value is the name on the command line."""

    RSA_PKCS1 = "rsa-pkcs1"  # RFC 3370 §4.2.1
    RSA_OAEP = "rsa-oaep"  # RFC 3560, with SHA-256 throughout
    # RFC 5753, RFC 8418: ephemeral-static, a KDF with SHA-256 (X448: SHA-512), AES-256 wrap
    ECDH = "ecdh"
    ML_KEM = "ml-kem"  # RFC 9936, experimental: in the second of two envelopes


def digest_algorithm(digest: str) -> bytes:
    """AlgorithmIdentifier of a digest in CMS: parameters absent (RFC 5754 §2)."""
    return der.algorithm(DIGESTS[digest])


def signature_algorithm(scheme: SignatureScheme, digest: str) -> bytes:
    """AlgorithmIdentifier of a signature.

    RSA PKCS#1 v1.5 as rsaEncryption, which RFC 5754 §3.2 allows and every reader knows.
    """
    match scheme:
        case SignatureScheme.RSA_PKCS1:
            return der.algorithm(RSA_ENCRYPTION, _NULL)
        case SignatureScheme.RSA_PSS:
            salt = der.element(0xA2, der.integer(_DIGEST_SIZE[digest]))
            return der.algorithm(RSASSA_PSS, der.sequence(*_hash_and_mask(digest), salt))
        case SignatureScheme.ECDSA:
            return der.algorithm(_ECDSA[digest])
        case SignatureScheme.ED25519:
            return der.algorithm(ED25519)  # RFC 8419 §2.1: parameters absent


def oaep_algorithm() -> bytes:
    """RSAES-OAEP with SHA-256 for hash and mask, no label (RFC 4055 §4.1)."""
    return der.algorithm(RSAES_OAEP, der.sequence(*_hash_and_mask("sha256")))


def _hash_and_mask(digest: str) -> tuple[bytes, bytes]:
    # RFC 4055 §2.1: inside PSS and OAEP parameters the digest carries NULL.
    hashing = der.algorithm(DIGESTS[digest], _NULL)
    return der.element(0xA0, hashing), der.element(0xA1, der.algorithm(MGF1, hashing))
