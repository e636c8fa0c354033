"""Taking a content key out of a key that wraps it (RFC 3394, 5649, 3217, 3211). Pure.

All of these tell by themselves whether what comes out is what was put in; how it failed is not
told to anybody.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_unwrap_with_padding,
)

from pki.decrypter import CannotDecrypt

TRIPLE_DES_WRAP = "1.2.840.113549.1.9.16.3.6"
_PADDED = {  # RFC 5649 §3
    "2.16.840.1.101.3.4.1.8": 16,
    "2.16.840.1.101.3.4.1.28": 24,
    "2.16.840.1.101.3.4.1.48": 32,
}
# Octets of the wrapping key (RFC 3565 §2.3.2, RFC 3217 §3).
WRAPS = {
    **_PADDED,
    "2.16.840.1.101.3.4.1.5": 16,
    "2.16.840.1.101.3.4.1.25": 24,
    "2.16.840.1.101.3.4.1.45": 32,
    TRIPLE_DES_WRAP: 24,
}
TRIPLE_DES_CBC = "1.2.840.113549.3.7"
# Ciphers for passwords (RFC 3211 §2.3), with the octets of their keys.
PASSWORD_CIPHERS = {
    "2.16.840.1.101.3.4.1.2": 16,
    "2.16.840.1.101.3.4.1.22": 24,
    "2.16.840.1.101.3.4.1.42": 32,
    TRIPLE_DES_CBC: 24,
}

_TRIPLE_DES_IV = bytes.fromhex("4adda22c79e82105")  # RFC 3217 §3.2


def unwrap(oid: str, kek: bytes, wrapped: bytes, size: int) -> bytes:
    """The key of `size` octets in `wrapped`. oid: of WRAPS. Raises CannotDecrypt."""
    if oid == TRIPLE_DES_WRAP:
        key = _triple_des(kek, wrapped)
    else:
        try:
            key = (aes_key_unwrap_with_padding if oid in _PADDED else aes_key_unwrap)(kek, wrapped)
        except (InvalidUnwrap, ValueError):
            raise CannotDecrypt from None
    if len(key) != size:
        raise CannotDecrypt
    return key


def _triple_des(kek: bytes, wrapped: bytes) -> bytes:
    """RFC 3217 §3.2. The parity of the octets is not looked at: it protects nothing."""
    if len(wrapped) != 40:
        raise CannotDecrypt
    outer = _cbc(TripleDES(kek), _TRIPLE_DES_IV, wrapped)[::-1]
    inner = _cbc(TripleDES(kek), outer[:8], outer[8:])
    key, check = inner[:24], inner[24:]
    if not hmac.compare_digest(hashlib.sha1(key, usedforsecurity=False).digest()[:8], check):
        raise CannotDecrypt
    return key


def unwrap_by_password(oid: str, kek: bytes, iv: bytes, wrapped: bytes, size: int) -> bytes:
    """The key of `size` octets in `wrapped` (RFC 3211 §2.3.2). oid: of PASSWORD_CIPHERS.

    Raises CannotDecrypt.
    """
    block = 8 if oid == TRIPLE_DES_CBC else 16
    if len(iv) != block or len(wrapped) < 2 * block or len(wrapped) % block:
        raise CannotDecrypt
    cipher: BlockCipherAlgorithm = TripleDES(kek) if block == 8 else AES(kek)
    last = _cbc(cipher, wrapped[-2 * block : -block], wrapped[-block:])
    outer = _cbc(cipher, last, wrapped[:-block]) + last
    inner = _cbc(cipher, iv, outer)
    key = inner[4 : 4 + size]
    check = bytes(octet ^ 0xFF for octet in inner[4:7])
    if not hmac.compare_digest(bytes((size,)) + check, inner[:4]) or len(key) != size:
        raise CannotDecrypt
    return key


def _cbc(cipher: BlockCipherAlgorithm, iv: bytes, data: bytes) -> bytes:
    decryptor = Cipher(cipher, modes.CBC(iv)).decryptor()
    return decryptor.update(data) + decryptor.finalize()
