"""RSAES-OAEP decoding of a number that a token has computed (RFC 8017 §7.1.2 step 3).

For tokens that know OAEP with SHA-1 only (SoftHSM, older HSMs), while mail comes with SHA-256. All
checks are made, whatever one of them says, and only then it is asked whether they held: who learns
that the first octet was not 00 can open any ciphertext (Manger 2001). As in
`pki.implicit_rejection` nothing of Python branches on an octet of the block.
"""

from __future__ import annotations

import hashlib
import hmac
from operator import xor

from pki.decrypter import CannotDecrypt, Oaep
from pki.implicit_rejection import SIZES


def oaep_message(block: bytes, oaep: Oaep) -> bytes:
    """The message, of one of the lengths of content keys. Raises CannotDecrypt."""
    label = hashlib.new(oaep.digest, oaep.label).digest()
    size, end = len(label), len(block)
    if end < 2 * size + 2 + max(SIZES):
        raise CannotDecrypt
    masked_seed, masked = block[1 : size + 1], block[size + 1 :]
    seed = bytes(map(xor, masked_seed, _mgf1(oaep.mask, masked, size)))
    data = bytes(map(xor, masked, _mgf1(oaep.mask, seed, len(masked))))
    answers, chosen = [b""], 0
    for number, length in enumerate(SIZES, 1):
        start = len(data) - length
        pattern = label + bytes(start - size - 1) + b"\x01"
        answers.append(data[start:])
        chosen += number * hmac.compare_digest(data[:start], pattern)
    chosen *= hmac.compare_digest(block[:1], b"\x00")
    if not chosen:
        raise CannotDecrypt
    return answers[chosen]


def _mgf1(digest: str, seed: bytes, size: int) -> bytes:
    """RFC 8017 appendix B.2.1."""
    made = b""
    for counter in range(-(-size // hashlib.new(digest).digest_size)):
        made += hashlib.new(digest, seed + counter.to_bytes(4, "big")).digest()
    return made[:size]
