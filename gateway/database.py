"""The database: one place that opens it and that knows what SQLite and PostgreSQL call things.

Tables live in schemas named after the packages (`archive`, `pki`, `gateway`). SQLite has no
schemas: there the names are translated away, which is why table names are unique across
packages. All other SQL of the product runs on both.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from gateway.errors import SceauError

SCHEMAS = ("archive", "pki", "gateway")

# Older versions can corrupt a database in WAL mode when several connections write and one
# resets the log: https://sqlite.org/wal.html ("WAL-reset bug"), fixed in 3.51.3.
SQLITE_FLOOR = (3, 51, 3)


class DatabaseUnsafe(SceauError):
    """The database or its settings would lose what was committed: the start is refused."""


class Database:
    """An open database. `write()` and `read()` are the only ways to a connection."""

    def __init__(self, engine: sa.Engine, path: Path) -> None:
        self.engine = engine
        self.path = path
        self._turn = threading.Lock()
        self._lockfile = path.with_name(path.name + ".turn").open("ab")

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A write transaction; commits at the end of the block, rolls back on an exception.

        When the block is left without an exception the commit is durable (fsync has returned).
        """
        # SQLite lets one writer in at a time, and one who waits for BEGIN IMMEDIATE polls with
        # growing sleeps; a file lock hands the turn over at once.
        with self._turn:
            fcntl.flock(self._lockfile, fcntl.LOCK_EX)
            try:
                with self.engine.begin() as connection:
                    yield connection
            finally:
                fcntl.flock(self._lockfile, fcntl.LOCK_UN)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A read transaction: one consistent state, never waits for writers."""
        with self.engine.connect().execution_options(sceau_read=True) as connection:
            yield connection

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database file as far as readers allow."""
        connection = self.engine.raw_connection()  # a checkpoint cannot run inside a transaction
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        finally:
            connection.close()

    def close(self) -> None:
        """Give back all connections."""
        self.engine.dispose()
        self._lockfile.close()


def open_database(url: str, *, checkpoint: bool = False, existing: bool = False) -> Database:
    """Open `sqlite:///path`. Refuses versions and settings that would lose commits.

    checkpoint: True for the one process that moves the WAL into the database (the keeper, and
        commands that run alone); the others leave the log to it.
    existing: refuse to make a new one. On a data disk that is not mounted, an empty database in
        its place would hide that.
    Raises DatabaseUnsafe, SceauError.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise SceauError(
            "database.url: {url} is not a database this version can use",
            hint='write "sqlite:///data/sceau.db"',
            facts={"url": parsed.render_as_string()},
        )
    path = Path(parsed.database)
    if existing and not path.is_file():
        raise SceauError(
            "there is no database {path}",
            hint="sceau init makes the database of a new installation",
            facts={"path": str(path)},
        )
    return _open_sqlite(path, checkpoint=checkpoint)


def _open_sqlite(path: Path, *, checkpoint: bool) -> Database:
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
        hide_parameters=True,  # a fault goes into the log, and with it who writes to whom
        execution_options={"schema_translate_map": dict.fromkeys(SCHEMAS)},
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

    return Database(engine, path)
