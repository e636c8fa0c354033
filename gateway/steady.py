"""Whether the wall clock can be believed when mail is to be given up.

A clock that is set forward by mistake makes all waiting mail look expired. Deliveries that fail for
a moment would then be final, and thousands of senders told so; a clock that is put back does not
take that back. A monotonic clock runs beside it, and shows the jump; one that runs on while the
machine sleeps, or waking up would look like one.

This is about giving up alone. Whether the clock is believed at all is asked of `gateway.belief`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from gateway.clock import boot_clock

log = structlog.get_logger()

# Further apart than this between two looks, the clock was set. What NTP corrects is less.
_TOLERANCE = timedelta(seconds=60)
_LONGEST = timedelta(minutes=15)


class SteadyClock:
    """Watches the wall clock of one process. need: how long it must run without a jump."""

    def __init__(
        self, need: timedelta = timedelta(0), monotonic: Callable[[], float] = boot_clock
    ) -> None:
        self.need = need
        self._monotonic = monotonic
        self._last: tuple[datetime, float] | None = None
        self._begun = 0.0  # of the monotonic clock: since when the other runs evenly

    @classmethod
    def for_expiry(cls, expire: timedelta) -> SteadyClock:
        """A quarter of an hour: enough for NTP, or for a person, to put a clock right."""
        return cls(min(_LONGEST, expire / 100))

    def believed(self, now: datetime) -> bool:
        """Whether the clock, which shows `now`, has run evenly for long enough."""
        ticks = self._monotonic()
        if self._last is None:
            self._begun = ticks
        else:
            before, then = self._last
            drift = (now - before) - timedelta(seconds=ticks - then)
            if abs(drift) > _TOLERANCE:
                log.error("clock_jumped", seconds=round(drift.total_seconds()))
                self._begun = ticks
        self._last = now, ticks
        return ticks - self._begun >= self.need.total_seconds()
