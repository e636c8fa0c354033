"""Mails that break the process that works on them: quarantined, and nobody else waits."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.client import Letter, send
from tests.corpora import ROOT
from tests.flows.stages import stage
from tests.flows.way_out_scene import AMELIE, BASTIEN, JEANNE, Scene, mail, until

pytestmark = [pytest.mark.fault, pytest.mark.flow]

LATE = 5.0  # seconds that other mail may be late, on a machine that has nothing else to do
WAYS = ("segv", "loop", "memory", "recursion")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    path = f"{ROOT / 'tests' / 'faults' / 'poisoned'}:{ROOT}"
    with stage(tmp_path_factory.mktemp("poison")) as made:
        house = made.house(workers=2, environment={"PYTHONPATH": path}).make()
        house.start()
        yield Scene(made, house)
        assert house.stop() == 0


def poisoned(where: str, how: str) -> bytes:
    return mail(subject=f"{where} {how}", extra=f"X-Poison: {where} {how} \r\n")


def test_a_mail_that_breaks_workers_is_held_and_other_mail_goes_on(scene: Scene) -> None:
    poison: dict[str, str] = {}
    others: dict[str, float] = {}
    slowness = [1.0]
    for how in WAYS:
        archive_id = poison[how] = scene.accepted(poisoned("seal", how), AMELIE)
        deadline = time.monotonic() + 120
        while scene.queue(archive_id)[AMELIE]["state"] != "held":
            assert time.monotonic() < deadline, (how, scene.house.log.read_text()[-4000:])
            others[scene.accepted(mail(to=BASTIEN), BASTIEN)] = time.monotonic()
            slowness.append(_slowness())
            time.sleep(0.1)
    # A share of the processors is what others on this machine leave us: an endless loop is ended by
    # the processor time it took.
    late = LATE * max(slowness)
    for archive_id, sent in others.items():
        ((delivery, _),) = scene.wait_arrived(archive_id)
        assert delivery.at - sent < late, "\n".join([f"{delivery.at - sent}", *_lines(scene)])

    for how, archive_id in poison.items():
        line = scene.queue(archive_id)[AMELIE]
        assert line["reason"]["code"] == "limits.poison", how
        assert scene.arrived(archive_id) == []
        kinds = [entry["kind"] for entry in scene.history(archive_id)]
        assert kinds[0] == "accepted", "it is in the archive as it came"
        assert kinds.count("held") == 1
    # Nobody else is suspected or held, and each has died three times at most.
    held = scene.json("queue", "list", "--state", "held", "--reason", "limits.poison")
    assert {line["id"] for line in held} == set(poison.values())
    deaths = [e for e in scene.house.events() if e["event"] == "process_died"]
    assert 0 < len(deaths) <= 3 * 2, "memory and recursion cost no process"
    until(
        lambda: any(
            e["event"] == "alarm" and e["code"] == "poison-held" for e in scene.house.events()
        ),
        60,
        lambda: scene.house.log.read_text()[-2000:],
    )


def _slowness() -> float:
    """How many times longer something takes than the processor time it needs."""
    wall, own = time.monotonic(), time.process_time()
    while time.process_time() - own < 0.03:
        pass
    return (time.monotonic() - wall) / (time.process_time() - own)


def _lines(scene: Scene) -> list[str]:
    wanted = ("ready", "process_died", "claims_freed", "seal_fatal", "quarantined")
    keys = ("name", "exit", "messages", "id")
    return [
        " ".join(str(e[k]) for k in ("timestamp", "event", *keys) if k in e)
        for e in scene.house.events()
        if e["event"] in wanted
    ]


def test_a_poisoned_mail_can_be_released_and_is_held_again(scene: Scene) -> None:
    archive_id = scene.accepted(poisoned("seal", "segv"), AMELIE)
    scene.wait_state(archive_id, AMELIE, "held", seconds=40)
    assert scene.sceau("queue", "release", archive_id).returncode == 0
    scene.wait_state(archive_id, AMELIE, "held", seconds=40)
    assert scene.sceau("queue", "bounce", archive_id, "--reason", "abîmé").returncode == 0
    scene.wait_notice(archive_id, "failed")


def test_a_mail_that_breaks_the_index_is_left_out_and_the_rest_is_found(scene: Scene) -> None:
    letters = [
        Letter(str(n), JEANNE, (AMELIE,), content)
        for n, content in enumerate(
            [
                mail("avant rhubarbe"),
                poisoned("index", "segv"),
                mail("entre rhubarbe"),
                poisoned("index", "loop"),
                mail("après rhubarbe"),
            ]
        )
    ]
    receipts = send(letters, scene.house.listen_port, connections=1)
    assert [r.code for r in receipts] == [250] * 5

    def skipped() -> set[object]:
        return {e["id"] for e in scene.house.events() if e["event"] == "index_skipped"}

    wanted = {receipts[1].archive_id, receipts[3].archive_id}
    until(lambda: skipped() == wanted, 90, lambda: scene.house.log.read_text()[-4000:])
    assert scene.house.wait_indexed(seconds=30)
    found = scene.json("archive", "search", "--case", "essai", "rhubarbe")
    assert {line["id"] for line in found} == {receipts[n].archive_id for n in (0, 2, 4)}
    for receipt in receipts:
        scene.wait_arrived(receipt.archive_id)


def test_a_worker_killed_with_a_mail_in_hand_loses_no_other(scene: Scene, tmp_path: Path) -> None:
    """SIGKILL to every worker the product names, in the middle of traffic: all arrives."""
    letters = [Letter(str(n), JEANNE, (AMELIE,), mail(f"{n}")) for n in range(60)]
    status = scene.house.folder / "data" / "run" / "status.json"
    before = len([e for e in scene.house.events() if e["event"] == "process_died"])
    receipts = send(letters, scene.house.listen_port, connections=4)
    import json

    for process in json.loads(status.read_text())["processes"]:
        if process["role"] == "worker":
            os.kill(process["pid"], signal.SIGKILL)
    assert [r.code for r in receipts] == [250] * 60
    for receipt in receipts:
        scene.wait_arrived(receipt.archive_id)
    assert len([e for e in scene.house.events() if e["event"] == "process_died"]) >= before + 2
    held = scene.json("queue", "list", "--state", "held")
    assert not {line["id"] for line in held} & {r.archive_id for r in receipts}
