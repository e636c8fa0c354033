"""The clock and the log: what the log knows of the time, and what it is told of the clock.

Entries carry the wall clock as it was; their order is the chain's. Written while the clock was
not believed, they have a field `clock` that says so; entries of the kind `clock` tell when that
began and ended, and which person said that the clock is right.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
import structlog

from archive.entry import new_archive_id
from archive.errors import Damaged
from archive.reading import head, read_raw, records
from archive.store import Draft, append
from gateway import clock
from gateway.belief import FIELD, Basis, Belief, Doubt, boot_id, boot_micros, write_basis
from gateway.clock import boot_clock, to_micros
from gateway.database import Database
from gateway.queue.store.replan import begin_anew

log = structlog.get_logger()

KIND = "clock"

# How many entries to look back through for one by a believed clock, and how many at once.
_FAR, _CHUNK = 20_000, 200
# Seconds between two looks at the last entry; while the clock is not believed.
_LOOK, _LOOK_DOUBTFUL = 10.0, 1.0


def last_believed_entry(conn: sa.Connection) -> datetime | None:
    """When the last entry was written whose clock was believed; None: there is none near the end.

    An entry whose payload is gone or damaged counts as believed: it cannot say otherwise.
    """
    end = head(conn).size
    first = 1  # mostly it is the last entry: that one is asked for alone
    for _ in range(_FAR // _CHUNK):
        if end <= 0:
            break
        since = max(0, end - first)
        raws = [raw for _, _, raw in read_raw(conn, since, limit=end - since)]
        for one in reversed(records(conn, raws)):
            if not isinstance(one, Damaged) and FIELD not in (one.payload or {}):
                return one.entry.time
        end, first = since, _CHUNK
    return None


class LastEntryWatch:
    """Has a process compare its clock with the log's last entry, every few seconds."""

    def __init__(self, belief: Belief) -> None:
        self._belief = belief
        self._next = 0.0

    def due(self) -> bool:
        """Whether to look now."""
        return boot_clock() >= self._next

    def look(self, conn: sa.Connection) -> None:
        """Look."""
        self._belief.saw_last_entry(last_believed_entry(conn))
        pause = _LOOK if self._belief.doubt() is None else _LOOK_DOUBTFUL
        self._next = boot_clock() + pause


class ClockNotes:
    """Writes into the log when the clock came into doubt, and when that was over.

    flag: is there while the log was told of a doubt, for the next process.
    """

    def __init__(
        self, database: Database, belief: Belief, flag: Path, *, origin: str, org: str, node: str
    ) -> None:
        self._database = database
        self._belief = belief
        self._flag = flag
        self._origin = origin
        self._org = org
        self._node = node
        self._watch = LastEntryWatch(belief)

    def write(self) -> None:
        """One look. Raises what kept the entry from being written: it is written at the next."""
        if self._watch.due():
            with self._database.read() as conn:
                self._watch.look(conn)
        doubt = self._belief.doubt()
        if (doubt is not None) == self._flag.exists():
            return
        fields = {"state": b"doubted" if doubt else b"believed", "node": self._node.encode()}
        draft = Draft(KIND, self._org, new_archive_id(), fields)
        with self._database.write() as conn:
            drafts = self._belief.marked([draft])
            append(conn, drafts, origin=self._origin, now=clock.now())
        if doubt is not None:
            self._flag.touch()
        else:
            self._flag.unlink(missing_ok=True)


def confirm(
    database: Database,
    file: Path,
    doubt: Doubt,
    *,
    origin: str,
    org: str,
    node: str,
    by: str,
    reason: str,
    expire: timedelta,
) -> None:
    """A person says that the wall clock is right: it is believed from now on.

    Times in the queue were counted by the other clock. So each open recipient has as long as one
    of a mail that has just come (`expire`): nothing is given up for a year that never was. Can be
    repeated after a fault in the middle. Raises OSError, SQLAlchemyError.
    """
    now = clock.now()
    fields = {
        "state": b"confirmed",
        "node": node.encode(),
        "by": by.encode(),
        "reason": reason.encode(),
        **{name: value.encode() for name, value in doubt.facts.items()},
    }
    with database.write() as conn:
        begin_anew(conn, now=to_micros(now), expire=expire)
        draft = Draft(KIND, org, new_archive_id(), fields)
        append(conn, [draft], origin=origin, now=now)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    write_basis(file, Basis(boot_id(), to_micros(now) - boot_micros()))
    log.warning("clock_confirmed", by=by, **doubt.facts)
