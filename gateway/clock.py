"""The one clock of the product. Everything else takes the moment as an argument (I8)."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def now() -> datetime:
    """The present, aware, UTC."""
    return datetime.now(UTC)


def boot_clock() -> float:
    """Seconds since the machine was started, those asleep included; nobody can set it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01T00:00:00Z, as queue rows keep times."""
    return (moment - _EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """Inverse of `to_micros`."""
    return _EPOCH + timedelta(microseconds=micros)


def rfc3339(moment: datetime) -> str:
    """`2026-11-21T19:00:00Z`: UTC with offset, seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
