"""The wall clock of the running gateway is set: real processes, a clock of their own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.demo.pki import Keys
from gateway.demo.sink import read_ledger
from tests.flows.stages import stage
from tests.flows.way_out_scene import AMELIE, BASTIEN, Scene, mail, until
from tests.services.wall_clock import WallClock

pytestmark = pytest.mark.flow

HOUR, YEAR = timedelta(hours=1), timedelta(days=365)


class Moved(Scene):
    """A scene whose gateway has a clock of its own."""

    clock: WallClock

    def events(self, name: str) -> int:
        return sum(event["event"] == name for event in self.house.events())

    def jump(self, off: timedelta) -> None:
        """Set the clock; return when the gateway has seen that it was moved.

        Not before it believes the clock again: who doubts it already sees nothing new.
        """
        before = self.events("clock_doubted")
        until(lambda: self.events("clock_believed") >= before, 60, self.house.log.read_text)
        self.clock.set(off)
        until(lambda: self.events("clock_doubted") > before, 60, self.house.log.read_text)

    def off(self, entry: dict[str, object]) -> timedelta:
        """How far the time of an entry is from now."""
        written = datetime.fromisoformat(str(entry["time"]))
        return abs(written - datetime.now(UTC))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Moved]:
    folder = tmp_path_factory.mktemp("clock")
    with stage(folder, keys=keys) as made:
        clock = WallClock(folder / "shim")
        house = made.house(retry='["1s"]', workers=1, environment=clock.environment)
        house.make(persons=False).start()
        found = Moved(made, house)
        found.clock = clock
        yield found
        assert house.stop() == 0


def test_mail_is_taken_and_held_while_the_clock_is_wrong_and_goes_on_by_itself(
    scene: Moved,
) -> None:
    for off in (HOUR, -HOUR, YEAR, -10 * YEAR):
        scene.jump(off)
        archive_id = scene.accepted(mail(), AMELIE)
        # The clock is doubted, mail is not: notices go, and the alarm is one.
        until(lambda: bool(alarms(scene)), 60, scene.house.log.read_text)
        line = scene.queue(archive_id)[AMELIE]
        assert (line["state"], line["attempts"]) == ("queued", 0)
        assert not scene.arrived(archive_id)

        scene.clock.set(timedelta())
        scene.wait_arrived(archive_id, seconds=60)
        scene.wait_state(archive_id, AMELIE, "delivered", seconds=60)
        # The log has the time as it was, and says that it was doubted; the order is the chain's.
        accepted, *later = scene.history(archive_id)
        assert abs(scene.off(accepted) - abs(off)) < timedelta(minutes=2)
        assert "clock.moved" in str(accepted["fields"]["clock"])
        assert all(scene.off(one) < timedelta(minutes=2) for one in later)
        assert all("clock" not in one["fields"] for one in later)

    # One mail an hour, however often it happens.
    (alarm,) = alarms(scene)
    assert b"mail is held" in alarm.replace(b"=\r\n", b"")
    (report,) = scene.json("archive", "verify")
    assert report["status"] == "valid"
    assert scene.faults(expected=("alarm", "clock_doubted")) == []


def test_a_person_says_that_the_clock_is_right(scene: Moved) -> None:
    scene.jump(HOUR)
    archive_id = scene.accepted(mail(to=BASTIEN), BASTIEN)
    shown = scene.house.run("clock", "show", check=False)
    assert (shown.returncode, b"moved by +3600 s" in shown.stdout) == (1, True)

    assert scene.house.run("clock", "confirm", "--reason", "it was wrong before").returncode == 0

    scene.wait_arrived(archive_id, seconds=60)
    again = scene.house.run("clock", "confirm")
    assert b"nothing was changed" in again.stdout
    assert scene.house.log.read_text().count('"event": "clock_believed"') >= 1
    scene.jump(timedelta())  # what was confirmed counts from now on
    scene.house.run("clock", "confirm")


def test_a_restart_makes_a_moved_clock_no_better(scene: Moved) -> None:
    """And what a stop in the middle leaves waiting goes out when the clock is back."""
    scene.jump(YEAR)
    archive_id = scene.accepted(mail(), AMELIE)
    assert scene.house.stop() == 0
    scene.house.start()
    until(lambda: scene.events("clock_doubted") >= 2, 60, scene.house.log.read_text)
    (shown,) = scene.house.json("clock", "show", check=False)
    assert abs(shown["seconds"] - YEAR.total_seconds()) < 60
    assert not scene.arrived(archive_id)

    scene.clock.set(timedelta())
    scene.wait_arrived(archive_id, seconds=60)
    # It has not aged by a year: nothing was given up, nobody was told of a delay.
    line = scene.wait_state(archive_id, AMELIE, "delivered", seconds=60)
    assert line["attempts"] == 1
    assert not scene.notices(archive_id, "failed")
    assert not scene.notices(archive_id, "delayed")


def alarms(scene: Scene) -> list[bytes]:
    """Alarm mails that have arrived."""
    folder: Path = scene.stage.sink.folder
    contents = [(folder / one.file).read_bytes() for one in read_ledger(folder)]
    return [one for one in contents if b"Subject: [sceau] alarm clock-not-believed" in one]
