"""Clients that send all the time and remember what they were told; and what a gateway costs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from gateway.demo.client import Letter, Receipt, send
from gateway.demo.house import House, children_of
from gateway.demo.run import archive_id_of
from gateway.demo.sink import read_ledger
from gateway.demo.stage import Stage
from tests.flows.way_out_scene import AMELIE, JEANNE, mail

_PATIENCE = 90.0


@dataclass
class Load:
    """Use as a context manager; one mail a connection, as from many small senders."""

    house: House
    clients: int = 2
    pause: float = 0.1
    told: list[Receipt] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        for number in range(self.clients):
            thread = threading.Thread(target=self._run, args=(number,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(_PATIENCE)

    def taken(self, since: int = 0) -> list[str]:
        """Archive ids of what was answered 250."""
        return [one.archive_id for one in self.told[since:] if one.code == 250]

    def faults(self, *, seconds: float) -> list[Receipt]:
        """Answers that no client may get: neither 250 nor a 4xx with its code, or too late."""
        return [
            one
            for one in self.told
            if one.at - one.sent > seconds
            or not (one.code == 250 or (one.code // 100 == 4 and one.text.startswith("4.")))
        ]

    def _run(self, client: int) -> None:
        number = 0
        while not self._over.wait(self.pause):
            number += 1
            letter = Letter(f"{client}-{number}", JEANNE, (AMELIE,), mail(f"{client} {number}"))
            self.told += send([letter], self.house.listen_port, connections=1, timeout=_PATIENCE)


def arrived(made: Stage) -> Counter[str]:
    """How often each mail has arrived, by its archive id."""
    folder = made.sink.folder
    return Counter(archive_id_of((folder / one.file).read_bytes()) for one in read_ledger(folder))


def family(house: House) -> list[int]:
    """The supervisor and its processes."""
    assert house.process is not None
    return [house.process.pid, *children_of(house.process.pid)]


def processor_seconds(pids: list[int]) -> float:
    """Used so far, those of children that have ended included."""
    total = 0
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return total / 100


def megabytes(pids: list[int]) -> int:
    """Resident memory of the largest of these processes."""
    most = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found = [line for line in text.splitlines() if line.startswith("VmRSS:")]
        most = max([most, *(int(line.split()[1]) // 1024 for line in found)])
    return most


def wait(seconds: float) -> None:
    """The length of an outage is what is measured against, not something waited for."""
    time.sleep(seconds)
