"""EnvelopedData and AuthEnvelopedData over a MIME entity (RFC 8551 §3.3, RFC 5083)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.smime.algorithms import Cipher, KeyManagement
from pki.models import CheckedCertificate


@dataclass(frozen=True, slots=True)
class Recipient:
    """A checked certificate and how the content key reaches its owner."""

    certificate: CheckedCertificate
    transport: KeyManagement


def encrypt(entity: bytes, recipients: Sequence[Recipient], cipher: Cipher) -> bytes:
    """application/pkcs7-mime entity that only the recipients can open.

    Raises ValueError: no recipient, a certificate not checked for encryption, a transport that
    does not fit the key.
    """
    raise NotImplementedError
