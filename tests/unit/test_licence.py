"""Several machines on one PostgreSQL: who may work, and when another one takes over."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from archive.appender import Appender
from gateway.belief import Belief
from gateway.clock import boot_clock, to_micros
from gateway.database import Database
from gateway.demo.postgres import Postgres
from gateway.queue import processes
from gateway.queue.jobs import Job, NewMessage
from gateway.queue.licence import Licence
from gateway.queue.store.claim import _DUE, NO_LIMIT, something_due
from gateway.queue.store.claim import claim as claim_rows
from gateway.queue.store.deaths import Blame
from gateway.queue.store.enqueue import enqueue
from gateway.queue.store.take import take
from gateway.queue.takeover import Watch, take_over
from gateway.queue.wake import Wake
from tests.conftest import ORIGIN
from tests.postgres_acts import sessions, terminate

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
T0 = to_micros(NOW)
TRUSTING = Belief(Path("/nowhere"))  # no basis: the wall clock is believed
MINUTE = timedelta(seconds=60)


def put(database: Database, name: str) -> None:
    message = NewMessage(
        archive_id=name, org="o", kind="mail", sender="a@a.example", author="a@a.example",
        parameters={}, sha256="0" * 64, size=1, accepted_at=T0, expires_at=T0 * 2,
        recipients=("b@b.example",),
    )  # fmt: skip
    with database.write() as conn:
        enqueue(conn, [message])


def claim(conn: sa.Connection, worker: str) -> list[str]:
    jobs = claim_rows(
        conn, worker=worker, now=T0, limit=9, max_bytes=9**9, waits=[timedelta(minutes=5)]
    )
    return [job.archive_id for job in jobs]


class Lost:
    """What is called in the place of ending the process."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.event = threading.Event()

    def __call__(self, reason: str) -> None:
        self.reasons.append(reason)
        self.event.set()


@contextmanager
def licensed(
    database: Database, name: str, *, node: str = "n1", takeover: timedelta = MINUTE
) -> Iterator[tuple[Licence, Lost]]:
    lost = Lost()
    licence = Licence(
        database, name, node=node, role="worker", now=T0, takeover=takeover, lost=lost
    )
    yield licence, lost
    licence.close()


def names(database: Database) -> set[str]:
    with database.read() as conn:
        return {one.name for one in processes.known(conn)}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def watch(database: Database) -> tuple[Watch, Clock]:
    clock = Clock()
    return Watch(database, origin=ORIGIN, org="o", belief=TRUSTING, clock=clock), clock


def pass_by(observer: Watch, clock: Clock, seconds: float) -> list[str]:
    """Look every two seconds for so long; who was dismissed."""
    gone: list[str] = []
    for _ in range(round(seconds / 2)):
        clock.now += 2
        gone += observer.look()
    return gone


def test_without_its_licence_a_process_writes_nothing_and_ends(postgres_database: Database) -> None:
    put(postgres_database, "m1")
    with licensed(postgres_database, "w1") as (licence, lost):
        with licence.write() as conn:
            assert claim(conn, "w1") == ["m1"]
        with postgres_database.write() as conn:
            assert processes.dismiss(conn, "w1")
        ran = []
        appender = Appender(licence.write, origin=ORIGIN, now=lambda: NOW)
        with pytest.raises(sa.exc.OperationalError):
            appender.submit([], lambda _conn: ran.append(1)).result(10)
        appender.close()
        assert not ran
        assert lost.reasons


def test_a_take_over_waits_for_a_commit_under_the_licence_and_is_waited_for(
    postgres_database: Database,
) -> None:
    """Whatever the order, one of the two has the message, never both."""
    put(postgres_database, "m1")
    with licensed(postgres_database, "w1") as (licence, _lost):
        done = threading.Event()

        def dismiss() -> None:
            take_over(
                postgres_database,
                lambda one: True,
                origin=ORIGIN,
                org="o",
                belief=TRUSTING,
                blame=Blame.NOBODY,
            )
            done.set()

        with licence.write() as conn:
            claim(conn, "w1")
            thread = threading.Thread(target=dismiss)
            thread.start()
            assert not done.wait(0.3)
        thread.join(60)
    with postgres_database.read() as conn:
        assert something_due(conn, to_micros(datetime.now(UTC)))
        assert not processes.nobodys(conn)


def test_signs_of_life_do_not_wait_for_work(postgres_database: Database) -> None:
    with (
        licensed(postgres_database, "w1") as (licence, _lost),
        licence.write(),
        postgres_database.write_beside() as other,
    ):
        other.execute(sa.text("SET LOCAL lock_timeout = '10s'"))
        assert processes.beat(other, "w1")


def test_a_silent_process_is_taken_over_after_its_time_and_not_before(
    postgres_database: Database,
) -> None:
    put(postgres_database, "m1")
    put(postgres_database, "m2")
    with postgres_database.write() as conn:
        for name in ("dead", "alive"):
            processes.register(conn, name, node="n2", role="worker", now=T0, takeover=60_000_000)
        claim_rows(conn, worker="dead", now=T0, limit=1, max_bytes=9, waits=[MINUTE])
        claim_rows(conn, worker="alive", now=T0, limit=1, max_bytes=9, waits=[MINUTE])
    observer, clock = watch(postgres_database)
    gone: list[str] = []
    for _ in range(6):
        gone += pass_by(observer, clock, 10)
        with postgres_database.write() as conn:
            processes.beat(conn, "alive")
    assert gone == []  # the first look was at 2 s: 58 s
    assert pass_by(observer, clock, 2) == ["dead"]
    assert names(postgres_database) == {"alive"}
    with postgres_database.write() as conn:
        rows = conn.execute(sa.text("SELECT claimed_by, crashes FROM messages ORDER BY 1")).all()
    # It was cut off, and no mail is to blame for that.
    assert [tuple(row) for row in rows] == [("alive", 0), (None, 0)]


def test_who_could_not_look_has_not_seen_that_nothing_changed(postgres_database: Database) -> None:
    """The database was away for everybody: nobody is dead for that."""
    with postgres_database.write() as conn:
        processes.register(conn, "w", node="n", role="worker", now=T0, takeover=60_000_000)
    observer, clock = watch(postgres_database)
    pass_by(observer, clock, 50)
    clock.now += 600
    assert observer.look() == []
    assert pass_by(observer, clock, 50) == []
    assert pass_by(observer, clock, 10) == ["w"]


def test_claims_of_a_name_without_licence_are_nobodys(postgres_database: Database) -> None:
    put(postgres_database, "m1")
    with postgres_database.write() as conn:
        claim(conn, "long-gone")
    observer, _clock = watch(postgres_database)
    observer.look()
    with postgres_database.write() as conn:
        assert something_due(conn, to_micros(datetime.now(UTC)))


def test_a_start_frees_what_this_node_held_and_nothing_of_others(
    postgres_database: Database,
) -> None:
    for name in ("m1", "m2"):
        put(postgres_database, name)
    with postgres_database.write() as conn:
        for name in ("here", "there"):
            processes.register(conn, name, node=name, role="worker", now=T0, takeover=60_000_000)
            claim_rows(conn, worker=name, now=T0, limit=1, max_bytes=9, waits=[MINUTE])
    take_over(
        postgres_database,
        lambda one: one.node == "here",
        origin=ORIGIN,
        org="o",
        belief=TRUSTING,
        blame=Blame.ANYBODY,
    )
    with postgres_database.read() as conn:
        rows = conn.execute(sa.text("SELECT claimed_by, crashes FROM messages ORDER BY 1")).all()
    assert [tuple(row) for row in rows] == [("there", 0), (None, 1)]


def test_a_process_that_cannot_renew_ends_before_others_may_take_over(
    postgres: Postgres, postgres_database: Database
) -> None:
    """Two thirds of the time, counted from before the last sign that was given: the third that is
    left is for a machine that stands still for a while.
    """
    begin = time.monotonic()
    with licensed(postgres_database, "w1", takeover=timedelta(seconds=12)) as (_licence, lost):
        with postgres_database.write_beside() as conn:
            conn.execute(sa.text("LOCK TABLE processes"))  # signs wait, for whatever reason
            assert lost.event.wait(60)
            ended = time.monotonic() - begin
        assert 7.9 <= ended < 12
        assert lost.reasons[0] == "it could not be renewed in time"


def test_signs_are_given_for_as_long_as_it_works(postgres_database: Database) -> None:
    with licensed(postgres_database, "w1", takeover=timedelta(seconds=9)) as (_licence, lost):
        time.sleep(6.5)  # longer than it would hold without them
        assert not lost.reasons
        with postgres_database.read() as conn:
            (one,) = processes.known(conn)
        assert one.beats >= 4  # half of what is due
    assert names(postgres_database) == set()


def test_the_slowest_full_text_index_counts(postgres_database: Database) -> None:
    """Mail stays readable for the index of a machine that is behind, or away for a while."""
    with postgres_database.write() as conn:
        assert processes.indexed(conn) is None
        for node, count in (("a@x", 70), ("b@y", 30), ("a@x", 90)):
            processes.report_index(conn, node=node, indexed=count, now=T0, takeover=1)
        assert processes.indexed(conn) == 30


def test_news_of_queued_mail_come_at_once_and_after_a_lost_connection(
    postgres: Postgres, postgres_database: Database
) -> None:
    name = postgres_database.name.rpartition("/")[2]
    heard = threading.Event()
    listening = postgres_database.listen(heard.set)
    assert listening is not None
    try:
        assert heard.wait(10)  # once for what came before
        heard.clear()
        put(postgres_database, "m1")
        assert heard.wait(10)  # nothing but the news sets it
        heard.clear()
        terminate(postgres, *sessions(postgres, name))
        assert heard.wait(10)  # what was missed is looked for
        heard.clear()
        put(postgres_database, "m2")
        assert heard.wait(10)
    finally:
        listening.close()


def test_a_worker_that_waits_is_woken(postgres_database: Database) -> None:
    async def waits() -> float:
        wake = Wake(postgres_database)
        stop = asyncio.Event()
        await wake.pause(stop, 60)  # it has begun to listen
        begin = time.monotonic()
        put_later = asyncio.to_thread(put, postgres_database, "m1")
        await asyncio.gather(wake.pause(stop, 60), put_later)
        took = time.monotonic() - begin
        assert wake.later(100) == 1.0
        wake.close()
        return took

    assert asyncio.run(waits()) < 30


def test_without_news_it_looks_by_itself(database: Database) -> None:
    """A notification is never what mail depends on."""

    async def waits() -> float:
        wake = Wake()
        begin = time.monotonic()
        await wake.pause(asyncio.Event(), 0.05)
        assert wake.later(100) == 0.25
        wake.close()
        return time.monotonic() - begin

    assert 0.04 < asyncio.run(waits()) < 30  # it would be for ever


def test_workers_of_two_machines_share_the_queue_and_no_message(
    postgres_database: Database,
) -> None:
    for number in range(40):
        put(postgres_database, f"m{number:02}")
    taken: dict[str, list[str]] = {"w1": [], "w2": []}
    both = threading.Barrier(2, timeout=60)  # each claims once before one of them has it all

    def work(name: str, jobs: Callable[[sa.Connection], list[Job]]) -> None:
        with licensed(postgres_database, name) as (licence, _lost):
            both.wait()
            for turn in itertools.count():
                with licence.write() as conn:
                    found = jobs(conn)
                if not found:
                    return
                taken[name] += [job.archive_id for job in found]
                if turn == 0:
                    both.wait()

    def claims(name: str) -> Callable[[sa.Connection], list[Job]]:
        return lambda conn: claim_rows(
            conn, worker=name, now=T0, limit=3, max_bytes=9**9, waits=[MINUTE]
        )

    threads = [threading.Thread(target=work, args=(name, claims(name))) for name in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken["w1"] + taken["w2"]) == [f"m{number:02}" for number in range(40)]
    assert taken["w1"]
    assert taken["w2"]


def test_a_claim_does_not_wait_for_rows_that_somebody_holds(postgres_database: Database) -> None:
    put(postgres_database, "m1")
    put(postgres_database, "m2")
    with postgres_database.write_beside() as person:
        take(person, "m1")
        with postgres_database.write_beside() as conn:
            conn.execute(sa.text("SET LOCAL lock_timeout = '100ms'"))
            assert claim(conn, "w") == ["m2"]


def test_the_claim_reads_an_index_and_sorts_nothing(postgres_database: Database) -> None:
    """As quick with 100,000 queued as with ten."""
    with postgres_database.write() as conn:
        conn.execute(
            sa.text(
                "INSERT INTO messages (archive_id, org, kind, sender, author, parameters, sha256,"
                " size, accepted_at, due_at, crashes) SELECT 'm' || n, '', '', '', '', '', '', 1,"
                " n, n, 0 FROM generate_series(1, 20000) AS n"
            )
        )
        conn.execute(sa.text("ANALYZE messages"))
        compiled = _DUE.compile(dialect=conn.dialect)
        values = {**compiled.params, "now": 10**9, "limit": 32, "largest": NO_LIMIT}
        text = "\n".join(conn.exec_driver_sql(f"EXPLAIN {compiled}", values).scalars())
    assert "messages_waiting" in text
    assert "Sort" not in text


def test_a_claim_reads_no_table_whole_that_the_server_has_not_counted(
    postgres_database: Database,
) -> None:
    """As in the first minutes of an installation, and whenever a queue that was empty fills up."""
    with postgres_database.write() as conn:
        conn.execute(sa.text("ALTER TABLE recipients SET (autovacuum_enabled = off)"))
    for number in range(150):
        put(postgres_database, f"m{number:03}")
    scans = sa.text("SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'recipients'")
    with postgres_database.write() as conn:
        before = conn.execute(scans).scalar_one()
        assert len(claim(conn, "w")) == 9
        assert conn.execute(scans).scalar_one() == before


def test_who_was_stopped_finds_his_licence_run_out_before_he_sends(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with licensed(postgres_database, "w1") as (licence, lost):
        licence.check()
        assert not lost.reasons
        started = boot_clock()
        monkeypatch.setattr("gateway.queue.licence.boot_clock", lambda: started + 41)
        licence.check()  # asked at once: the threads may not have woken up yet
        assert lost.reasons
