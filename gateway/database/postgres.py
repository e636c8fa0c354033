"""PostgreSQL: the database that several machines share (docs/decisions/0010)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext

from gateway.database.base import CommitDoubtful, Database, DatabaseUnsafe, Listening
from gateway.database.postgres_bounded import BoundedConnection, bounded
from gateway.database.postgres_errors import is_outage, translated, was_slow
from gateway.database.postgres_listen import PostgresListening
from gateway.database.postgres_session import begin_session, judge, look
from gateway.database.postgres_streams import OctetStream

# Kept open, and opened at need: a process writes from one thread and reads from a few.
_KEPT = 2
_MORE = 10
# So that a server that is gone without a word is noticed before its clients give up (seconds,
# tcp_user_timeout in milliseconds); the address in the configuration may say otherwise.
_PATIENCE = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "application_name": "sceau",
}

# BEGIN takes no lock and reads no disk: a server that is well answers it at once. So a connection
# that a firewall has cut while it lay idle costs this much (seconds), and then there is a new one.
_BEGIN_WITHIN = 5.0

# fsync and full_page_writes are read by the server from its configuration while it runs: a session
# looks again when its last look is so old (seconds).
_LOOK_AGAIN = 5.0

# One writer at a time, for what is written rarely and was thought through for SQLite's one writer:
# looking whether a CRL is newer, then storing it. The number is ours alone in this database.
_TAKE_TURN = sa.text("SELECT pg_advisory_xact_lock(5279481)")

# Several statements sent without waiting (executemany) are one question to the server until it is
# told that it ends. A machine that freezes in the middle leaves a session that is neither idle in
# a transaction nor at work: it reads, `active`, without any limit, and keeps its locks. COPY reads
# in the same way; ours has none, and who feeds one by hand may take his time.
_END_SILENT = sa.text("""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = session_user AND pid <> pg_backend_pid()
  AND state = 'active' AND wait_event = 'ClientRead' AND query NOT ILIKE '%copy%'
  AND state_change < clock_timestamp() - make_interval(secs => :seconds)
""")

_BEGIN_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_BEGIN_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresDatabase(Database):
    """A server. Reads and writes have connections of their own, each set up once."""

    shared = True

    def __init__(self, url: sa.URL, name: str) -> None:
        self.name = name
        self._url = url
        self._writing = self._engine(writing=True)
        self._reading = self._engine(writing=False)

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """See `Database.write`."""
        with self.write_beside() as connection:
            connection.execute(_TAKE_TURN)
            yield connection

    @contextmanager
    def write_beside(self) -> Iterator[sa.Connection]:
        """See `Database.write_beside`. READ COMMITTED: a lock that was waited for shows the row
        as the other one left it.

        Raises CommitDoubtful.
        """
        with self._begun(self._writing, self.patience) as connection:
            yield connection
            _commit(connection)
        if self.noticed is not None:
            self.noticed(None)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """See `Database.read`. REPEATABLE READ, READ ONLY."""
        with self._begun(self._reading, self.patience) as connection:
            yield connection

    @contextmanager
    def glance(self) -> Iterator[sa.Connection]:
        """See `Database.glance`."""
        with self._begun(self._reading, ()) as connection:
            yield connection

    def checkpoint(self) -> None:
        """PostgreSQL does that itself."""

    def close(self) -> None:
        """Give back all connections."""
        self._writing.dispose()
        self._reading.dispose()

    def end_silent(self, seconds: float = 10.0) -> int:
        """See `Database.end_silent`: what idle_in_transaction_session_timeout does not see."""
        with self.read() as connection:
            return len(connection.execute(_END_SILENT, {"seconds": seconds}).all())

    def listen(self, heard: Callable[[], None]) -> Listening:
        """See `Database.listen`."""
        return PostgresListening(self._connect, heard)

    def _begun(self, engine: sa.Engine, pauses: tuple[float, ...]) -> sa.Connection:
        """A connection in a transaction. One that the server has closed since it was last used,
        and a server that is away for a moment, are found here, where nothing is lost yet.
        """
        pauses_left = iter((0.0, *pauses))
        idle = True
        while True:
            try:
                return _begin(engine)
            except sa.exc.OperationalError as error:
                if not is_outage(error):
                    raise
                # The first may have lain idle while an outage came and went: the pool has thrown
                # away what is as old, and the next one is new and tells how the server is.
                if not idle or was_slow(error):
                    self._notice(error)
                idle = False
                pause = next(pauses_left, None)
                if pause is None:
                    raise
                time.sleep(0.0 if error.connection_invalidated else pause)
            except DatabaseUnsafe as error:
                self._notice(error)
                raise

    def _connect(self) -> psycopg.Connection[Any]:
        arguments, keywords = self._writing.dialect.create_connect_args(self._url)
        return psycopg.connect(*arguments, **keywords, autocommit=True)

    def _bounded(self) -> BoundedConnection:
        arguments, keywords = self._writing.dialect.create_connect_args(self._url)
        return BoundedConnection.connect(*arguments, **keywords)

    def _engine(self, *, writing: bool) -> sa.Engine:
        engine = sa.create_engine(
            self._url,
            creator=self._bounded,
            hide_parameters=True,
            use_native_hstore=False,
            pool_size=_KEPT,
            max_overflow=_MORE,
            pool_use_lifo=True,  # what is not needed any more goes idle; the server may close it
        )

        @event.listens_for(engine, "connect")
        def _session(connection: BoundedConnection, record: Any) -> None:
            connection.autocommit = True  # BEGIN is ours, see below
            connection.server_cursor_factory = OctetStream
            with bounded(connection, _BEGIN_WITHIN):
                begin_session(connection, self.name, writing=writing)
            record.info["looked"] = time.monotonic()
            warnings: list[str] = []
            record.info["warnings"] = warnings

            def note(notice: psycopg.errors.Diagnostic) -> None:
                if notice.severity_nonlocalized == "WARNING":
                    warnings.append(notice.message_primary or "")

            connection.add_notice_handler(note)

        begin = _BEGIN_WRITE if writing else _BEGIN_READ

        @event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            raw = connection.connection.driver_connection
            assert isinstance(raw, BoundedConnection)
            raw.patience = self.answer_within
            with bounded(raw, _BEGIN_WITHIN):
                if writing and time.monotonic() - connection.info["looked"] > _LOOK_AGAIN:
                    statement, values = look(writing=True)
                    judge(
                        connection.exec_driver_sql(statement, values).one(),
                        self.name,
                        writing=True,
                    )
                    connection.info["looked"] = time.monotonic()
                # Not left to the driver, which sends it with the first statement: see `_begun`.
                connection.exec_driver_sql(begin)

        event.listen(engine, "handle_error", self._translated)
        return engine

    def _translated(self, context: ExceptionContext) -> BaseException | None:
        error = translated(context)
        # What a transaction begins with is noticed by `_begun`, which asks once more.
        begins = context.statement in (_BEGIN_WRITE, _BEGIN_READ, look(writing=True)[0])
        if error is not None and (is_outage(error) or was_slow(error)) and not begins:
            self._notice(error)
        return error

    def _notice(self, error: BaseException) -> None:
        if self.noticed is not None:
            self.noticed(error)


def open_postgres(url: sa.URL, *, password: str) -> PostgresDatabase:
    """Open `postgresql+psycopg://user@host/name`; connects, so that what is unsafe is told now.

    Raises DatabaseUnsafe, sqlalchemy.exc.OperationalError.
    """
    defaults = dict(_PATIENCE)
    if isinstance(url.query.get("host"), tuple):
        # Of several, the one that takes writes; a standby that was promoted is found again.
        defaults["target_session_attrs"] = "read-write"
    url = url.update_query_dict({**defaults, **url.query})
    if password:
        url = url.set(password=password)
    database = PostgresDatabase(url, readable_name(url))
    try:
        with database.write_beside():
            pass
    except BaseException:
        database.close()
        raise
    return database


def readable_name(url: sa.URL) -> str:
    """`host:port/name` for people: no user, no password, no options."""
    hosts = url.query.get("host", url.host or "")
    host = hosts if isinstance(hosts, str) else ",".join(hosts)
    port = f":{url.port}" if url.port else ""
    return f"{host or 'localhost'}{port}/{url.database}"


def _begin(engine: sa.Engine) -> sa.Connection:
    connection = engine.connect()
    try:
        connection.begin()
    except BaseException:
        connection.close()
        raise
    return connection


def _commit(connection: sa.Connection) -> None:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    if raw.info.transaction_status == TransactionStatus.INERROR:
        # COMMIT would answer ROLLBACK and raise nothing.
        raise RuntimeError("a statement failed, and the transaction went on as if it had not")
    warnings: list[str] = connection.info["warnings"]
    warnings.clear()
    connection.commit()
    if warnings:
        # While a commit waits for its synchronous standby, a cancelled query or a stop of the
        # server lets it return with a warning: it is on one disk, not on two.
        connection.invalidate()
        raise CommitDoubtful(
            "{name}: the commit is only on the primary: {why}",
            facts={"name": readable_name(connection.engine.url), "why": warnings[0]},
        )
