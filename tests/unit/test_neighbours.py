"""Who is away: what processes write down, and what a reader makes of it."""

from __future__ import annotations

import errno
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway import neighbours
from gateway.clock import rfc3339, to_micros
from gateway.database import Database
from gateway.errors import Refusal
from gateway.neighbours import Absence, Neighbours, absent, neighbours_file
from gateway.queue.jobs import SealedGroup, problem_to_json
from gateway.queue.recovered import for_area, for_next_hop, try_now
from gateway.queue.store.give_back import give_back
from gateway.queue.store.groups import add_groups
from gateway.queue.store.recipients import save_recipients
from gateway.storage_gate import StorageGate
from pki.errors import Problem
from tests.unit.test_queue import NOW, T0, claim, put


class Clock:
    """Both clocks: of the wall, and of the machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        monkeypatch.setattr(neighbours, "boot_clock", lambda: 1000 + self.seconds)

    def __call__(self) -> datetime:
        return datetime(2026, 11, 21, 12, tzinfo=UTC) + timedelta(seconds=self.seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_one_line_when_he_goes_and_one_when_he_is_back(tmp_path: Path, clock: Clock) -> None:
    one = Neighbours(neighbours_file(tmp_path, "worker-0"), clock)
    with capture_logs() as lines:
        one.well("next-hop", "all")
        for _ in range(20):
            one.away("next-hop", "all", "refused")
            clock.seconds += 1
        assert absent(tmp_path) == [Absence("next-hop", "all", "2026-11-21T12:00:00Z", "refused")]
        one.well("next-hop", "all")
    assert [line["event"] for line in lines] == ["neighbour_away", "neighbour_back"]
    assert absent(tmp_path) == []


def test_an_answer_that_any_process_had_counts_for_all(tmp_path: Path, clock: Clock) -> None:
    one, two = (Neighbours(neighbours_file(tmp_path, f"worker-{n}"), clock) for n in range(2))
    one.away("database", "db", "refused")
    clock.seconds = 3
    two.away("database", "db", "too many clients")
    (seen,) = absent(tmp_path)
    assert (seen.since, seen.reason) == ("2026-11-21T12:00:00Z", "too many clients")
    clock.seconds = 5
    two.well("database", "db")
    assert absent(tmp_path) == []
    clock.seconds = 6
    one.overrule("directory", "x ldap://h")  # whom nobody has seen away
    assert absent(tmp_path) == []


def test_who_is_used_by_one_process_is_away_for_none(tmp_path: Path, clock: Clock) -> None:
    """The other one may not need him again for hours."""
    idle, busy = (Neighbours(neighbours_file(tmp_path, name), clock) for name in ("k", "w"))
    busy.well("database", "db")
    clock.seconds = 1
    idle.away("database", "db", "terminating connection")
    idle.away("directory", "ldap://h", "refused")
    assert len(absent(tmp_path)) == 2
    clock.seconds = 2
    busy.well("database", "db")
    assert [one.kind for one in absent(tmp_path)] == ["directory"]
    clock.seconds = 8  # a lasting failure is written down every five seconds
    idle.away("database", "db", "terminating connection")
    assert len(absent(tmp_path)) == 2


def test_an_answer_is_one_without_a_descriptor_to_look_for_others(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is told so when a commit is durable: raised there, it would be in doubt."""
    idle, busy = (Neighbours(neighbours_file(tmp_path, name), clock) for name in ("k", "w"))
    idle.away("database", "db", "terminating connection")
    clock.seconds = 1

    def full(_folder: Path) -> list[Absence]:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(neighbours, "absent", full)
        busy.well("database", "db")
    assert len(absent(tmp_path)) == 1
    clock.seconds = 2
    busy.well("database", "db")
    assert absent(tmp_path) == []


def test_the_next_process_goes_on_with_what_was_seen(tmp_path: Path, clock: Clock) -> None:
    file = neighbours_file(tmp_path, "worker-0")
    Neighbours(file, clock).away("crl", "http://crl", "404")
    clock.seconds = 60
    Neighbours(file, clock).away("crl", "http://crl", "404")
    (seen,) = absent(tmp_path)
    assert seen.since == rfc3339(clock() - timedelta(seconds=60))


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"boot": 7, "seen": [[]]}', "other boot", "short rows"]
)
def test_a_file_that_tells_nothing_is_nobody_away(
    tmp_path: Path, clock: Clock, damage: str
) -> None:
    file = neighbours_file(tmp_path, "worker-0")
    Neighbours(file, clock).away("crl", "http://crl", "404")
    if damage == "other boot":  # its seconds are those of another life of the machine
        damage = json.dumps({**json.loads(file.read_text()), "boot": "x"})
    if damage == "short rows":
        damage = json.dumps({**json.loads(file.read_text()), "seen": [["crl"]]})
    file.write_text(damage)
    assert absent(tmp_path) == []
    Neighbours(file, clock).away("crl", "http://crl", "404")
    assert len(absent(tmp_path)) == 1


# -- the gate -------------------------------------------------------------------------------------


def test_trouble_of_the_database_is_a_451_and_nobody_asks_again_at_once() -> None:
    from gateway.database import DatabaseUnsafe

    time = [0.0]
    gate = StorageGate(lambda: time[0])
    asked = []

    def ask() -> None:
        asked.append(1)
        if len(asked) < 3:
            raise DatabaseUnsafe("takes no writes")

    with capture_logs() as lines:
        for moment in (0.0, 0.5, 1.5, 1.9):
            time[0] = moment
            with pytest.raises(Refusal) as caught:
                gate.around(ask)()
            assert (caught.value.code, caught.value.status) == (451, "4.3.0")
        time[0] = 3.0
        gate.around(ask)()  # it can be read: that says nothing of a commit
        with gate.guard(commits=True):
            ask()
    assert len(asked) == 4
    assert [line["event"] for line in lines] == ["storage_fault", "storage_back"]


def test_a_mistake_of_ours_is_not_called_trouble_of_the_database() -> None:
    with pytest.raises(KeyError), StorageGate().guard():
        raise KeyError


# -- mail that waited -----------------------------------------------------------------------------


def deferred(database: Database, name: str, problem: Problem, route: str = "") -> None:
    """A mail whose first attempt came to this."""
    put(database, name)
    (job,) = claim(database)
    (recipient,) = job.recipients
    recipient.reason = problem_to_json(problem)
    with database.write() as conn:
        if route:
            group = SealedGroup(f"g-{name}", name, "encrypted", route, "00" * 32, 1, b"x")
            add_groups(conn, [group])
            recipient.group_id = group.id
        save_recipients(conn, [(name, recipient)])
        give_back(conn, [job], now=T0)


def answer(text: str) -> Problem:
    return Problem("delivery.deferred", "{host} answered: {text}", {"host": "h:25", "text": text})


def test_mail_that_waits_for_him_is_tried_when_he_is_back_and_no_other(database: Database) -> None:
    deferred(database, "gone", answer("192.0.2.1:25: cannot connect: Connection refused"), "all")
    deferred(database, "greylisted", answer("450 4.2.0 later"), "all")
    lost = answer("h[192.0.2.1]:25: connection lost")
    deferred(database, "cut", lost, "all")
    uncertain = Problem(lost.code, lost.template, {**lost.facts, "uncertain": "yes"})
    deferred(database, "arrived?", uncertain, "all")
    deferred(database, "elsewhere", answer("h:25: no reply in time"), "other")
    deferred(database, "looking", Problem("directory.timeout", "x"))
    deferred(database, "revoked?", Problem("revocation.stale", "x"))
    soon = to_micros(NOW + timedelta(seconds=1))
    assert claim(database, now=soon) == []

    assert try_now(database, for_next_hop("all"), now=soon) == 2
    assert {job.archive_id for job in claim(database, now=soon)} == {"gone", "cut"}
    assert try_now(database, for_area("directory"), now=soon) == 1
    assert try_now(database, for_area("revocation"), now=soon) == 1
    assert {job.archive_id for job in claim(database, now=soon)} == {"looking", "revoked?"}


def test_all_of_a_long_queue_is_tried(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(7):
        deferred(database, f"m{n}", Problem("directory.unreachable", "x"))
    from gateway.queue import recovered

    monkeypatch.setattr(recovered, "_BATCH", 3)
    soon = to_micros(NOW + timedelta(seconds=1))
    assert try_now(database, for_area("directory"), now=soon) == 7
    assert len(claim(database, now=soon)) == 7
