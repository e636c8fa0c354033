"""How far the full-text index is behind the log, for those who only look at it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
import tantivy

from archive import reading
from archive.chain import Tip
from archive.entry import decode
from archive.fulltext import POSITION_ID, open_index, unusable

_LOOKS = 240


@dataclass(frozen=True, slots=True)
class Position:
    """How far the index is: entries 0 … size-1 of this log are in it."""

    origin: str
    epoch: int
    size: int


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the index is behind. seconds: age of the oldest entry that is not in it."""

    entries: int
    seconds: float


def position(index: tantivy.Index) -> Position | None:
    """How far this index is, None if nothing was ever committed to it."""
    index.reload()
    searcher = index.searcher()
    query = tantivy.Query.term_query(index.schema, "id", POSITION_ID)
    hits = searcher.search(query, limit=1).hits
    if not hits:
        return None
    found = searcher.doc(hits[0][1])
    return Position(found["origin"][0], found["epoch"][0], found["position"][0])


def place(index_dir: Path, reached: Position | None, tip: Tip) -> int:
    """Index of the first entry that is not indexed yet. Raises IndexUnusable."""
    if reached is None:
        return 0
    if (reached.origin, reached.epoch) != (tip.origin, tip.epoch):
        raise unusable(index_dir, f"it belongs to the log {reached.origin}")
    if reached.size > tip.size:
        raise unusable(
            index_dir,
            f"it has seen {reached.size} entries and the log has {tip.size}: "
            "the database was rolled back",
        )
    return reached.size


class Onlooker:
    """Looks at the index in a folder, which another process writes to, again and again.

    It stays open for `_LOOKS` looks. Opened each time, threads of tantivy would gather that end
    half a second late. Left open for good, it would remember each file of the index that ever was:
    some hundred octets a commit, and a month has 800,000 commits. Thread-safe.
    """

    def __init__(self, index_dir: Path) -> None:
        self._dir = index_dir
        self._index: tantivy.Index | None = None
        self._looks = 0
        self._turn = threading.Lock()

    def position(self) -> Position | None:
        """How far it is, None if nothing was ever committed to it. Raises IndexUnusable."""
        with self._turn:
            try:
                if self._index is None or self._looks >= _LOOKS:
                    self._index, self._looks = open_index(self._dir), 0
                self._looks += 1
                return position(self._index)
            except (ValueError, OSError) as error:
                # Damaged, or another one lies there now: it is opened anew next time.
                self._index = None
                raise unusable(self._dir, str(error)) from error

    def lag(self, conn: sa.Connection, *, moment: datetime) -> Lag:
        """How far it is behind the log. Raises IndexUnusable, LogMissing."""
        tip = reading.head(conn)
        at = place(self._dir, self.position(), tip)
        waiting = next(reading.read_raw(conn, at, limit=1), None)
        if waiting is None:
            return Lag(0, 0.0)
        age = (moment - decode(waiting[2]).time).total_seconds()
        return Lag(tip.size - at, max(age, 0.0))


def lag(index_dir: Path, conn: sa.Connection, *, moment: datetime) -> Lag:
    """How far the index in this folder is behind, for one look. Raises as `Onlooker.lag`."""
    return Onlooker(index_dir).lag(conn, moment=moment)
