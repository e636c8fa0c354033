"""When to try again: pure arithmetic on the configured list of waits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta


def wait_after(attempts: int, waits: Sequence[timedelta]) -> timedelta:
    """How long to wait after attempt number `attempts` (from 1); the last wait repeats."""
    return waits[min(max(attempts, 1), len(waits)) - 1]
