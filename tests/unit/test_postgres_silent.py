"""PostgreSQL that falls silent, holds a lock, or stops being safe while we run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from archive import store
from archive.appender import Appender
from archive.errors import AppenderBroken
from gateway.database import Database, DatabaseUnsafe, open_database, postgres
from gateway.database.late import LateDatabase
from gateway.database.patience import BRIEF, patience
from gateway.demo.postgres import USER, Postgres
from gateway.queue import processes
from gateway.queue.takeover import Watch
from tests.conftest import ORIGIN
from tests.flows.way_out_scene import until
from tests.postgres_acts import setting
from tests.services.silent_proxy import SilentProxy
from tests.unit.test_licence import TRUSTING
from tests.unit.test_postgres_appender import MOMENT, draft, size


@pytest.fixture
def line(postgres: Postgres) -> Iterator[SilentProxy]:
    with SilentProxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def behind(
    postgres: Postgres, new_postgres: Callable[[], str], line: SilentProxy
) -> Iterator[Database]:
    name = new_postgres().rpartition("/")[2]
    url = f"postgresql+psycopg://{USER}@127.0.0.1:{line.port}/{name}"
    database = open_database(url, password=postgres.password)
    yield database
    database.close()


def test_an_idle_connection_that_was_forgotten_is_replaced_unnoticed(
    behind: Database, line: SilentProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The new connection has as long: so long may the machine have stalled.
    monkeypatch.setattr(postgres, "_BEGIN_WITHIN", 3.5)
    with behind.write() as conn:
        assert conn.execute(sa.text("SELECT 1")).scalar() == 1
    assert line.forget() >= 1
    begun = time.monotonic()
    with behind.write() as conn:
        assert conn.execute(sa.text("SELECT 2")).scalar() == 2
    assert 3.5 <= time.monotonic() - begun < 60


def test_connections_cut_while_idle_are_no_outage(
    postgres: Postgres, new_postgres: Callable[[], str]
) -> None:
    """A restart of the server that nobody felt is told to nobody."""
    database = open_database(new_postgres(), password=postgres.password)
    for begin in (database.write_beside, database.read):
        with begin() as conn:
            conn.execute(sa.text("SELECT 1"))
    seen: list[BaseException | None] = []
    database.noticed = seen.append
    ours = "FROM pg_stat_activity WHERE datname = %s"
    name = [database.name.rpartition("/")[2]]
    with postgres.connect() as other:
        other.execute(f"SELECT pg_terminate_backend(pid) {ours}", name)
        until(lambda: other.execute(f"SELECT {ours}", name).fetchone() is None, 60, str)
    for begin in (database.read, database.write_beside):
        with begin() as conn:
            conn.execute(sa.text("SELECT 1"))
    assert seen == [None]
    database.close()


def test_a_server_that_is_gone_is_noticed_at_once(behind: Database, line: SilentProxy) -> None:
    with behind.write_beside():
        pass
    seen: list[BaseException | None] = []
    behind.noticed = seen.append
    line.stop()
    with pytest.raises(sa.exc.OperationalError), behind.glance():
        pass
    assert isinstance(seen[-1], sa.exc.OperationalError)


def test_silence_in_a_transaction_left_nothing_and_is_told_in_time(
    behind: Database, line: SilentProxy
) -> None:
    appender = Appender(
        behind.write_beside, origin=ORIGIN, now=lambda: MOMENT, again=patience(BRIEF)
    )
    seen: list[BaseException | None] = []
    behind.noticed, behind.answer_within = seen.append, 0.5
    begun = time.monotonic()
    with pytest.raises(sa.exc.OperationalError, match="has not answered within"):
        appender.submit([draft()], lambda _conn: line.forget()).result(120)
    assert time.monotonic() - begun < 10
    assert seen[0] is not None
    assert appender.broken is None
    behind.answer_within = 60
    appender.append([draft()])
    assert seen[-1] is None
    assert size(behind) == 1
    appender.close()


def test_a_commit_without_an_answer_has_an_outcome_that_nobody_knows(
    behind: Database, postgres: Postgres
) -> None:
    """Its standby is away: it is on one disk, and may count after all."""
    appender = Appender(
        behind.write_beside, origin=ORIGIN, now=lambda: MOMENT, again=patience(BRIEF)
    )
    # All that comes before the commit has as long: so long may the machine have stalled.
    behind.answer_within = 3.5
    with setting(postgres, "synchronous_standby_names", "nobody"):
        begun = time.monotonic()
        with pytest.raises(AppenderBroken, match="unknown"):
            appender.append([draft()])
        assert time.monotonic() - begun < 20
    assert appender.broken is not None


def test_a_locked_table_is_told_after_one_wait(
    postgres: Postgres, postgres_database: Database
) -> None:
    """A client waits: who holds the lock does not let go of it for a second try."""
    appender = Appender(
        postgres_database.write_beside, origin=ORIGIN, now=lambda: MOMENT, again=patience(BRIEF)
    )
    waits: list[int] = []

    def impatient(conn: sa.Connection) -> None:
        waits.append(1)
        conn.execute(sa.text("SET LOCAL lock_timeout = '100ms'"))

    with postgres.connect(postgres_database.name.rpartition("/")[2]) as session:
        session.execute("BEGIN")
        session.execute("LOCK TABLE archive.log_head IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            appender.submit([draft()], impatient).result(120)
        session.execute("ROLLBACK")
    assert waits == [1]
    appender.append([draft()])
    appender.close()


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
def test_what_is_turned_off_while_we_run_ends_the_commits(
    postgres: Postgres,
    postgres_database: Database,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gateway.database import postgres as module

    with postgres_database.write() as conn:
        store.head(conn)
    monkeypatch.setattr(module, "_LOOK_AGAIN", 0.0)

    def refusal() -> str:
        try:
            with postgres_database.write():
                return ""
        except DatabaseUnsafe as error:
            return str(error)

    with setting(postgres, name, "off"):
        until(lambda: f"{name} is off" in refusal(), 60, lambda: name)
    until(lambda: not refusal(), 60, lambda: name)
    with postgres_database.write() as conn:
        store.head(conn)


def test_a_database_that_comes_late_is_there_when_it_is_there(postgres_database: Database) -> None:
    answers: list[Database | Exception] = [
        sa.exc.OperationalError("connect", None, Exception("refused")),
        postgres_database,
    ]
    seen: list[BaseException | None] = []

    def open_() -> Database:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    late = LateDatabase(open_, "db/x")
    late.noticed, late.answer_within = seen.append, 7.0
    with pytest.raises(sa.exc.OperationalError):
        late.open()
    assert len(seen) == 1
    with late.write() as conn:
        assert store.head(conn).size == 0
    assert postgres_database.answer_within == 7.0
    assert answers == []


def connected(postgres: Postgres, database: Database) -> psycopg.Connection[Any]:
    """Another session of the same role."""
    return psycopg.connect(
        host="127.0.0.1",
        port=postgres.port,
        user=USER,
        password=postgres.password,
        dbname=database.name.rpartition("/")[2],
        autocommit=True,
    )


@contextmanager
def frozen(postgres: Postgres, database: Database, statement: bytes) -> Iterator[None]:
    """A process that stopped between the statements of one question, in a transaction."""
    with closing(connected(postgres, database)) as connection:
        connection.execute("SET idle_in_transaction_session_timeout = '100ms'")
        connection.execute("BEGIN")
        connection.pgconn.enter_pipeline_mode()
        connection.pgconn.send_query_params(statement, [])
        while connection.pgconn.flush():
            time.sleep(0.01)
        time.sleep(0.5)
        yield


def test_a_process_that_froze_within_a_question_keeps_no_lock(
    postgres: Postgres, postgres_database: Database
) -> None:
    """The server's limit for idle transactions does not see it."""
    head = b"SELECT * FROM archive.log_head FOR UPDATE"
    with frozen(postgres, postgres_database, head):
        assert postgres_database.end_silent(60) == 0
        assert postgres_database.end_silent(0.3) == 1
        with postgres_database.write() as conn:
            conn.execute(sa.text("SET LOCAL lock_timeout = '5s'"))
            assert store.head(conn).size == 0


def test_nobody_else_is_ended(postgres: Postgres, postgres_database: Database) -> None:
    with ExitStack() as stack:
        idle, between, waiting, feeding = (
            stack.enter_context(closing(connected(postgres, postgres_database))) for _ in range(4)
        )
        between.execute("BEGIN")
        between.execute("SELECT * FROM archive.log_head FOR UPDATE")
        waiting.execute("SET lock_timeout = 0")
        waiting.pgconn.send_query(b"SELECT * FROM archive.log_head FOR UPDATE")
        feeding.pgconn.exec_(b"COPY pki.crl_fetches (location) FROM STDIN")
        time.sleep(0.5)

        assert postgres_database.end_silent(0.1) == 0

        assert idle.execute("SELECT 1").fetchone() == (1,)
        between.execute("COMMIT")
        assert waiting.pgconn.get_result() is not None
        feeding.pgconn.put_copy_end()


def test_the_work_of_a_process_that_froze_within_a_question_is_taken_over(
    postgres: Postgres, postgres_database: Database
) -> None:
    """It has locked its licence against removal, as each of its transactions does."""
    with postgres_database.write() as conn:
        processes.register(conn, "w1", node="n1", role="worker", now=0, takeover=10_000_000)
    now = [1000.0]
    observer = Watch(
        postgres_database,
        origin=ORIGIN,
        org="o",
        belief=TRUSTING,
        clock=lambda: now[0],
        silent=0.3,
    )
    mine = b"SELECT name FROM gateway.processes FOR KEY SHARE"
    with frozen(postgres, postgres_database, mine):
        dismissed: list[str] = []
        for _ in range(6):
            now[0] += 2
            dismissed += observer.look()
    assert dismissed == ["w1"]
