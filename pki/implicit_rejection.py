"""RSAES-PKCS1-v1_5 decoding that never says whether the padding was right (RFC 3218).

For keys whose owner only computes the number (CKM_RSA_X_509 in a token): a token that unpads by
itself (CKM_RSA_PKCS) answers bad padding with an error, which is Bleichenbacher's oracle (threat
S4). Here bad padding gives a key that follows from a secret of the key and the ciphertext: the same
one for ever (threat F8), like draft-irtf-cfrg-rsa-guidance §7 has it.

**What leaks by time.** No loop and no branch of Python depends on an octet of the block, and no
integer is made of it: `bytes.translate` and `hmac.compare_digest` look at every octet in C,
whatever it is, for every length of key that CMS knows; the answer is picked from a tuple by a small
number. What is left is the processor's own (a table of 256 octets that lies in the cache), the
token's time for the number, and that `gateway.smime.decrypt` takes an answer of another length than
the cipher's for one more fallback. By itself, a block that fits takes 10 to 15 ns of 5 µs longer
than one that does not (the processor's own); `./dev soak timing` measures whole decryptions.
"""

from __future__ import annotations

import hmac

# Octets of content keys in CMS: RC2-40 to RC2-128, DES, AES, 3DES, ChaCha20.
SIZES = (5, 8, 16, 24, 32)
_FALLBACK_SIZE = 32
_MARK = bytes([0]) + bytes([1]) * 255  # 00 stays, everything else is 01
_LABEL = b"sceau/implicit-rejection/1\0"


class ImplicitRejection:
    """Decodes the blocks of one key. secret: lasting, known to nobody who has not the key."""

    def __init__(self, size: int, secret: bytes) -> None:
        """size: octets of the modulus, 64 at least."""
        self._secret = secret
        self._size = size
        # 00 02 ‖ PS, no octet 00, at least 8 of them ‖ 00 ‖ message
        self._patterns = tuple(
            (end, b"\x00\x02" + b"\x01" * (end - 3) + b"\x00")
            for end in (size - length for length in SIZES)
        )

    def __repr__(self) -> str:
        return f"<ImplicitRejection {self._size}>"

    def message(self, block: bytes, ciphertext: bytes) -> bytes:
        """The message in a block, or octets that follow from the ciphertext. Raises ValueError for
        a block of another size than the modulus, which no ciphertext leads to.
        """
        if len(block) != self._size:
            raise ValueError("not a block of this key")
        fallback = hmac.digest(self._secret, _LABEL + ciphertext, "sha256")
        marked = block[:2] + block[2:].translate(_MARK)
        answers = [fallback[:_FALLBACK_SIZE]]
        chosen = 0
        for number, (end, pattern) in enumerate(self._patterns, 1):
            answers.append(block[end:])
            # At most one fits: the first 00 behind the beginning is in one place.
            chosen += number * hmac.compare_digest(marked[:end], pattern)
        return answers[chosen]
