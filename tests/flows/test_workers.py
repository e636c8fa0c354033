"""Processes that are stopped, not dead: nobody comes back to send what somebody else has sent."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import running
from gateway.demo.house import children_of
from gateway.demo.pki import Keys
from gateway.demo.run import archive_id_of
from gateway.demo.sink import read_ledger
from tests.flows.stages import stage
from tests.flows.way_out_scene import AMELIE, Scene, mail, until

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Scene]:
    with stage(tmp_path_factory.mktemp("workers"), keys=keys) as made:
        house = made.house(retry='["1s"]', workers=1, takeover="5s").make(persons=False)
        house.start()
        yield Scene(made, house)
        assert house.stop() == 0


def worker(scene: Scene) -> int:
    status = running.read(scene.house.folder / "data" / "run")
    assert status is not None
    return next(one.pid for one in status.processes if one.role == "worker")


def in_hand(scene: Scene, count: int) -> tuple[int, set[str]]:
    """A worker that is stopped while it delivers, and the mails it has in hand."""
    before = sum(event["event"] == "sealed" for event in scene.house.events())
    scene.stage.sink.process.send_signal(signal.SIGSTOP)
    ids = {scene.accepted(mail(), AMELIE) for _ in range(count)}
    until(
        lambda: sum(event["event"] == "sealed" for event in scene.house.events()) >= before + count,
        60,
        scene.house.log.read_text,
    )
    pid = worker(scene)
    os.kill(pid, signal.SIGSTOP)
    scene.stage.sink.process.send_signal(signal.SIGCONT)
    return pid, ids


def arrivals(scene: Scene, ids: set[str]) -> Counter[str]:
    folder: Path = scene.stage.sink.folder
    found = Counter(archive_id_of((folder / d.file).read_bytes()) for d in read_ledger(folder))
    return Counter({key: number for key, number in found.items() if key in ids})


def gone(pid: int) -> bool:
    """Neither there nor a zombie that somebody has still to bury."""
    try:
        return " (zombie)" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_a_stopped_worker_is_killed_and_its_mail_goes_out_once(scene: Scene) -> None:
    pid, ids = in_hand(scene, 3)

    until(lambda: arrivals(scene, ids).keys() == ids, 60, scene.house.log.read_text)

    assert gone(pid), "it cannot come back"
    names = [event["event"] for event in scene.house.events()]
    assert "process_silent" in names
    assert arrivals(scene, ids) == Counter(dict.fromkeys(ids, 1))


def test_a_dead_supervisor_leaves_no_process_behind_not_even_a_stopped_one(scene: Scene) -> None:
    pid, ids = in_hand(scene, 2)
    house = scene.house
    assert house.process is not None
    children = children_of(house.process.pid)
    assert pid in children

    house.process.kill()
    house.process.wait()
    house.process = None
    until(lambda: all(gone(child) for child in children), 60, lambda: str(children))

    house.start()
    until(lambda: arrivals(scene, ids).keys() == ids, 60, house.log.read_text)
    assert arrivals(scene, ids) == Counter(dict.fromkeys(ids, 1))


def test_the_index_stands_back_for_mail_and_sending_for_taking(tmp_path: Path, keys: Keys) -> None:
    """A nice value alone says nothing where the kernel shares processors by session first."""
    with stage(tmp_path, keys=keys) as made:
        house = made.house(workers=1).make(persons=False)
        house.start()
        status = running.read(house.folder / "data" / "run")
        assert status is not None
        pids = {one.role: one.pid for one in status.processes}
        nice = {role: os.getpriority(os.PRIO_PROCESS, pid) for role, pid in pids.items()}
        assert nice["intake"] < nice["worker"] < nice["index"]
        groups = {role: Path(f"/proc/{pid}/autogroup") for role, pid in pids.items()}
        if groups["index"].exists():  # "/autogroup-123 nice 12"; a kernel may have none
            said = {role: int(file.read_text().split()[-1]) for role, file in groups.items()}
            # A session begins at 0, however nice whoever started it was; 19 is the most there is.
            assert nice == {role: min(nice["intake"] + one, 19) for role, one in said.items()}
            assert 0 == said["intake"] < said["worker"] < said["index"]
        assert house.stop() == 0


def test_a_stage_that_fails_leaves_nobody_behind(tmp_path: Path, keys: Keys) -> None:
    """Processes that stay would take the processor, and the ports, from all tests after."""
    pids = []

    def fail() -> None:
        with stage(tmp_path, keys=keys) as made:
            house = made.house(workers=1).make(persons=False)
            house.start()
            status = running.read(house.folder / "data" / "run")
            assert status is not None
            pids.extend(one.pid for one in status.processes)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert len(pids) == 4
    until(
        lambda: not any(_runs(pid) for pid in pids),
        10,
        lambda: f"one of {pids} still runs",
    )


def _runs(pid: int) -> bool:
    """Not so: gone, or dead and nobody has asked for its end (Z)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
