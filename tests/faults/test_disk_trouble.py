"""Full disks and failed syncs below a running gateway: 4xx while it lasts, nothing lost, nothing
half, and it goes on by itself. On PostgreSQL: `tests/soak/disk_trouble.py`."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.stage import Stage
from tests.flows.test_blobs import large
from tests.flows.way_out_scene import mail
from tests.soak.disk_trouble import FULL, offer, take, wait
from tests.soak.lost_writes import Machine, machine_on

pytestmark = [pytest.mark.fault, pytest.mark.flow]

FAULT = re.compile(r"4\.3\.0 .*\(id ([0-9a-f]+)\)")


@pytest.fixture(scope="module")
def running(folder: Path, made: Stage) -> Iterator[Machine]:
    """A gateway on SQLite; each test leaves it whole, and at the end all of it is looked at."""
    with machine_on("sqlite", folder, made) as machine:
        machine.house.start(environment=machine.disk.environment)
        try:
            yield machine
        finally:
            assert machine.house.stop() == 0
        machine.everything_arrives(calm=False)


@pytest.fixture
def machine(running: Machine) -> Iterator[Machine]:
    """The same, seen to be well before and after."""
    yield running
    take(running, mail())
    assert running.house.wait_settled(seconds=30), running.house.log.read_text()[-3000:]
    bad = ("keeper_fault", "process_fault", "seal_fault", "quarantined")
    assert not [one for one in running.house.events() if one["event"] in bad]


def _events(machine: Machine, name: str) -> list[dict[str, object]]:
    return [one for one in machine.house.events() if one["event"] == name]


def _processes(machine: Machine) -> int:
    return len(_events(machine, "process_died"))


def test_no_room_for_the_database(machine: Machine) -> None:
    died = _processes(machine)
    with machine.disk.full("*/sceau.db-wal") as fault:
        receipts = offer(machine, mail(), times=6)
        assert [one.code for one in receipts] == [452] * 6
        assert fault.hits >= 6
        ids = {found[1] for one in receipts if (found := FULL.search(one.text))}
        assert len(ids) == 6
    assert ids <= {str(one.get("incident")) for one in _events(machine, "storage_full")}
    take(machine, mail())
    assert _processes(machine) == died, "nobody has to be started again for a full disk"


@pytest.mark.parametrize("fits", [9_000, 40_000, 70_000])
def test_no_room_in_the_middle_of_commits(machine: Machine, fits: int) -> None:
    """Some get through, with what goes on meanwhile: seals, outcomes. Each whole or not at all."""
    with machine.disk.full("*/sceau.db-wal", after=fits) as fault:
        receipts = offer(machine, mail("x" * 70 + "\r\n" + "y" * 60), times=12)
        wait(lambda: fault.hits > 0, 30, machine)
        receipts += offer(machine, mail(), times=4)
    codes = {one.code for one in receipts}
    assert codes <= {250, 452}
    assert 452 in codes


def test_no_room_to_tidy_up_behind_the_writers(machine: Machine) -> None:
    """The checkpoint of the write-ahead log does not fit; mail is taken all the same."""
    with machine.disk.full("*/sceau.db") as fault:
        take(machine, mail())
        wait(lambda: fault.hits > 0, 30, machine)
    assert _events(machine, "storage_full")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_for_blobs(machine: Machine, code: int) -> None:
    with machine.disk.full("*/blobs/*", after=5_000, code=code) as fault:
        (one,) = offer(machine, large())
        assert one.code == 452
        found = FULL.search(one.text)
        assert found
        assert found[1] in {str(line.get("id")) for line in _events(machine, "blob_store_full")}
        take(machine, mail())  # small mail lies in the database
        assert fault.hits
    take(machine, large())
    assert not list((machine.house.folder / "data" / "blobs").glob("*/.new-*"))


def test_no_room_for_the_search_index(machine: Machine) -> None:
    died = _processes(machine)
    with machine.disk.full("*/data/index/*") as fault:
        take(machine, mail())
        wait(lambda: fault.hits > 0, 30, machine)
        assert machine.house.wait_settled(seconds=20)
    wait(lambda: bool(_events(machine, "index_waits")), 30, machine)
    assert _processes(machine) == died


def test_no_room_for_the_log(machine: Machine) -> None:
    """What cannot be logged is done all the same, once, and that lines are missing is told."""
    died = _processes(machine)
    with machine.disk.full("*/serve.log", after=700) as fault:
        receipts = offer(machine, mail(), times=5)
        assert [one.code for one in receipts] == [250] * 5
        assert machine.house.wait_settled(seconds=20)
        assert fault.hits
    take(machine, mail())
    assert _events(machine, "log_lines_lost")
    assert _processes(machine) == died
    for one in receipts:
        assert len(machine.scene.arrived(one.archive_id)) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_for_anything(machine: Machine, code: int) -> None:
    """The whole disk; whoever has to be started again for it is."""
    with machine.disk.full(f"{machine.disk.root}/*", code=code) as fault:
        for content in (mail(), large()):
            (one,) = offer(machine, content)
            # SQLite does not tell a quota from a broken disk: then the process gives up.
            assert one.code in ((452,) if code == errno.ENOSPC else (451, 452, 0)), one
        assert fault.hits
    take(machine, large())


def test_a_failed_sync_of_the_database_ends_the_process(machine: Machine) -> None:
    """Never a 250 for what the disk may have thrown away, and never a second try of that sync."""
    died = len(_events(machine, "appender_broken"))
    with machine.disk.sync_fails("*/sceau.db-wal") as fault:
        (one,) = offer(machine, mail())
        assert fault.hits == 1
    assert one.code == 451, one
    assert FAULT.search(one.text)
    wait(lambda: len(_events(machine, "appender_broken")) > died, 30, machine)
    take(machine, mail())


def test_a_failed_sync_of_a_checkpoint_ends_the_keeper(machine: Machine) -> None:
    def ended() -> list[dict[str, object]]:
        lines = _events(machine, "storage_fault")
        return [one for one in lines if one["process"].startswith("keeper")]  # type: ignore[attr-defined]

    with machine.disk.sync_fails("*/sceau.db") as fault:
        take(machine, mail())
        wait(lambda: fault.hits > 0 and bool(ended()), 30, machine)


def test_a_failed_sync_of_a_blob_is_told(machine: Machine) -> None:
    for pattern in ("*/blobs/*/.new-*", "*/blobs/????-??-??"):
        with machine.disk.sync_fails(pattern):
            (one,) = offer(machine, large())
        assert one.code == 451, one
        found = FAULT.search(one.text)
        assert found, one
        (line,) = [e for e in _events(machine, "blob_store_fault") if e["id"] == found[1]]
        assert str(line["reason"]).endswith("Input/output error")
