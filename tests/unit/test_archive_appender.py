"""Group commit: many callers, one fsync, and each unit whole or not there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from archive import store
from archive.appender import Appender
from archive.entry import new_archive_id
from archive.errors import AppenderBroken, EntryMalformed, LogExists
from archive.store import Draft
from gateway.database import Database
from tests.unit.archive_world import MOMENT, ORIGIN, World


def draft(kind: str = "noted") -> Draft:
    return Draft(kind, "o", new_archive_id(), {"text": b"x"})


class Transactions:
    """Counts transactions, can hold the next one up, and can fail at its end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.fail_at_end: Exception | None = None
        self.fail_at_start: Exception | None = None

    @contextmanager
    def __call__(self) -> Iterator[sa.Connection]:
        self.count += 1
        self.entered.set()
        self.gate.wait(20)
        if self.fail_at_start is not None:
            raise self.fail_at_start
        with self.world.database.write() as conn:
            yield conn
            if self.fail_at_end is not None:
                raise self.fail_at_end


@pytest.fixture
def world(tmp_path: Path, database: Database) -> Iterator[World]:
    with World(tmp_path, database) as world:
        world.change("CREATE TABLE rows (name TEXT UNIQUE)")
        yield world


@pytest.fixture
def transactions(world: World) -> Transactions:
    return Transactions(world)


@pytest.fixture
def appender(transactions: Transactions) -> Iterator[Appender]:
    appender = Appender(transactions, origin=ORIGIN, now=lambda: MOMENT)
    yield appender
    transactions.gate.set()
    appender.close()


def row(name: str):
    def also(conn: sa.Connection) -> str:
        conn.execute(sa.text("INSERT INTO rows VALUES (:name)"), {"name": name})
        return name

    return also


def rows(world: World) -> set[str]:
    with world.database.read() as conn:
        return {one for (one,) in conn.exec_driver_sql("SELECT name FROM rows")}


def size(world: World) -> int:
    with world.database.read() as conn:
        return store.head(conn).size


def test_what_waits_goes_into_one_commit_in_the_order_it_came(
    world: World, transactions: Transactions, appender: Appender
) -> None:
    transactions.gate.clear()
    first = appender.submit([draft()], row("first"))
    transactions.entered.wait(20)
    drafts = [draft() for _ in range(100)]
    futures = [appender.submit([one], row(str(i))) for i, one in enumerate(drafts)]
    transactions.gate.set()
    assert [future.result(20) for future in futures] == [str(i) for i in range(100)]
    assert first.result(20) == "first"
    assert transactions.count == 3  # 1, 64, 36
    with world.database.read() as conn:
        assert [one.id for one in store.read_entries(conn, 1)] == [one.archive_id for one in drafts]
    assert world.verify().status == "valid"


def test_many_threads_and_one_bad_unit_each_time(world: World, appender: Appender) -> None:
    results: dict[str, object] = {}

    def also_bad(_conn: sa.Connection) -> None:
        raise ValueError("this unit is bad")

    def caller(thread: int) -> None:
        for number in range(10):
            name = f"{thread}-{number}"
            bad = number == thread
            try:
                also = also_bad if bad else row(name)
                results[name] = appender.submit([draft(), draft()], also).result(30)
            except ValueError as error:
                results[name] = error

    threads = [threading.Thread(target=caller, args=(one,)) for one in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    good = {name for name, result in results.items() if result == name}
    assert len(results) == 80
    assert len(good) == 72
    assert rows(world) == good
    assert size(world) == 2 * 72
    assert world.verify().status == "valid"


def test_a_unit_that_writes_and_then_fails_leaves_nothing(
    world: World, transactions: Transactions, appender: Appender
) -> None:
    def also(conn: sa.Connection) -> None:
        row("half")(conn)
        raise RuntimeError("too late")

    transactions.gate.clear()
    futures: list[Future[object]] = [appender.submit([draft()], row("before"))]
    transactions.entered.wait(20)
    futures.append(appender.submit([draft()], also))
    futures.append(appender.submit([draft()], row("after")))
    transactions.gate.set()
    with pytest.raises(RuntimeError, match="too late"):
        futures[1].result(20)
    assert futures[2].result(20) == "after"
    assert rows(world) == {"before", "after"}
    assert size(world) == 2


def test_a_second_content_for_one_archive_id_fails_alone(world: World, appender: Appender) -> None:
    accepted = world.accepted()
    appender.append([accepted])
    other = appender.submit([world.accepted()], row("other"))
    again = appender.submit([accepted], row("again"))
    with pytest.raises(sa.exc.IntegrityError):
        again.result(20)
    assert other.result(20) == "other"
    assert rows(world) == {"other"}
    assert world.verify(open_with=world.authority).opened == 2


def test_a_bad_draft_is_refused_before_it_waits(world: World, appender: Appender) -> None:
    with pytest.raises(EntryMalformed):
        appender.submit([draft("Not A Kind")], row("x"))
    assert size(world) == 0


@pytest.mark.parametrize(
    "failure", [sa.exc.OperationalError("COMMIT", {}, OSError("EIO")), OSError("disk")]
)
def test_after_a_failed_commit_nothing_is_called_a_success_again(
    world: World, transactions: Transactions, appender: Appender, failure: Exception
) -> None:
    transactions.gate.clear()
    first = appender.submit([draft()], row("first"))
    transactions.entered.wait(20)
    waiting = [appender.submit([draft()], row(str(i))) for i in range(3)]
    transactions.fail_at_end = failure
    transactions.gate.set()
    for future in (first, *waiting):
        with pytest.raises(AppenderBroken, match="unknown"):
            future.result(20)
    transactions.fail_at_end = None
    assert appender.broken is not None
    with pytest.raises(AppenderBroken):
        appender.submit([draft()], row("later"))
    assert transactions.count == 1


def test_a_database_that_is_away_fails_the_waiting_and_not_the_later(
    world: World, transactions: Transactions, appender: Appender
) -> None:
    transactions.gate.clear()
    transactions.fail_at_start = sa.exc.OperationalError("BEGIN", {}, OSError("away"))
    futures = [appender.submit([draft()], row(str(i))) for i in range(20)]
    transactions.gate.set()
    for future in futures:
        with pytest.raises(sa.exc.OperationalError):
            future.result(20)
    assert transactions.count <= 6  # no time-out for each of twenty
    transactions.fail_at_start = None
    assert appender.submit([draft()], row("back")).result(20) == "back"
    assert appender.broken is None
    assert rows(world) == {"back"}


def test_a_caller_that_gave_up_in_time_leaves_nothing(
    world: World, transactions: Transactions, appender: Appender
) -> None:
    transactions.gate.clear()
    first = appender.submit([draft()], row("first"))
    transactions.entered.wait(20)
    gone = appender.submit([draft()], row("gone"))
    assert gone.cancel()
    assert not first.cancel()  # it is being committed: too late to give up
    transactions.gate.set()
    appender.close()
    with pytest.raises(CancelledError):
        gone.result()
    assert rows(world) == {"first"}
    assert size(world) == 1


def test_close_commits_what_waits_and_refuses_more(
    world: World, transactions: Transactions, appender: Appender
) -> None:
    futures = [appender.submit([draft()], row(str(i))) for i in range(150)]
    appender.close()
    assert all(future.done() for future in futures)
    assert size(world) == 150
    with pytest.raises(AppenderBroken, match="shut down"):
        appender.append([draft()])


def test_from_an_event_loop(world: World, appender: Appender) -> None:
    async def many() -> list[str]:
        futures = [appender.submit([draft()], row(str(i))) for i in range(50)]
        return await asyncio.gather(*map(asyncio.wrap_future, futures))

    assert asyncio.run(many()) == [str(i) for i in range(50)]
    assert size(world) == 50


def test_a_log_of_another_name_is_not_written_to(world: World) -> None:
    appender = Appender(world.database.write, origin="other/log", now=lambda: MOMENT)
    with pytest.raises(LogExists, match=ORIGIN):
        appender.append([draft()])
    appender.close()
    assert size(world) == 0
