"""SignedData over a MIME entity: multipart/signed and opaque (RFC 8551 §3.5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pki.models import SignatureScheme, Signer


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed entity (fields, empty line, body; no MIME-Version) and how it was signed.

    digest: "sha256"…; scheme: of the signature; content_digest: messageDigest, hex.
    """

    entity: bytes
    digest: str
    scheme: SignatureScheme
    content_digest: str


def sign(
    entity: bytes,
    signer: Signer,
    *,
    digest: str = "sha256",
    scheme: SignatureScheme | None = None,
    signing_time: datetime | None = None,
) -> Signed:
    """multipart/signed over `entity`, octet for octet.

    scheme: None is RSA PKCS#1 v1.5 or ECDSA, by the key.
    Raises ValueError for bare CR or LF in the entity, an unknown digest, a scheme the key lacks.
    """
    raise NotImplementedError


def sign_opaque(
    entity: bytes,
    signer: Signer,
    *,
    digest: str = "sha256",
    scheme: SignatureScheme | None = None,
    signing_time: datetime | None = None,
) -> Signed:
    """application/pkcs7-mime; smime-type=signed-data: the entity inside, safe from any relay.

    Raises ValueError as `sign`.
    """
    raise NotImplementedError
