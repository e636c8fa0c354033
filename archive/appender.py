"""The appender: one thread a process that writes to the log, many units in one commit.

Single commits on the head of the log are bounded by the disk's fsync; whatever waits while one
commit runs goes into the next one together.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from archive import store
from archive.drafts import Draft, Prepared, prepare
from archive.errors import AppenderBroken, Problem

T = TypeVar("T")

_MAX_BYTES = 64 << 20  # of one batch, so that 64 mails of 50 MB do not share one transaction


class _Unit(Generic[T]):
    """What one caller wants committed: rows by `also`, then entries; and who waits for it."""

    def __init__(self, prepared: Sequence[Prepared], also: Callable[[sa.Connection], T]) -> None:
        self.prepared = prepared
        self.also = also
        self.future: Future[T] = Future()
        self.size = sum(one.size for one in prepared)


class _CommitFailedError(Exception):
    """The transaction raised, at its end or by the disk's fault: what is on disk is unknown."""


class Appender:
    """Commits units of queue rows and log entries, each entirely or not at all."""

    def __init__(
        self,
        transaction: Callable[[], AbstractContextManager[sa.Connection]],
        *,
        origin: str,
        now: Callable[[], datetime],
        max_batch: int = 64,
        again: Callable[[Exception, int], float | None] = lambda _error, _tries: None,
        doubtful: Callable[[Exception, bool], bool] = lambda _error, ending: ending,
        marked: Callable[[Sequence[Draft]], Sequence[Draft]] = lambda drafts: drafts,
    ) -> None:
        """Start the thread. Make it after forking: threads do not survive a fork.

        transaction: a write transaction that commits, durably, when its block is left.
        now: the time of entries. max_batch: units in one transaction.
        again: asked when a transaction was rolled back: (error, how often it was tried) → seconds
            until it is tried once more, None when the units are to be blamed or told.
        doubtful: asked when a transaction raised: (error, whether at its end) → whether it is
            unknown what is on disk now. Then nothing more is written: see AppenderBroken.
        marked: puts into entries what they say of the clock of that moment.
        """
        self._transaction = transaction
        self._origin = origin
        self._now = now
        self._max_batch = max_batch
        self._again = again
        self._doubtful = doubtful
        self._marked = marked
        self._waiting: deque[_Unit[Any]] = deque()
        self._change = threading.Condition()
        self._closing = False
        self._broken: AppenderBroken | None = None
        self._thread = threading.Thread(target=self._run, name="archive-appender", daemon=True)
        self._thread.start()

    def submit(self, drafts: Sequence[Draft], also: Callable[[sa.Connection], T]) -> Future[T]:
        """Have `also(connection)` and the entries committed in one transaction.

        The future holds what `also` returned once the commit is durable, or the exception that
        left nothing of the unit behind; it fails with AppenderBroken if that is not known. A
        future cancelled before its batch began leaves nothing. From asyncio: `wrap_future`.

        also: runs in the appender's thread, perhaps more than once (in the batch, then alone after
            the batch failed and was rolled back), so it must do nothing but write to `connection`.
        Raises AppenderBroken after a failed commit or `close`, PayloadMalformed, EntryMalformed.
        """
        unit = _Unit([prepare(one) for one in self._marked(drafts)], also)
        with self._change:
            if self._broken is not None:
                raise AppenderBroken(self._broken.problem)
            if self._closing:
                raise AppenderBroken(Problem("log.closed", "the archive is being shut down"))
            self._waiting.append(unit)
            self._change.notify()
        return unit.future

    def append(self, drafts: Sequence[Draft]) -> None:
        """Write entries that stand for themselves; returns when they are durable.

        Raises what kept them from being written.
        """
        self.submit(drafts, lambda _connection: None).result()

    @property
    def broken(self) -> AppenderBroken | None:
        """Not None once a commit has failed: the process must end."""
        return self._broken

    def close(self) -> None:
        """Commit what waits, then stop. Further submits are refused."""
        with self._change:
            self._closing = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        batch: list[_Unit[Any]] = []
        try:
            while batch := self._take():
                self._commit_batch(batch)
                batch = []  # its mails may be large: not kept until the next batch comes
        except _CommitFailedError as failed:
            self._break(batch, failed.__cause__ or failed)
        except BaseException as error:  # noqa: BLE001 - whatever it is, callers wait for an answer
            self._break(batch, error)

    def _take(self) -> list[_Unit[Any]]:
        """All that waits, up to the limits; waits for the first. Empty when closed and drained."""
        with self._change:
            while not self._waiting and not self._closing:
                self._change.wait()
            batch: list[_Unit[Any]] = []
            size = 0
            while self._waiting and len(batch) < self._max_batch:
                if batch and size + self._waiting[0].size > _MAX_BYTES:
                    break
                unit = self._waiting.popleft()
                batch.append(unit)
                size += unit.size
            return batch

    def _commit_batch(self, batch: list[_Unit[Any]]) -> None:
        # A unit whose caller gave up while it waited is dropped whole. From here on it cannot be
        # cancelled: it is committed, and the caller's retry is a second mail (I2).
        units = [unit for unit in batch if unit.future.set_running_or_notify_cancel()]
        if not units:
            return
        try:
            results = self._transact(units)
        except _CommitFailedError:
            raise
        except Exception as error:  # noqa: BLE001 - `also` may raise anything
            self._one_by_one(units, error)
        else:
            for unit, result in zip(units, results, strict=True):
                unit.future.set_result(result)

    def _one_by_one(self, units: list[_Unit[Any]], error: Exception) -> None:
        """The batch was rolled back: the units that are not to blame get through alone."""
        if len(units) == 1:
            units[0].future.set_exception(error)
            return
        outages = 0
        for unit in units:
            # When the database itself is in trouble, 64 time-outs in a row would keep clients
            # waiting for half an hour; after two the rest hears of it at once.
            if outages == 2:
                unit.future.set_exception(error)
                continue
            try:
                (result,) = self._transact([unit])
            except _CommitFailedError:
                raise
            except Exception as alone:  # noqa: BLE001
                error = alone
                outages += isinstance(alone, sa.exc.OperationalError)
                unit.future.set_exception(alone)
            else:
                unit.future.set_result(result)

    def _transact(self, units: list[_Unit[Any]]) -> list[Any]:
        """As `_once`, again and again while that may help. Nothing is left of a try that failed."""
        tries = 0
        while True:
            try:
                return self._once(units)
            except _CommitFailedError:
                raise
            except Exception as error:
                tries += 1
                pause = self._again(error, tries)
                if pause is None:
                    raise
            time.sleep(pause)

    def _once(self, units: list[_Unit[Any]]) -> list[Any]:
        """One transaction. Raises what it was rolled back for, or _CommitFailedError."""
        complete = False
        try:
            with self._transaction() as connection:
                results = [unit.also(connection) for unit in units]
                store.append_prepared(
                    connection,
                    [one for unit in units for one in unit.prepared],
                    origin=self._origin,
                    now=self._now(),
                )
                complete = True
            # THE COMMIT: it ran on the way out of the block. Killed before: nothing of the batch
            # exists and no one was told otherwise. Killed after: all of it exists, and whoever was
            # not told sends again. No future is resolved above this line.
            return results
        except Exception as error:
            if self._doubtful(error, complete):
                raise _CommitFailedError from error
            raise

    def _break(self, batch: list[_Unit[Any]], cause: BaseException) -> None:
        # Never tried again: a second fsync may succeed though the first one lost the pages.
        broken = AppenderBroken(
            Problem(
                "log.commit-failed",
                "a commit to the archive failed and its outcome is unknown: {why}",
                {"why": f"{type(cause).__name__}: {cause}"[:300]},
            )
        )
        broken.__cause__ = cause
        with self._change:
            self._broken = broken
            abandoned = [*batch, *self._waiting]
            self._waiting.clear()
        for unit in abandoned:
            if not unit.future.done():
                unit.future.set_exception(broken)
