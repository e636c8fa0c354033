"""SMIMECapabilities (RFC 8551 §2.5.2): what a signer says that he can read, as plain data. Pure.

Said by whoever made the signature: nobody is encrypted to by weaker algorithms for it (threat S21).
"""

from __future__ import annotations

from typing import Any

from gateway.smime import cms
from gateway.smime.algorithms import CIPHER_OIDS, RSAES_OAEP, SMIME_CAPABILITIES
from gateway.smime.digests import DIGESTS
from pki import ber
from pki.ber import Element

__all__ = ["SMIME_CAPABILITIES", "capabilities"]

_LIMIT = 200  # capabilities; mail programs name ten

_AES = "2.16.840.1.101.3.4.1."
_NAMES = {
    **{oid: digest.name for oid, digest in DIGESTS.items()},
    **{oid: cipher.value for cipher, oid in CIPHER_OIDS.items()},
    _AES + "22": "aes-192-cbc",
    _AES + "26": "aes-192-gcm",
    _AES + "7": "aes-128-ccm",
    _AES + "27": "aes-192-ccm",
    _AES + "47": "aes-256-ccm",
    _AES + "5": "aes-128-wrap",
    _AES + "25": "aes-192-wrap",
    _AES + "45": "aes-256-wrap",
    "1.2.840.113549.1.9.16.3.18": "chacha20-poly1305",  # RFC 8103 §5
    "1.2.840.113549.3.7": "3des-cbc",
    "1.2.840.113549.3.2": "rc2-cbc",
    "1.3.14.3.2.7": "des-cbc",
    "1.2.840.113549.1.1.1": "rsa-pkcs1",
    RSAES_OAEP: "rsa-oaep",
    "1.2.840.113549.1.1.10": "rsa-pss",
    "1.2.840.113549.1.1.5": "rsa-pkcs1-sha1",
    "1.2.840.113549.1.1.11": "rsa-pkcs1-sha256",
    "1.2.840.113549.1.1.12": "rsa-pkcs1-sha384",
    "1.2.840.113549.1.1.13": "rsa-pkcs1-sha512",
    "1.2.840.10045.4.3.2": "ecdsa-sha256",
    "1.2.840.10045.4.3.3": "ecdsa-sha384",
    "1.2.840.10045.4.3.4": "ecdsa-sha512",
    "1.3.101.110": "x25519",
    "1.3.101.111": "x448",
    "1.3.101.112": "ed25519",
    "1.3.101.113": "ed448",
    "1.3.132.1.11.1": "ecdh-sha256kdf",
    "1.3.132.1.11.2": "ecdh-sha384kdf",
    "1.3.132.1.11.3": "ecdh-sha512kdf",
    "1.2.840.113549.1.9.16.3.8": "zlib",
    "1.2.840.113549.1.9.15.1": "preferSignedData",
    "1.2.840.113549.1.9.15.2": "canNotDecryptAny",
}
_RC2 = "1.2.840.113549.3.2"


def capabilities(value: Element) -> dict[str, Any]:
    """`capabilities`, in the signer's order of preference: `oid`, `name` (None for an unknown one),
    `bits` (of RC2, else None). Raises ValueError.
    """
    found = value.expect(ber.SEQUENCE).children
    if len(found) > _LIMIT:
        raise ValueError("there are too many capabilities")
    return {"capabilities": [_capability(one) for one in found]}


def _capability(element: Element) -> dict[str, Any]:
    parts = element.expect(ber.SEQUENCE).children
    if not 1 <= len(parts) <= 2:
        raise ValueError("an SMIMECapability has one or two parts")
    oid = ber.dotted(parts[0])
    bits = None
    if oid == _RC2 and len(parts) == 2:
        bits = cms.integer(parts[1])
        if not 0 < bits <= 1024:  # RFC 2268 §2
            raise ValueError("RC2 has no key of that size")
    return {"oid": oid, "name": _NAMES.get(oid), "bits": bits}
