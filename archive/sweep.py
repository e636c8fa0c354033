"""Blobs without a row: what a crash between a put and its commit leaves.

A blob is removed when it is older than any transaction takes *and* its name could be put into
`log_blobs` with no archive id. The age only spares mail in flight from being refused; what keeps
a blob that a row names is the table: a commit that comes later finds its name taken and fails,
and the client is told to come again. So neither clocks, nor a machine that was suspended between
put and commit, can bring about a row without its blob.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from archive.blob_names import is_blob_name
from archive.blobs import Blobs, Stored
from archive.models import log_blobs
from archive.pieces import pieces

Transaction = Callable[[], AbstractContextManager[sa.Connection]]

_CHUNK = 500
_RECENT = 3  # days that are looked at every time; orphans are born there

_KNOWN = sa.select(log_blobs.c.name, log_blobs.c.archive_id).where(
    log_blobs.c.name.in_(sa.bindparam("names", expanding=True))
)
_TAKE = sa.insert(log_blobs)


class Sweeper:
    """Sweeps the newest days, and one older day in turn: a round costs the same in any year."""

    def __init__(
        self, blobs: Blobs, read: Transaction, write: Transaction, *, after: timedelta
    ) -> None:
        """after: age that a blob without a row must have, longer than a mail can be in flight."""
        self._blobs = blobs
        self._read = read
        self._write = write
        self._after = after
        self._reached = ""

    def step(self, marked: Callable[[], None] = lambda: None) -> Iterator[Stored]:
        """One round; yields what was removed.

        marked: called when the names are taken and nothing is removed yet.
        Raises BlobTrouble.
        """
        # Never by the memory of an earlier look: what lies there now may be another log's.
        self._blobs.prepare()
        for day in self._next_days():
            for batch in _in_batches(self._blobs.store.names(day)):
                old = [one for one in batch if one.age >= self._after]
                orphans = self._orphans(old)
                if orphans:
                    marked()
                for one in orphans:
                    self._blobs.store.delete(one.name)
                    yield one

    def _next_days(self) -> list[str]:
        days = self._blobs.store.days()
        recent, older = days[-_RECENT:], days[:-_RECENT]
        if older:
            later = [day for day in older if day > self._reached]
            self._reached = (later or older)[0]
            return [*recent, self._reached]
        return recent

    def _orphans(self, old: list[Stored]) -> list[Stored]:
        """Those of these that nobody will ever name; when this returns, nobody can."""
        unfinished = [one for one in old if one.unfinished]
        blobs = [one for one in old if is_blob_name(one.name)]
        with self._read() as conn:
            unnamed = _without_row(conn, blobs)
        if not unnamed:
            return unfinished
        try:
            with self._write() as conn:
                # Again, in the transaction that takes them: some may have been committed meanwhile.
                unnamed = _without_row(conn, unnamed)
                taken = {row.name for row in _known(conn, unnamed)}
                new = [{"name": one.name} for one in unnamed if one.name not in taken]
                if new:
                    conn.execute(_TAKE, new)
        except sa.exc.IntegrityError:
            # A commit, or another machine's sweep, was faster with one of them; the next round
            # sees which. (SQLite lets one writer in at a time: there the look above has seen it.)
            return unfinished
        return [*unfinished, *unnamed]


def in_use(conn: sa.Connection) -> bool:
    """Whether a row names any blob."""
    row = conn.execute(
        sa.select(log_blobs.c.name).where(log_blobs.c.archive_id.is_not(None)).limit(1)
    ).first()
    return row is not None


def _without_row(conn: sa.Connection, blobs: list[Stored]) -> list[Stored]:
    named = {row.name for row in _known(conn, blobs) if row.archive_id is not None}
    return [one for one in blobs if one.name not in named]


def _known(conn: sa.Connection, blobs: Iterable[Stored]) -> Iterator[sa.Row[Any, Any]]:
    for piece in pieces([one.name for one in blobs]):
        yield from conn.execute(_KNOWN, {"names": piece})


def _in_batches(found: Iterable[Stored]) -> Iterator[list[Stored]]:
    batch: list[Stored] = []
    for one in found:
        batch.append(one)
        if len(batch) == _CHUNK:
            yield batch
            batch = []
    if batch:
        yield batch
