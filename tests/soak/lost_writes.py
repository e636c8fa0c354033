"""Power cuts at random moments: everything that was not synced is thrown away, again and again.

Mail comes in at speed; all programs are killed, the database server too; the disk forgets
(`tests.disk`); everything is started again. What the client has seen a 250 for must be there, octet
for octet, and queued or delivered. The judges: the client's own list of 250s, the receiving
server's ledger, and the octets of what was sent.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.demo.client import Letter, Receipt, send
from gateway.demo.house import House, children_of
from gateway.demo.pki import Keys
from gateway.demo.postgres import Postgres
from gateway.demo.process import free_port
from gateway.demo.run import archive_id_of
from gateway.demo.sink import read_ledger
from gateway.demo.stage import Stage, stage
from gateway.queue.states import State
from tests.disk.replay import Before, Loss, Lost
from tests.disk.shim import Disk, compile_shim
from tests.flows.way_out_scene import AMELIE, BASTIEN, JEANNE, Scene, mail
from tests.soak._folder import folder_of

BOTH = ("sqlite", "postgresql")
_RULES = """
[[policy.rules]]
name = "justice"
recipient = "@justice.example"
encryption = "required"
without_certificate = "hold"
sign = "seal"
"""
_BLOBS = '\n[archive.blobs]\nabove = "17 kB"\nfolder = "data/blobs"\n'
_CLIENTS = 6
_TURN = 5  # rounds of one database before the other has its


def run(seed: int, rounds: int = 50) -> None:
    """`rounds` power cuts, on SQLite and PostgreSQL by turns of five. Raises AssertionError."""
    draw = random.Random(seed)
    with (
        folder_of("lost-writes") as folder,
        stage(folder / "stage", keys=Keys()) as made,
        _machines(folder, made) as found,
    ):
        for number in range(rounds):
            machine = found[BOTH[number // _TURN % len(BOTH)]]
            lost = machine.round(draw)
            print(f"round {number + 1}: {machine.name}: {machine.told(lost)}", flush=True)
        for machine in list(found.values())[: 1 + (rounds > _TURN)]:
            assert machine.lost > 0, f"{machine.name}: no disk has forgotten anything"
            machine.everything_arrives()
            print(f"{machine.name}: {machine.sums()}, all delivered", flush=True)


@dataclass
class Machine:
    """A gateway, and its database server if it has one, on a disk that forgets."""

    name: str
    scene: Scene
    disk: Disk
    server: DiskPostgres | None = None
    promised: dict[str, Letter] = field(default_factory=dict)
    lost: int = 0  # octets and names that were thrown away so far
    _count: int = 0
    _before: Before | None = None

    @property
    def house(self) -> House:
        """The gateway."""
        return self.scene.house

    def round(self, draw: random.Random, loss: Loss | None = None) -> Lost:
        """Mail in, power away, everything looked at. loss: otherwise drawn."""
        loss = loss or Loss.drawn(draw)
        seconds = draw.uniform(0.05, 1.5)
        self._before = self._begin()
        self.house.start(environment=self.disk.environment)
        letters = [self._letter(draw) for _ in range(600)]
        receipts: list[Receipt] = []
        client = threading.Thread(target=lambda: receipts.extend(self._send(letters)))
        client.start()
        time.sleep(seconds)
        self._kill()
        client.join()
        lost = self._cut(loss, draw)
        self.lost += lost.octets + lost.names
        by_key = {one.key: one for one in letters}
        new = {one.archive_id: by_key[one.key] for one in receipts if one.code == 250}
        self.promised |= new
        said = {one.code for one in receipts}
        assert said <= {0, 250, 451, 452, 421}, said  # 0: the connection was lost
        self.look(new)
        return lost

    def told(self, lost: Lost) -> str:
        """A line about the latest round."""
        return (
            f"{len(self.promised)} mails promised so far, thrown away {lost.octets} octets and "
            f"{lost.names} names; none missing"
        )

    def sums(self) -> str:
        """What it went through, in figures."""
        blobs = sum(one.is_file() for one in (self.house.folder / "data" / "blobs").rglob("*"))
        assert blobs, "the blob store has nothing, and nothing of it was tested"
        return f"{len(self.promised)} mails promised, {blobs} blobs"

    def look(self, new: Mapping[str, Letter]) -> None:
        """Every promised mail is archived as it came, and each recipient is in one state."""
        (report,) = self.scene.json("archive", "verify")
        assert report["status"] == "valid", report
        every = [part for state in State for part in ("--state", str(state))]
        lines = self.scene.json("queue", "list", *every, "--limit", "1000000")
        states: dict[tuple[str, str], list[str]] = {}
        reasons: dict[str, object] = {}
        for line in lines:
            states.setdefault((str(line["id"]), str(line["recipient"])), []).append(line["state"])
            reasons[str(line["id"])] = line["reason"]
        for archive_id, letter in self.promised.items():
            for address in letter.rcpt_to:
                found = states.get((archive_id, address), [])
                assert found in (["queued"], ["delivered"]), (
                    archive_id,
                    address,
                    found,
                    reasons.get(archive_id),
                )
        out = self.house.folder.parent / "shown"
        out.mkdir()
        key = ("--key", str(self.house.authority_key), "--case", "lost writes")
        ids = list(new)
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            # One mail goes into a file, several into a folder.
            to = out if len(some) > 1 else out / f"{some[0]}.eml"
            done = self.scene.sceau("archive", "show", *key, "--out", str(to), *some)
            assert done.returncode == 0, done.stderr.decode()
        shown = {one.name.removesuffix(".eml"): one.read_bytes() for one in out.iterdir()}
        shutil.rmtree(out)
        assert shown.keys() == new.keys()
        for archive_id, letter in new.items():
            assert shown[archive_id] == letter.content, archive_id

    def everything_arrives(self, *, calm: bool = True) -> None:
        """Started once more, all of it is delivered, and the index comes along; and the archive has
        each mail still, whichever power cut came after it.

        calm: no fault stands in the log.
        """
        self.house.start()
        try:
            assert self.house.wait_settled(seconds=120), self.house.log.read_text()[-3000:]
            assert self.house.wait_indexed(seconds=60), "the index does not come along"
        finally:
            assert self.house.stop() == 0, self.house.log.read_text()[-3000:]
        self.look(self.promised)
        sink = self.scene.stage.sink.folder
        arrived = {
            (archive_id_of((sink / one.file).read_bytes()), address)
            for one in read_ledger(sink)
            for address in one.rcpt_to
        }
        wanted = {(key, to) for key, letter in self.promised.items() for to in letter.rcpt_to}
        missing = wanted - arrived
        assert not missing, missing
        if calm:
            # A server remembers who held claims on it when the power went.
            faults = self.scene.faults(expected=("process_dismissed",))
            # It had seconds between one power cut and the next: an index that is said to be far
            # behind was so. That it comes along is asked above.
            faults = [one for one in faults if one.get("code") != "index-behind"]
            assert not faults, faults[:20]

    # -- parts ---------------------------------------------------------------------------------

    def _letter(self, draw: random.Random) -> Letter:
        self._count += 1
        # A third is large enough for the blob store.
        lines = draw.choice((3, 30, 700))
        body = "\r\n".join(draw.randbytes(36).hex() for _ in range(lines))
        to = draw.choice(((AMELIE,), (BASTIEN,), (AMELIE, BASTIEN)))
        return Letter(f"{self.name}-{self._count}", JEANNE, to, mail(body))

    def _send(self, letters: list[Letter]) -> list[Receipt]:
        return send(letters, self.house.listen_port, connections=_CLIENTS, timeout=30)

    def _begin(self) -> Before:
        return Before(self.disk.root, self.disk.root.with_name("before"))

    def _kill(self) -> None:
        assert self.house.process is not None
        kill_tree(self.house.process.pid)
        self.house.process.wait()
        self.house.process = None
        if self.server is not None:
            self.server.kill()

    def _cut(self, loss: Loss, draw: random.Random) -> Lost:
        assert self._before is not None
        lost = self._before.cut_power(self.disk.journal, loss, draw)
        self.disk.forget()
        if self.server is not None:
            more = self.server.cut_power(loss, draw)
            lost = Lost(lost.octets + more.octets, lost.names + more.names)
            self.server.start()
        return lost


class DiskPostgres(Postgres):
    """A PostgreSQL on a disk that forgets."""

    def __init__(self, folder: Path, shim: Path, *, settings: Mapping[str, str]) -> None:
        super().__init__(folder, settings=settings)
        self._shim = shim
        self._disk: Disk | None = None
        self._before: Before | None = None

    def start(self) -> None:
        """On the disk; the cluster is made before it begins to forget."""
        if self._disk is None:
            self._prepare()
            self.port = free_port()
            data = self.folder / "data"
            self._disk = Disk(self._shim, data, self.folder.with_name("postgres-journal"))
        self._before = Before(self._disk.root, self.folder.with_name("postgres-before"))
        kept = dict(os.environ)
        os.environ.update(self._disk.environment)
        try:
            super().start()
        finally:
            os.environ.clear()
            os.environ.update(kept)

    @property
    def disk(self) -> Disk:
        """Where its data lies."""
        assert self._disk is not None
        return self._disk

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        kill_tree(self.pid)
        self.stop()

    def cut_power(self, loss: Loss, draw: random.Random) -> Lost:
        """After `kill`."""
        assert self._disk is not None
        assert self._before is not None
        lost = self._before.cut_power(self._disk.journal, loss, draw, files_bring_names=True)
        self._disk.forget()
        # It names a process of before the power cut, whose number may be somebody else's now.
        (self._disk.root / "postmaster.pid").unlink(missing_ok=True)
        return lost


def kill_tree(top: int) -> None:
    """SIGKILL to a process and all below it; returns when none of them runs."""
    pids = [top]
    for pid in pids:
        pids += children_of(pid)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    for pid in pids:
        while _runs(pid):
            assert time.monotonic() < deadline, f"{pid} does not end"
            time.sleep(0.005)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@contextmanager
def machine_on(
    database: str, folder: Path, made: Stage, *, settings: Mapping[str, str] | None = None
) -> Iterator[Machine]:
    """A gateway on a disk below `folder` (open to others), not yet started.

    settings: of PostgreSQL.
    """
    shim = compile_shim(folder)
    server = None
    if database == "postgresql":
        quick = {"checkpoint_timeout": "30s", "shared_buffers": "16MB", **(settings or {})}
        server = DiskPostgres(folder / database / "postgres", shim, settings=quick)
    root = folder / database / "machine"
    root.mkdir(parents=True)
    try:
        if server is not None:
            server.start()
        house = House(
            root / "sceau", made.world, made.directory.ldaps_url, made.sink.port,
            rules=_RULES, retry='["1s"]', postgres=server, workers=1, intake=1,
        )  # fmt: skip
        house.make(persons=False)
        text = house.config.read_text()
        place = 'index = "data/index"\n'
        house.config.write_text(text.replace(place, place + _BLOBS))
        yield Machine(
            database, Scene(made, house), Disk(shim, root, root.with_name("journal")), server
        )
    finally:
        if server is not None:
            server.stop(signal.SIGQUIT)


@contextmanager
def _machines(folder: Path, made: Stage) -> Iterator[dict[str, Machine]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(machine_on(name, folder, made)) for name in BOTH}
