"""The configuration read anew while mail flows: nothing is lost, refused or sent twice."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509

from gateway import running
from gateway.demo.client import Letter, Receipt, send
from gateway.demo.pki import Keys
from gateway.demo.process import free_port
from gateway.demo.run import archive_id_of
from gateway.demo.sink import read_ledger
from tests.flows.stages import stage
from tests.flows.way_out_scene import AMELIE, BASTIEN, JEANNE, NOBODY, Scene, mail, until
from tests.services.stopwatch import Stopwatch

pytestmark = pytest.mark.flow

LONGEST_DELAY = 5.0  # seconds, of any one reply while processes are replaced on two cores


@dataclass
class Load:
    """Clients that come and go: each connection hands in a few mails."""

    port: int
    receipts: list[Receipt] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, clients: int = 2) -> Load:
        for number in range(clients):
            thread = threading.Thread(target=self._run, args=(number,))
            thread.start()
            self._threads.append(thread)
        return self

    def _run(self, client: int) -> None:
        count = 0
        while not self.stop.is_set():
            letters = []
            for n in range(count, count + 5):
                to = (AMELIE, BASTIEN)[n % 2]
                letters.append(
                    Letter(f"{client}-{n}", JEANNE, (to,), mail("Bonjour. " * 40, to=to))
                )
            count += 5
            self.receipts += send(letters, self.port, connections=1, timeout=60)
            time.sleep(0.05)

    def end(self) -> list[Receipt]:
        self.stop.set()
        for thread in self._threads:
            thread.join(120)
        return self.receipts


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Scene]:
    with stage(tmp_path_factory.mktemp("reload"), keys=keys) as made:
        house = made.house(retry='["1s"]', workers=1).make(persons=False)
        house.start()
        yield Scene(made, house)
        assert house.stop() == 0


def change(scene: Scene, old: str, new: str) -> str:
    """Edit the configuration; gives back what it was."""
    text = scene.house.config.read_text()
    assert old in text
    scene.house.config.write_text(text.replace(old, new))
    return text


def processes(scene: Scene) -> dict[str, str]:
    """Name -> role of those that serve now."""
    status = running.read(scene.house.folder / "data" / "run")
    assert status is not None
    return {one.name: one.role for one in status.processes if one.ready and not one.retiring}


def _reload_under(scene: Scene, load: Load) -> subprocess.CompletedProcess[bytes]:
    """With mail before, meanwhile and after."""
    load.start()
    try:
        time.sleep(1.5)
        until(lambda: len(load.receipts) > 20, 20, scene.house.log.read_text)
        change(scene, 'without_certificate = "hold"', 'without_certificate = "refuse"')
        done = scene.house.run("reload", check=False)
        time.sleep(1.5)
        seen = len(load.receipts)
        until(lambda: len(load.receipts) > max(50, seen + 5), 20, scene.house.log.read_text)
    finally:
        load.stop.set()
    return done


def test_mail_flows_through_a_reload(scene: Scene) -> None:
    before = processes(scene)
    held = scene.accepted(mail(to=NOBODY), NOBODY)
    scene.wait_state(held, NOBODY, "held")
    load = Load(scene.house.listen_port)
    with Stopwatch() as watch:
        done = _reload_under(scene, load)
        receipts = load.end()
    assert (done.returncode, done.stderr) == (0, b"")
    assert "in force" in done.stdout.decode()
    after = processes(scene)
    assert not before.keys() & after.keys(), "every process was replaced"
    assert Counter(after.values()) == Counter(before.values())
    # Nobody was turned away, nobody had to come again, nobody waited long.
    assert len(receipts) > 50
    assert Counter(receipt.code for receipt in receipts) == {250: len(receipts)}
    slowest = max(watch.between(receipt.sent, receipt.at) for receipt in receipts)
    print(f"{len(receipts)} mails, the slowest reply after {slowest:.2f} s")
    assert slowest < LONGEST_DELAY
    until(lambda: not scene.json("queue", "list", "--state", "queued"), 30, lambda: "")
    folder = scene.stage.sink.folder
    arrived = Counter(archive_id_of((folder / d.file).read_bytes()) for d in read_ledger(folder))
    promised = {receipt.archive_id for receipt in receipts}
    assert {key: n for key, n in arrived.items() if key in promised} == dict.fromkeys(promised, 1)
    # What is in force is the new rule.
    refused = scene.accepted(mail(to=NOBODY), NOBODY)
    scene.wait_state(refused, NOBODY, "failed")
    assert scene.faults() == []


def test_faults_are_all_told_and_the_old_configuration_stays(scene: Scene) -> None:
    before = processes(scene)
    text = change(scene, "[workers]", "[workers]\nnonsense = 1\n[unknown]\nx = 2\n")
    status = running.read(scene.house.folder / "data" / "run")
    assert status is not None
    try:
        refused = scene.house.run("reload", check=False)
        # A plain signal is answered in the log, with every fault.
        from_here = scene.house.log.stat().st_size
        os.kill(status.pid, signal.SIGHUP)
        until(
            lambda: any(e["event"] == "reload_ended" for e in scene.house.events(since=from_here)),
            20,
            scene.house.log.read_text,
        )
        told = [e for e in scene.house.events(since=from_here) if e["event"] == "reload_refused"]
        # A worker that dies now is started with what is in force, not with what the file says.
        (worker,) = [name for name, role in before.items() if role == "worker"]
        pid = next(p.pid for p in status.processes if p.name == worker)
        os.kill(pid, signal.SIGKILL)
        until(lambda: worker not in processes(scene) and len(processes(scene)) == 4, 20, str)
        archive_id = scene.accepted(mail(), AMELIE)
        scene.wait_arrived(archive_id)
    finally:
        scene.house.config.write_text(text)

    assert refused.returncode == 2
    faults = refused.stderr.decode()
    assert "workers.nonsense" in faults
    assert "unknown" in faults
    assert len(told) >= 2
    assert any("workers.nonsense" in str(event["fault"]) for event in told)
    findings = {one["code"] for one in scene.house.json("check", check=False)}
    assert "configuration.refused" in findings


def test_what_the_files_hold_is_frozen_with_the_configuration(scene: Scene) -> None:
    """The seal's key is replaced by rubbish: who is started anew still signs with the old one."""
    before = processes(scene)
    configured = tomllib.loads(scene.house.config.read_text())
    seal = Path(configured["seals"][0]["key"])
    content = seal.read_bytes()
    status = running.read(scene.house.folder / "data" / "run")
    assert status is not None
    try:
        seal.write_bytes(b"rubbish")
        done = scene.house.run("reload", check=False)
        worker = next(p for p in status.processes if p.role == "worker" and not p.retiring)
        os.kill(worker.pid, signal.SIGKILL)
        until(lambda: worker.name not in processes(scene) and len(processes(scene)) == 4, 20, str)
        archive_id = scene.accepted(mail(), AMELIE)
        ((_, file),) = scene.wait_arrived(archive_id)
        ours = scene.stage.world.interieur.seal
        assert ours is not None
        found = x509.load_der_x509_certificate(scene.opened(file, AMELIE).signer)
        assert found == x509.load_pem_x509_certificate(ours.certificate_file.read_bytes())
    finally:
        seal.write_bytes(content)
    assert done.returncode == 1
    assert b"seals[1]" in done.stderr
    assert len(before) == 4


def test_a_new_port_takes_over_and_the_old_one_is_closed(scene: Scene) -> None:
    old, new = scene.house.listen_port, free_port()
    change(scene, f"port = {old}\n", f"port = {new}\n")

    done = scene.house.run("reload", check=False)

    assert (done.returncode, done.stderr) == (0, b"")
    scene.house.listen_port = new
    scene.wait_arrived(scene.accepted(mail(), AMELIE))

    def closed() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", old)) != 0

    until(closed, 10, str)
