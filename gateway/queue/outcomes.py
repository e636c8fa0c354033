"""Committing what became of messages: many at a time, in one transaction each time.

Deliveries end one by one, but side by side; whatever has ended while one commit runs goes into
the next. A message counts as done only when its commit has returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from archive.appender import Appender
from archive.store import Draft
from gateway.clock import to_micros
from gateway.deliver import Notice
from gateway.failpoints import hit
from gateway.queue import store
from gateway.queue.jobs import Job


@dataclass(frozen=True, slots=True)
class Finished:
    """A message whose attempt is over: new states in `job`, entries, perhaps a notice."""

    job: Job
    drafts: list[Draft]
    notice: Notice | None


class Outcomes:
    """One for a worker, in its event loop."""

    def __init__(self, appender: Appender, now: Callable[[], datetime]) -> None:
        self._appender = appender
        self._now = now
        self._waiting: list[tuple[Finished, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def commit(self, finished: Finished) -> None:
        """Return when the outcome is durable. Raises what kept it from being written."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((finished, done))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        await done

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._write([finished for finished, _ in batch])
            except Exception as error:  # noqa: BLE001 - whoever waits hears of it, and gives up
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
            else:
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)
        self._task = None

    async def _write(self, batch: list[Finished]) -> None:
        drafts = [draft for finished in batch for draft in finished.drafts]
        notices = [finished.notice for finished in batch if finished.notice is not None]
        drafts += [notice.draft for notice in notices]
        changed = [(one.job.archive_id, r) for one in batch for r in one.job.worked_on]
        now = to_micros(self._now())

        def rows(conn: sa.Connection) -> None:
            store.save_recipients(conn, changed)
            store.give_back(conn, [finished.job for finished in batch], now=now)
            for notice in notices:
                store.enqueue(conn, notice.message)
                hit("notice.written")
            hit("outcome.rows-written")

        await asyncio.wrap_future(self._appender.submit(drafts, rows))
