"""Object identifiers and names of the algorithms that the engine writes."""

from __future__ import annotations

from enum import Enum


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


class KeyManagement(Enum):
    """How the content key reaches a recipient."""

    RSA_PKCS1 = "rsa-pkcs1"
    RSA_OAEP = "rsa-oaep"
    ECDH = "ecdh"
