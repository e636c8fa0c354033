"""What a worker takes up next: due messages, claimed as far as it has room for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from archive.appender import Appender
from gateway.clock import to_micros
from gateway.clocklog import LastEntryWatch
from gateway.queue.caution import Caution
from gateway.queue.hand import LARGE, Hand
from gateway.queue.jobs import Job
from gateway.queue.store.claim import claim, something_due

# How many messages, and octets of them, one claim takes; their commits are shared.
_CLAIM = 32
_CLAIM_BYTES = LARGE


@dataclass(frozen=True, slots=True)
class NextJobs:
    """glance: reads, and does not wait for a database to come back. name, waits, warn: see
    `claim`. last_entry: looked at beside, where the clock may be doubted.
    """

    glance: Callable[[], AbstractContextManager[sa.Connection]]
    appender: Appender
    name: str
    waits: Sequence[timedelta]
    warn: timedelta | None
    last_entry: LastEntryWatch | None
    hand: Hand
    caution: Caution
    now: Callable[[], datetime]

    async def claim(self) -> list[Job]:
        """Those that are now in hand; none if none is due."""
        now = to_micros(self.now())
        # On the event loop: it must not wait here for a database to come back.
        with self.glance() as conn:
            if self.last_entry is not None and self.last_entry.due():
                self.last_entry.look(conn)
            doubted = self.caution.doubted()
            if not something_due(conn, now, self.hand.largest, notices=doubted):
                return []
        jobs = await asyncio.wrap_future(
            self.appender.submit(
                [],
                lambda conn: claim(
                    conn,
                    worker=self.name,
                    now=now,
                    limit=_CLAIM,
                    max_bytes=_CLAIM_BYTES,
                    largest=self.hand.largest,
                    waits=self.waits,
                    warn=self.warn,
                    notices=doubted,
                ),
            )
        )
        self.hand.take(jobs)
        self.caution.mind_the_clock(jobs)
        return jobs
