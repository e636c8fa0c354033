"""Committing what became of messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from archive.appender import Appender
from archive.store import Draft
from gateway.clock import to_micros
from gateway.failpoint import failpoint
from gateway.notices import Notice
from gateway.queue.batches import Batches
from gateway.queue.jobs import Job
from gateway.queue.store.enqueue import enqueue
from gateway.queue.store.give_back import give_back
from gateway.queue.store.recipients import save_recipients

# Deliveries of mails that were sealed together end within milliseconds of each other.
_GATHER = 0.005


@dataclass(frozen=True, slots=True)
class Finished:
    """A message whose attempt is over: new states in `job`, entries, perhaps notices."""

    job: Job
    drafts: list[Draft]
    notices: Sequence[Notice] = ()

    @property
    def entries(self) -> list[Draft]:
        """All log entries of it."""
        if not self.notices:
            return self.drafts
        return [*self.drafts, *(draft for notice in self.notices for draft in notice.drafts)]


def outcomes(appender: Appender, now: Callable[[], datetime]) -> Batches[Finished]:
    """Deliveries end one by one, but side by side: their outcomes share commits."""

    def rows(conn: sa.Connection, batch: Sequence[Finished]) -> None:
        save_recipients(conn, [(one.job.archive_id, r) for one in batch for r in one.job.worked_on])
        give_back(conn, [one.job for one in batch], now=to_micros(now()))
        notices = [notice.message for one in batch for notice in one.notices]
        if notices:
            enqueue(conn, notices)
            failpoint("notice.written")
        failpoint("outcome.rows-written")

    return Batches(appender, lambda one: one.entries, rows, gather=_GATHER)
