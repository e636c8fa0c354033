"""Whether the wall clock is believed: steps, restarts, boots, corrections, a sleeping machine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archive.entry import new_archive_id
from archive.store import Draft, append, head, read_entries
from gateway import belief as belief_module
from gateway import clockguard
from gateway.belief import Belief, write_basis
from gateway.clock import from_micros, to_micros
from gateway.clockguard import ClockGuard
from gateway.clocklog import ClockNotes, confirm, last_believed_entry
from gateway.database import Database
from tests.conftest import ORIGIN

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECOND, HOUR, YEAR = timedelta(seconds=1), timedelta(hours=1), timedelta(days=365)


class Machine:
    """A wall clock that can be set, and CLOCK_BOOTTIME, which cannot."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file = folder / "clock.json"
        self.wall = to_micros(NOON)
        self.up = 1_000_000_000
        self.run = "first"
        for module in (belief_module, clockguard):
            monkeypatch.setattr(module, "boot_id", lambda: self.run)
        monkeypatch.setattr("gateway.clocklog.clock.now", lambda: from_micros(self.wall))
        monkeypatch.setattr("gateway.clocklog.boot_micros", lambda: self.up)
        monkeypatch.setattr("gateway.clocklog.boot_id", lambda: self.run)
        self.belief = self.process()
        self.guard = ClockGuard(self.file, wall=lambda: self.wall, boot=lambda: self.up)

    def process(self) -> Belief:
        return Belief(self.file, wall=lambda: self.wall, boot=lambda: self.up)

    def after(self, passed: timedelta = SECOND, *, jump: timedelta = timedelta()) -> bool:
        """Whether the clock is believed then; by the process and by the supervisor alike."""
        self.up += passed // timedelta(microseconds=1)
        self.wall += (passed + jump) // timedelta(microseconds=1)
        guard = self.guard.tick()
        found = self.belief.doubt()
        assert (guard is None) == (found is None)
        return found is None

    def boot(self, last: datetime | None, *, at: datetime) -> bool:
        self.run += "'"
        self.up = 5_000_000
        self.wall = to_micros(at)
        self.guard = ClockGuard(self.file, wall=lambda: self.wall, boot=lambda: self.up)
        self.guard.begin(last)
        self.belief = self.process()
        return self.after()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path, monkeypatch)
    made.guard.begin(None)
    return made


@pytest.mark.parametrize("jump", [HOUR, -HOUR, YEAR, -10 * YEAR, 301 * SECOND, -301 * SECOND])
def test_a_step_is_not_believed_and_time_runs_on_evenly(machine: Machine, jump: timedelta) -> None:
    assert machine.after()
    before = machine.belief.now()

    assert not machine.after(60 * SECOND, jump=jump)
    assert machine.belief.now() == before + 60 * SECOND
    assert not machine.after(24 * HOUR), "it does not become right by being wrong for long"

    assert machine.after(jump=-jump), "it does when it comes back"
    assert machine.belief.now() == from_micros(machine.wall)


def test_sleep_and_leap_seconds_are_no_steps(machine: Machine) -> None:
    assert machine.after(8 * HOUR)  # CLOCK_BOOTTIME runs on while the machine sleeps
    assert machine.after(jump=-SECOND)
    assert machine.after(jump=299 * SECOND)


def test_small_honest_corrections_are_followed_and_a_salami_is_not(machine: Machine) -> None:
    for _ in range(400):  # two seconds a day, as a bad clock with a daily correction does
        for _ in range(24):
            machine.after(HOUR)
        assert machine.after(jump=2 * SECOND)
    assert machine.after(HOUR, jump=290 * SECOND)
    assert not machine.after(HOUR, jump=290 * SECOND)


def test_a_restart_makes_a_moved_clock_no_better(machine: Machine) -> None:
    assert not machine.after(jump=YEAR)
    machine.guard.begin(NOON)
    assert not machine.after()
    assert machine.process().doubt() is not None


def test_after_a_boot_the_log_is_what_there_is_to_compare_with(machine: Machine) -> None:
    assert machine.boot(NOON, at=NOON + YEAR), "switched off for a year: nobody can tell"
    assert machine.boot(NOON, at=NOON - 299 * SECOND)

    assert not machine.boot(NOON, at=NOON - 302 * SECOND)
    assert machine.belief.now() == NOON + SECOND, "the queue goes on from the last entry"
    assert machine.after(jump=HOUR), "NTP has set it"
    assert machine.belief.now() == from_micros(machine.wall)
    assert not machine.after(jump=-HOUR), "and from then on it is watched"


def test_another_machine_that_is_ahead_leaves_a_doubt(machine: Machine) -> None:
    assert machine.after()
    machine.belief.saw_last_entry(from_micros(machine.wall) + HOUR)
    doubt = machine.belief.doubt()
    assert doubt is not None
    assert doubt.code == "clock.behind-the-log"
    machine.belief.saw_last_entry(from_micros(machine.wall))
    assert machine.belief.doubt() is None


def test_without_a_basis_the_clock_is_believed(tmp_path: Path) -> None:
    assert Belief(tmp_path / "none").doubt() is None


def note(database: Database, machine: Machine, kind: str = "searched") -> None:
    """An entry of now, by the wall clock as it is."""
    drafts = machine.belief.marked([Draft(kind, "org", new_archive_id(), {})])
    with database.write() as conn:
        append(conn, drafts, origin=ORIGIN, now=from_micros(machine.wall))


def test_the_last_believed_entry_is_found_behind_doubted_ones(
    database: Database, machine: Machine
) -> None:
    with database.read() as conn:
        assert last_believed_entry(conn) is None
    note(database, machine)
    written = from_micros(machine.wall)
    assert not machine.after(jump=YEAR)
    for _ in range(250):
        note(database, machine)

    with database.read() as conn:
        assert last_believed_entry(conn) == written
        times = [entry.time for entry in read_entries(conn)]
    assert times[-1] - times[0] > YEAR, "entries have the time as it was"


def test_the_log_is_told_of_a_doubt_once_and_of_its_end(
    database: Database, machine: Machine, tmp_path: Path
) -> None:
    def notes() -> ClockNotes:
        return ClockNotes(
            database, machine.belief, tmp_path / "flag", origin=ORIGIN, org="org", node="a@b"
        )

    steps: list[Callable[[], bool]] = [
        machine.after,
        lambda: machine.after(jump=YEAR),
        machine.after,
        lambda: machine.after(jump=-YEAR),
        machine.after,
    ]
    for step in steps:
        step()
        notes().write()  # each time another process: a keeper may die
    with database.read() as conn:
        assert [entry.kind for entry in read_entries(conn)] == ["clock", "clock"]


def test_a_confirmed_clock_is_believed_though_the_log_is_ahead(
    database: Database, machine: Machine
) -> None:
    note(database, machine)
    assert not machine.after(jump=-HOUR)
    doubt = machine.belief.doubt()
    assert doubt is not None

    confirm(database, machine.file, doubt, origin=ORIGIN, org="org", node="a@b", by="root",
            reason="", expire=HOUR)  # fmt: skip

    assert machine.after()
    with database.read() as conn:
        assert head(conn).size == 2
        machine.guard.begin(last_believed_entry(conn))
    assert machine.after(), "after a restart too"


def test_a_basis_that_cannot_be_written_lets_nothing_run(machine: Machine, tmp_path: Path) -> None:
    guard = ClockGuard(tmp_path / "gone" / "clock.json")
    with pytest.raises(OSError, match="gone"):
        guard.begin(None)
    write_basis(machine.file, belief_module.Basis("first", 0))
    machine.file.write_text("{")  # damaged: what is known stays
    assert machine.belief.doubt() is None
