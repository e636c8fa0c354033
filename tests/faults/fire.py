"""A gateway under fire: mail goes in, a failpoint strikes, and the books have to balance.

The scene (PKI, directory, CRL server) and the starting of the gateway come from `gateway.demo`; who
sends, receives, reads the archive and compares is `tests.ledger`, which shares nothing with it.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.demo.house import House, children_of
from gateway.demo.mails import SAMPLES
from gateway.demo.pki import INTERIEUR, JUSTICE
from gateway.demo.postgres import Postgres
from gateway.demo.stage import Stage
from gateway.failpoint import MARKER, VARIABLE
from tests.faults.shots import Shot
from tests.ledger.archive import Archive, Connect, Reader, on_postgres, on_sqlite, open_recipients
from tests.ledger.balance import Balance, Death, Ledger
from tests.ledger.client import Attempt, Client
from tests.ledger.letters import Letter, letters
from tests.ledger.opening import Mailbox
from tests.ledger.sink import SinkProcess

SENDER = f"jeanne.moreau@{INTERIEUR}"
AMELIE, BASTIEN = f"amelie.roux@{JUSTICE}", f"bastien.faure@{JUSTICE}"
# The first 250 after a kill comes within so many seconds.
RECOVERY = 10.0
# For everything else a busy machine may take its time.
_PATIENCE = 90.0
_INCIDENT = re.compile(r"\(id ([0-9a-f]+)\)$")
_ENHANCED = re.compile(r"4\.\d{1,3}\.\d{1,3} \S")
# So much of a round's mail is sent before the shot is waited for; the rest shows the recovery.
_BEFORE = 0.7


@dataclass(frozen=True, slots=True)
class Struck:
    """What one shot did.

    recovery: seconds from then to the first 250 of a mail begun after it. waited: seconds of these
    in which who had to come up again stood ready to run and other programs had the processors; on a
    machine with nothing else to do it is near 0, and everywhere the rest is ours to answer for.
    refused: attempts of this round that were answered, and not 250.
    """

    recovery: float
    waited: float
    died: bool
    balance: Balance
    refused: Sequence[Attempt]

    def __str__(self) -> str:
        end = "died" if self.died else "lived on"
        return (
            f"{end}, 250 after {self.recovery:.2f} s ({self.waited:.2f} s of it for a processor), "
            f"{self.balance.duplicates} duplicates so far"
        )

    @property
    def in_time(self) -> bool:
        """Whether the first 250 came within the time that is promised."""
        return self.recovery - self.waited < RECOVERY

    @property
    def rude(self) -> list[Attempt]:
        """Refusals that no client may get: all but a 4xx with its enhanced code (RFC 3463)."""
        return [
            one
            for one in self.refused
            if not 400 <= one.code <= 499 or _ENHANCED.match(one.text) is None
        ]


@dataclass
class Fire:
    """A gateway, its ledger, and a folder whose files arm its failpoints."""

    house: House
    sink: SinkProcess
    ledger: Ledger
    database: Connect
    points: Path
    _client: Client = field(init=False)

    def __post_init__(self) -> None:
        self._client = Client(self.house.listen_port)
        self.ledger.attempts = self._client.attempts

    def strike(self, name: str, shot: Shot, mails: int, chance: random.Random) -> Struck:
        """Send mails, have the shot fall while they pass, send more, balance the books.

        name: no other round may have it. Raises AssertionError where the point was not passed, a
        mail was not taken, or one stays in the queue.
        """
        made = letters(
            name, mails, sender=SENDER, recipients=(AMELIE, BASTIEN), samples=SAMPLES, random=chance
        )
        self.ledger.letters |= {letter.key: letter for letter in made}
        self.sink.refuse(*([BASTIEN] if shot.refuses else ()))
        children = self._children()
        time.sleep(shot.rest)
        fired = self._order(shot)
        first = round(mails * _BEFORE)
        with self._sending(made[:first]) as sending:
            for n in range(shot.times):
                if n:
                    self._order(shot)
                _until(fired.exists, lambda: f"{shot} was never passed: nothing was tested")
            waits = self._waited()
            _, pid, moment = fired.read_text().split()
            at, gone = float(moment), self._death(shot, int(pid), children)
            recovered = self._recovered(at, waits, sending)
        with self._sending(made[first:]) as sending:
            recovered = recovered or self._recovered(at, waits, sending)
        assert recovered is not None, f"nothing was taken after {shot}"
        settled = self._settle(int(pid))
        gone = settled if gone is None else gone
        if gone is not None and (shot.action == "kill-service" or shot.role == "worker"):
            self.ledger.deaths.append(Death(at, gone))
        self.sink.refuse()
        keys = {letter.key for letter in made}
        refused = [a for a in self._client.attempts if a.key in keys and a.code not in (0, 250)]
        return Struck(*recovered, gone is not None, self.balance(), refused)

    def balance(self) -> Balance:
        """The books as they stand. A notice of the gateway's own may be under way between the look
        at the archive and the one at the sink: what is wrong is so at a second look too.
        """
        for _ in range(20):
            found = self.ledger.balance(Archive.read(self.database), self.sink.arrivals())
            if not found.faults:
                break
            time.sleep(1)
        return found

    def unexplained(self, struck: Struck) -> list[Attempt]:
        """Refusals without an id, or with one that does not stand in the log."""
        log = self.house.log.read_text()
        return [
            one
            for one in struck.refused
            if not (found := _INCIDENT.search(one.text)) or found[1] not in log
        ]

    def start(self) -> None:
        """Start the gateway, its points ready to be armed."""
        self.house.start(environment={VARIABLE: str(self.points)})

    def _order(self, shot: Shot) -> Path:
        """Arm the point; the file that is there once it was done."""
        fired = self.points / f"{shot.point}.fired"
        fired.unlink(missing_ok=True)
        # At once: who passes meanwhile must not read half an order.
        order = self.points / "order.new"
        order.write_text(shot.order)
        order.replace(self.points / shot.point)
        return fired

    def restart(self) -> None:
        """Stop and start in order."""
        assert self.house.stop() == 0
        self.start()

    def _death(self, shot: Shot, pid: int, children: Sequence[int]) -> float | None:
        """When whoever was killed was gone, started again where nobody else does; None for an
        error: who met it may end or not, in its own time.

        Asked at once: what arrives twice is excused by a death only as long as that took.
        """
        if shot.action == "kill-service":
            return self._rise(children)
        if shot.action == "kill":
            _until(lambda: not _alive(pid), lambda: f"{pid} outlives its SIGKILL")
            return time.time()
        return None

    def _rise(self, children: Sequence[int]) -> float:
        """The supervisor was killed with the rest: start again, as a service manager would. When
        the last of them was gone.
        """
        assert self.house.process is not None
        self.house.process.wait(_PATIENCE)
        self.house.process = None
        _until(lambda: not any(map(_alive, children)), lambda: "children outlive the supervisor")
        gone = time.time()
        self.start()
        return gone

    def _children(self) -> list[int]:
        assert self.house.process is not None
        return children_of(self.house.process.pid)

    def _waited(self) -> Counter[int]:
        """Seconds in which supervisor and intakes were ready to run and did not, by process id."""
        assert self.house.process is not None
        found: Counter[int] = Counter()
        for pid in (self.house.process.pid, *self._children()):
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended while we looked
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"serve" in words or b"intake" in words:
                    # Nanoseconds: run, waited for a processor.
                    found[pid] = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
        return found

    @contextmanager
    def _sending(self, made: Sequence[Letter]) -> Iterator[threading.Thread]:
        """The client is at work meanwhile; at the end everything was taken."""
        left: list[Letter] = []
        work = threading.Thread(
            target=lambda: left.extend(self._client.send(made, seconds=_PATIENCE))
        )
        work.start()
        try:
            yield work
        finally:
            work.join()
        assert not left, f"not taken: {[letter.key for letter in left]}; {self._words()}"

    def _settle(self, pid: int) -> float | None:
        """Wait until nobody is queued; when that process was gone, None if it is not."""
        gone = None
        end = time.monotonic() + _PATIENCE
        while True:
            if gone is None and not _alive(pid):
                gone = time.time()
            if not open_recipients(self.database):
                return gone
            assert time.monotonic() < end, f"mail stays in the queue; {self._words()}"
            time.sleep(0.05)

    def _recovered(
        self, at: float, waits: Counter[int], sending: threading.Thread
    ) -> tuple[float, float] | None:
        """Seconds from then to the first 250 of a mail begun after it, and those of them waited
        for a processor (waits: what they were then); None where all mail was taken before.
        """
        while True:
            ended = not sending.is_alive()  # before the look: its last mail counts
            taken = [a.ended for a in self._client.attempts if a.code == 250 and a.begun >= at]
            if taken:
                return min(taken) - at, sum((self._waited() - waits).values())
            if ended:
                return None
            time.sleep(0.01)

    def _words(self) -> str:
        """What the gateway said last."""
        return self.house.log.read_bytes()[-4000:].decode("utf-8", "replace")


@contextmanager
def under_fire(made: Stage, folder: Path, *, postgres: Postgres | None = None) -> Iterator[Fire]:
    """A gateway of its own on that stage, running, and all that judges it. folder: a new one."""
    sink = SinkProcess(folder / "sink")
    try:
        house = made.house(
            f"sceau-{folder.name}",
            retry='["1s"]',
            intake=1,
            workers=2,
            sink_port=sink.port,
            postgres=postgres,
        ).make()
        if postgres is None:
            database = on_sqlite(house.folder / "data" / "sceau.db")
        else:
            database = on_postgres(lambda: postgres.connect(house.database))
        points = folder / "points"
        points.mkdir()
        (points / MARKER).touch()
        fire = Fire(house, sink, _ledger(made, house, folder), database, points)
        fire.start()
        try:
            yield fire
        finally:
            code = house.stop()
        assert code == 0
    finally:
        sink.stop()


def _ledger(made: Stage, house: House, folder: Path) -> Ledger:
    boxes = {}
    for person in made.world.people:
        if person.address in (AMELIE, BASTIEN):
            assert person.credential is not None
            held = person.credential
            boxes[person.address] = Mailbox(held.certificate_file, held.key_file)
    trust = folder / "trust.pem"
    trust.write_bytes(made.world.interieur.root.credential.certificate_file.read_bytes())
    return Ledger(boxes, trust, Reader(house.authority_key))


def _alive(pid: int) -> bool:
    """Whether the process runs; one that waits for its parent to notice its end does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _until(condition: Callable[[], bool], explain: Callable[[], str]) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end, explain()
        time.sleep(0.005)
