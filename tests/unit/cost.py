"""What a piece of work may cost, in processor time, on whatever machine the tests run.

The limits are those of the machine that they were thought out on. A slower one has as much more as
it takes more for a piece of work that is always the same; a faster one has no less.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

_TURNS = 200_000
_USUAL = 0.008  # seconds for them, where the limits come from


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
    """Whether so much processor time is less than the limit, as this machine is now."""
    return spent < seconds or spent < seconds * _slowness()


def _slowness() -> float:
    """How many times longer than usual it takes; at least 1. The least of some tries: what else the
    machine does only adds to it.
    """
    tries = []
    for _ in range(5):
        begun = time.process_time()
        total = 0
        for number in range(_TURNS):
            total += number & 7
        tries.append(time.process_time() - begun)
    return max(1.0, min(tries) / _USUAL)
