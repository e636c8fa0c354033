"""How much slower this machine is, at this moment, than the one on which bounds of time were taken.

A bound in seconds of the processor holds on one machine. Where it leaves a slower one no room, it
is multiplied by this, and then says of the product what it said before.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

# Seconds of the processor that each piece of work takes on that machine.
_PYTHON = 0.006
_LIBRARY = 0.013


def slowness() -> float:
    """At least 1; 3.0 where Python, or OpenSSL, takes three times as long."""
    return max(1.0, _least(_python) / _PYTHON, _least(_library()) / _LIBRARY)


def _least(work: Callable[[], object]) -> float:
    # What else the machine does, only adds to it.
    took = []
    for _ in range(3):
        begun = time.process_time()
        work()
        took.append(time.process_time() - begun)
    return min(took)


def _python() -> int:
    found: dict[str, int] = {}
    for number in range(20_000):
        found[str(number)] = len(found) + number % 7
    return sum(found.values())


def _library() -> Callable[[], None]:
    key = ec.derive_private_key(11, ec.SECP521R1())
    signature, algorithm = key.sign(b"pace", ec.ECDSA(hashes.SHA256())), ec.ECDSA(hashes.SHA256())
    public = key.public_key()

    def work() -> None:
        for _ in range(20):
            public.verify(signature, b"pace", algorithm)

    return work
