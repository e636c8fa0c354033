"""A pool of keys: making one costs more than making the chain that uses it."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

# As a CA of a ministry has them; RSA signs slowly, so it comes less often.
_KINDS = ["p256"] * 8 + ["p384"] * 4 + ["ed25519"] * 6 + ["rsa"] * 5


@cache
def _make(kind: str, _number: int) -> Any:
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if kind == "rsa1024":
        return rsa.generate_private_key(public_exponent=65537, key_size=1024)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP384R1() if kind == "p384" else ec.SECP256R1())


class Pool:
    """Draws keys for one case; none twice."""

    def __init__(self, rng: random.Random) -> None:
        self._left = [(kind, n) for n, kind in enumerate(_KINDS)]
        rng.shuffle(self._left)

    def draw(self, kind: str = "") -> Any:
        """A key that this case has not used. kind: "" for any."""
        for at, (found, _) in enumerate(self._left):
            if kind in ("", found):
                return _make(*self._left.pop(at))
        return _make(kind or "p256", 100 + len(self._left))


def spare(kind: str) -> Any:
    """A key that no case draws."""
    return _make(kind, -1)
