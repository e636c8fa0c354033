"""While the clock may be wrong, a worker judges nothing by it and gives nothing up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.belief import Belief
from gateway.clock import to_micros
from gateway.queue.jobs import Job
from gateway.steady import SteadyClock


@dataclass(frozen=True, slots=True)
class Caution:
    """belief: None: the clock is believed."""

    now: Callable[[], datetime]
    steady: SteadyClock
    belief: Belief | None

    def doubted(self) -> bool:
        """Whether mail waits: nothing may be judged by this clock. What was sealed goes on, and
        so do notices: no certificate decides over them, and the alarm is one.
        """
        return self.belief is not None and self.belief.doubt() is not None

    def mind_the_clock(self, jobs: Sequence[Job]) -> None:
        """Give nothing up while the clock may have jumped; what would be is tried again soon."""
        now = self.now()
        believed = self.steady.believed(now) and not self.doubted()
        for job in jobs:
            job.may_expire = believed
            for recipient in () if believed else job.due:
                if to_micros(now) >= recipient.expires_at and recipient.next_attempt_at is not None:
                    soon = to_micros(now + self.steady.need)
                    recipient.next_attempt_at = min(recipient.next_attempt_at, soon)
