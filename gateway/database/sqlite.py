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


class SqliteDatabase(Database):
    """A file, its write-ahead log, and a file lock beside it."""

    def __init__(self, engine: sa.Engine, path: Path) -> None:
        self.engine = engine
        self.path = path
        self.name = str(path)
        self.folder = path.parent
        self._turn = threading.Lock()
        self._lockfile = path.with_name(path.name + ".turn").open("ab")

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """See `Database.write`: fsync has returned when the block is left."""
        # SQLite lets one writer in at a time, and one who waits for BEGIN IMMEDIATE polls with
        # growing sleeps; a file lock hands the turn over at once.
        with self._turn:
            fcntl.flock(self._lockfile, fcntl.LOCK_EX)
            try:
                with self.engine.connect() as connection:
                    with connection.begin():
                        yield connection
                    if connection.info.get(LARGE):
                        # The driver keeps a statement's last parameters with it: 50 MB, until
                        # the next mail comes.
                        connection.invalidate()
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
        """Move the write-ahead log into the database file as far as readers allow.

        Raises sqlalchemy.exc.OperationalError.
        """
        connection = self.engine.raw_connection()  # a checkpoint cannot run inside a transaction
        try:
            connection.cursor().execute(_CHECKPOINT).fetchall()
        except self.engine.dialect.loaded_dbapi.OperationalError as error:
            raise sa.exc.OperationalError(_CHECKPOINT, None, error) from error
        finally:
            connection.close()

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
        connect_args={"timeout": 30, "check_same_thread": False},
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
