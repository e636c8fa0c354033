"""What a piece of work may cost, in processor time, on whatever machine the tests run.

A bound in seconds of the processor holds on the machine that it was thought out on. A slower one
has as much more as it takes more for work that is always the same; a faster one has no less. So a
bound says of the product what it says, and nothing of the machine.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

# Seconds of the processor that each piece of work takes on that machine.
_PYTHON = 0.006
_LIBRARY = 0.013


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """The block takes less processor time than that."""
    gc.collect()
    gc.disable()  # to tidy up behind all tests before is not what is measured
    begun = time.process_time()
    try:
        yield
        spent = time.process_time() - begun
    finally:
        gc.enable()
    assert within(spent, seconds), f"{spent:.3f} s"


def within(spent: float, seconds: float) -> bool:
    """Whether so much processor time is less than the bound, as this machine is now."""
    return spent < seconds or spent < seconds * slowness()


def slowness() -> float:
    """At least 1; 3.0 where Python, or OpenSSL, takes three times as long as usual."""
    return max(1.0, _least(_python) / _PYTHON, _least(_library()) / _LIBRARY)


def _least(work: Callable[[], object]) -> float:
    # What else the machine does, only adds to it.
    took = []
    for _ in range(5):
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
