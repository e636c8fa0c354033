"""The appender on PostgreSQL: what is tried again, what is told, and what ends the process."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from archive import store
from archive.appender import Appender
from archive.entry import new_archive_id
from archive.errors import AppenderBroken
from archive.fsck import verify
from archive.store import Draft
from gateway.database import CommitDoubtful, Database
from gateway.database.patience import BRIEF, patience
from gateway.demo.postgres import Postgres
from tests.conftest import ORIGIN
from tests.postgres_acts import cancel, place_kept, setting, terminate, wait_for_session

MOMENT = datetime(2026, 11, 21, 19, 0, tzinfo=UTC)
NOBODY = "nobody"  # a synchronous standby that never comes: commits wait


def draft() -> Draft:
    return Draft("noted", "o", new_archive_id(), {"text": b"x"})


def name_of(database: Database) -> str:
    return database.name.rpartition("/")[2]


def size(database: Database) -> int:
    with database.read() as conn:
        return store.head(conn).size


def nothing(_conn: sa.Connection) -> None:
    pass


@pytest.fixture
def appender(postgres_database: Database) -> Iterator[Appender]:
    appender = Appender(
        postgres_database.write_beside, origin=ORIGIN, now=lambda: MOMENT, again=patience(BRIEF)
    )
    yield appender
    appender.close()


def killed(postgres: Postgres, *, times: int) -> Callable[[sa.Connection], int]:
    """Writes, and has its own session ended the first `times`; returns how often it ran."""
    runs = 0

    def also(conn: sa.Connection) -> int:
        nonlocal runs
        runs += 1
        pid = conn.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        if runs <= times:
            terminate(postgres, pid)
        return runs

    return also


def test_a_connection_lost_in_a_transaction_is_one_that_left_nothing(
    postgres: Postgres, postgres_database: Database, appender: Appender
) -> None:
    assert appender.submit([draft()], killed(postgres, times=2)).result(120) == 3
    assert appender.broken is None
    assert size(postgres_database) == 1


def test_a_connection_that_is_lost_every_time_is_told_in_the_end(
    postgres: Postgres, postgres_database: Database, appender: Appender
) -> None:
    with pytest.raises(sa.exc.OperationalError):
        appender.submit([draft()], killed(postgres, times=99)).result(120)
    assert appender.broken is None
    appender.append([draft()])
    assert size(postgres_database) == 1


def test_a_connection_lost_in_the_commit_ends_the_process(
    postgres: Postgres, postgres_database: Database, appender: Appender
) -> None:
    with setting(postgres, "synchronous_standby_names", NOBODY):
        future = appender.submit([draft()], nothing)
        terminate(postgres, wait_for_session(postgres, name_of(postgres_database), "SyncRep"))
        with pytest.raises(AppenderBroken, match="unknown"):
            future.result(120)
    assert appender.broken is not None


def test_a_commit_that_did_not_wait_for_the_standby_is_no_commit(
    postgres: Postgres, postgres_database: Database, appender: Appender
) -> None:
    """The server says COMMIT and a warning: it is on one disk only."""
    with setting(postgres, "synchronous_standby_names", NOBODY):
        future = appender.submit([draft()], nothing)
        cancel(postgres, wait_for_session(postgres, name_of(postgres_database), "SyncRep"))
        with pytest.raises(AppenderBroken) as caught:
            future.result(120)
    assert isinstance(caught.value.__cause__, CommitDoubtful)


def test_deadlocks_are_tried_again(postgres_database: Database) -> None:
    """Two processes that write the same rows in opposite order."""
    with postgres_database.write() as conn:
        for name in "ab":
            conn.execute(
                sa.text("INSERT INTO crl_fetches (location, tried_at) VALUES (:name, '')"),
                {"name": name},
            )
    meet = threading.Barrier(2)

    def crossing(first: str, second: str) -> Callable[[sa.Connection], int]:
        runs = 0

        def also(conn: sa.Connection) -> int:
            nonlocal runs
            runs += 1
            touch = sa.text("UPDATE crl_fetches SET tried_at = 'x' WHERE location = :name")
            conn.execute(touch, {"name": first})
            if runs == 1:
                meet.wait(60)
            conn.execute(touch, {"name": second})
            return runs

        return also

    appenders = [
        Appender(
            postgres_database.write_beside, origin=ORIGIN, now=lambda: MOMENT, again=patience(BRIEF)
        )
        for _ in range(2)
    ]
    futures = [
        one.submit([draft()], crossing(*order))
        for one, order in zip(appenders, ("ab", "ba"), strict=True)
    ]
    runs = sorted(future.result(120) for future in futures)
    # On a slow machine who lost may lose again to the same lock before the winner has committed.
    assert runs[0] == 1
    assert runs[1] >= 2
    for one in appenders:
        one.close()
    assert size(postgres_database) == 2


def test_a_lock_that_is_not_given_up_is_told_and_not_waited_for(
    postgres_database: Database, appender: Appender
) -> None:
    """Another machine froze with the head of the log in its hand."""

    def impatient(conn: sa.Connection) -> None:
        conn.execute(sa.text("SET LOCAL lock_timeout = '50ms'"))

    with postgres_database.write_beside() as conn:
        store.head(conn, lock=True)
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            appender.submit([draft()], impatient).result(120)
    assert appender.broken is None
    appender.append([draft()])


def test_whoever_falls_silent_in_a_transaction_loses_it(postgres_database: Database) -> None:
    with postgres_database.write_beside() as conn:
        wait = sa.text("SHOW idle_in_transaction_session_timeout")
        assert conn.execute(wait).scalar() == "10s"
        assert conn.execute(sa.text("SHOW lock_timeout")).scalar() == "12s"


def test_it_goes_on_after_the_server_was_restarted(
    postgres: Postgres, postgres_database: Database
) -> None:
    """It was away at the first try, and is there at the second, however long a start takes."""
    again, asked = patience(BRIEF), []

    def and_start(error: Exception, tries: int) -> float | None:
        asked.append(tries)
        postgres.start()
        return again(error, tries)

    appender = Appender(
        postgres_database.write_beside, origin=ORIGIN, now=lambda: MOMENT, again=and_start
    )
    appender.append([draft()])
    postgres.stop()
    with place_kept(postgres):
        appender.submit([draft()], nothing).result(120)
    assert asked == [1]
    assert size(postgres_database) == 2
    assert appender.broken is None
    appender.close()


PROGRAM = """
import sys
from datetime import UTC, datetime
from archive.appender import Appender
from archive.entry import new_archive_id
from archive.store import Draft
from gateway.database import open_database
url, origin, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
database = open_database(url, password=sys.stdin.readline())
appender = Appender(
    database.write_beside, origin=origin, now=lambda: datetime.now(UTC), max_batch=3
)
units = [
    appender.submit(
        [Draft("noted", "o", new_archive_id(), {"text": b"x"}) for _ in range(1 + n % 3)],
        lambda conn: None,
    )
    for n in range(count)
]
for unit in units:
    unit.result(60)
appender.close()
"""


def test_two_processes_append_and_the_chain_is_whole(
    postgres: Postgres, postgres_database: Database
) -> None:
    url = postgres.url(name_of(postgres_database))
    running = []
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, ORIGIN, "120"],
            stdin=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdin is not None
        process.stdin.write(postgres.password.encode())
        process.stdin.close()
        running.append(process)
    assert [process.wait(60) for process in running] == [0, 0]
    with postgres_database.read() as conn:
        report = verify(conn)
    assert (report.status, report.entries) == ("valid", 2 * 240)
