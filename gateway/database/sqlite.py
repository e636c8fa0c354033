"""SQLite: the database of one machine (docs/decisions/0001)."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from archive.store import LARGE
from gateway.database.base import Database, DatabaseUnsafe
from gateway.database.sqlite_errors import is_sick, no_room

# Older versions can corrupt a database in WAL mode when several connections write and one
# resets the log: https://sqlite.org/wal.html ("WAL-reset bug"), fixed in 3.51.3.
SQLITE_FLOOR = (3, 51, 3)

_CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"
_RESTART = "PRAGMA wal_checkpoint(RESTART)"
# Frames of a page: 64 MB. From this length on the write-ahead log is begun anew.
_LONG = 16_384
# So long may the writers be kept waiting for readers who are still in it, milliseconds.
_WRITERS_WAIT = 250
_WAIT = 30_000


class SqliteDatabase(Database):
    """A file, its write-ahead log, and a file lock beside it."""

    def __init__(self, engine: sa.Engine, path: Path) -> None:
        self.engine = engine
        self.path = path
        self.name = str(path)
        self.folder = path.parent
        self._turn = threading.Lock()
        self._lockfile = path.with_name(path.name + ".turn").open("ab")
        self._long = _LONG

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """See `Database.write`: fsync has returned when the block is left."""
        with self._writing(), self.engine.connect() as connection:
            with connection.begin():
                yield connection
            if connection.info.get(LARGE):
                # The driver keeps a statement's last parameters with it: 50 MB, until the next
                # mail comes.
                connection.invalidate()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One of all threads and processes at a time is in here."""
        # SQLite lets one writer in at a time, and one who waits for BEGIN IMMEDIATE polls with
        # growing sleeps; a file lock hands the turn over at once.
        with self._turn:
            fcntl.flock(self._lockfile, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lockfile, fcntl.LOCK_UN)

    def write_beside(self) -> AbstractContextManager[sa.Connection]:
        """The same as `write`: there is one writer at a time."""
        return self.write()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """See `Database.read`."""
        with self.engine.connect().execution_options(sceau_read=True) as connection:
            yield connection

    def doubtful(self, error: Exception, ending: bool) -> bool:
        """See `Database.doubtful`. A full disk leaves nothing behind; a sick one is doubtful
        whenever it shows."""
        return is_sick(error) or (ending and not no_room(error))

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database file as far as readers allow; a long one is
        begun anew. Raises sqlalchemy.exc.OperationalError.
        """
        connection = self.engine.raw_connection()  # a checkpoint cannot run inside a transaction
        try:
            cursor = connection.cursor()
            _, length, _ = cursor.execute(_CHECKPOINT).fetchone()
            if length >= self._long:
                self._begin_anew(cursor, length)
        except self.engine.dialect.loaded_dbapi.OperationalError as error:
            raise sa.exc.OperationalError(_CHECKPOINT, None, error) from error
        finally:
            connection.close()

    def _begin_anew(self, cursor: Any, length: int) -> None:
        """SQLite begins the log anew only at a moment at which all of it was moved and nobody reads
        it. Writers that never rest leave no such moment: it grew with every minute at load, and
        whoever reads a page looks for it in all of the log.

        Nobody writes meanwhile. What they wait for is short: nearly all was moved just now, and
        readers have their time. Where somebody stays in it, the next try comes at twice the length:
        a long read must not stop the writers every second.
        """
        with self._writing():
            cursor.execute(f"PRAGMA busy_timeout={_WRITERS_WAIT}")
            try:
                busy, _, _ = cursor.execute(_RESTART).fetchone()
            finally:
                cursor.execute(f"PRAGMA busy_timeout={_WAIT}")
        self._long = 2 * length if busy else _LONG

    def close(self) -> None:
        """Give back all connections."""
        self.engine.dispose()
        self._lockfile.close()


def open_sqlite(path: Path, *, checkpoint: bool) -> SqliteDatabase:
    """See `gateway.database.open_database`. Raises DatabaseUnsafe."""
    from pysqlite3 import dbapi2

    if dbapi2.sqlite_version_info < SQLITE_FLOOR:
        floor = ".".join(map(str, SQLITE_FLOOR))
        raise DatabaseUnsafe(
            "SQLite {version} can corrupt a database with several writers",
            hint="install SQLite {floor} or newer: the package pysqlite3 carries it",
            facts={"version": dbapi2.sqlite_version, "floor": floor},
        )
    engine = sa.create_engine(
        f"sqlite+pysqlite:///{path}",
        module=dbapi2,
        connect_args={"timeout": _WAIT / 1000, "check_same_thread": False},
        hide_parameters=True,  # addresses and octets of mail never stand in an error
    )

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours, see below
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        (mode,) = cursor.fetchone()
        # FULL: the WAL is synced at every commit. NORMAL would lose the last commits on a
        # power cut, and with them mail that was acknowledged (I1).
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA wal_autocheckpoint={1000 if checkpoint else 0}")
        cursor.execute("PRAGMA synchronous")
        (synchronous,) = cursor.fetchone()
        cursor.close()
        if mode != "wal" or synchronous != 2:
            raise DatabaseUnsafe(
                "{path}: commits could be lost (journal_mode {mode}, synchronous {synchronous})",
                hint="put the database on a local disk that supports write-ahead logging",
                facts={"path": str(path), "mode": str(mode), "synchronous": str(synchronous)},
            )

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        reading = connection.get_execution_options().get("sceau_read", False)
        # IMMEDIATE takes the write lock at the start: a transaction that reads first and
        # writes later would fail in the middle when another one was faster.
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return SqliteDatabase(engine, path)
