"""Hybrid encryption: a classical envelope inside one by ML-KEM, so that both must be opened.

The classical one is inside: whoever keeps the mail for the day of a quantum computer then sees of
its recipients nothing but whom the outer one names.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.encrypt import Recipient, encrypt
from gateway.smime.hybrid import without_partner


class NotBoth(ValueError):
    """Somebody could open one of the two envelopes alone, so that nobody gets a mail he can read,
    or one of them protects nobody. who: his address, or the subject of his certificate.
    """

    def __init__(self, who: str) -> None:
        self.who = who
        super().__init__(f"{who} has no key for one of the two envelopes")


def encrypt_hybrid(
    entity: bytes,
    inner: Sequence[Recipient],
    outer: Sequence[Recipient],
    cipher: Cipher,
    *,
    before: bytes = b"",
) -> bytes:
    """application/pkcs7-mime entity (fields, empty line, base64) around another one.

    inner: certificates with classical keys. outer: with ML-KEM keys (RFC 9936), of the same
    people. cipher: of the inner one; the outer one has AES-256-GCM. before: as in `encrypt`.
    Raises ValueError as `encrypt`, and for a kind of key in the wrong envelope; NotBoth.
    """
    if any(one.transport is KeyManagement.ML_KEM for one in inner):
        raise ValueError("the inner envelope is the classical one")
    if any(one.transport is not KeyManagement.ML_KEM for one in outer):
        raise ValueError("the outer envelope is for ML-KEM keys alone")
    alone = without_partner([one.certificate for one in inner], [one.certificate for one in outer])
    if alone is not None:
        raise NotBoth(alone)
    return encrypt(encrypt(entity, inner, cipher), outer, Cipher.AES_256_GCM, before=before)
