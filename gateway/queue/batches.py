"""Many small pieces of work in one unit of the appender, each still whole or not at all.

Whatever comes while one commit runs goes into the next as one unit, with one statement a table
instead of one a mail. If such a unit fails, its pieces are tried one by one: a piece that cannot
be stored does not take others with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import sqlalchemy as sa

from archive.appender import Appender
from archive.store import Draft
from gateway.database.trouble import is_everybodys

P = TypeVar("P")


class Batches(Generic[P]):
    """Collects pieces in one event loop.

    drafts: log entries of a piece. rows: writes the queue rows of pieces, in the appender's
        transaction; it may run twice (see `Appender.submit`).
    """

    def __init__(
        self,
        appender: Appender,
        drafts: Callable[[P], Sequence[Draft]],
        rows: Callable[[sa.Connection, Sequence[P]], None],
        *,
        most: int = 64,
        gather: float = 0.0,
    ) -> None:
        """gather: seconds to wait for more before a commit, where nobody waits for its end."""
        self._appender = appender
        self._drafts = drafts
        self._rows = rows
        self._most = most
        self._gather = gather
        self._waiting: list[tuple[P, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def commit(self, piece: P) -> None:
        """Return when the piece is durable. Raises what kept it from being written.

        A caller that is cancelled no longer hears of its piece, which is written all the same.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((piece, done))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        await done

    async def _drain(self) -> None:
        while self._waiting:
            if self._gather:
                await asyncio.sleep(self._gather)
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            try:
                await self._write([piece for piece, _ in batch])
            except Exception as error:  # noqa: BLE001 - handed to whoever waits for it
                await self._one_by_one(batch, error)
            else:
                for _, done in batch:
                    _end(done, None)
        self._task = None

    async def _one_by_one(
        self, batch: list[tuple[P, asyncio.Future[None]]], error: Exception
    ) -> None:
        # A database that is away is away for each piece: tried one by one, a locked table would
        # keep the last of them waiting for as many time-outs as there are pieces.
        if len(batch) == 1 or is_everybodys(error):
            for _, done in batch:
                _end(done, error)
            return
        for piece, done in batch:
            try:
                await self._write([piece])
            except Exception as alone:  # noqa: BLE001 - handed to the one who waits for it
                _end(done, alone)
            else:
                _end(done, None)

    async def _write(self, pieces: Sequence[P]) -> None:
        drafts = [draft for piece in pieces for draft in self._drafts(piece)]
        unit = self._appender.submit(drafts, lambda conn: self._rows(conn, pieces))
        await asyncio.wrap_future(unit)


def _end(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
