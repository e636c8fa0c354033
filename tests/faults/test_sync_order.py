"""Judged by strace: what a 250 rests on is on the disk before the 250 is written to the socket."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.demo.client import Letter, send
from gateway.demo.house import House, children_of
from gateway.demo.pki import Keys
from gateway.demo.postgres import Postgres
from gateway.demo.stage import Stage
from tests.flows.stages import stage
from tests.flows.way_out_scene import AMELIE, JEANNE, mail

pytestmark = [pytest.mark.fault, pytest.mark.flow]

MAILS, CLIENTS = 48, 16
_LINE = re.compile(
    r"(?P<at>[\d.]+) (?P<call>\w+)\((?P<file>\d+<.*?>(?=[,)]))(?P<text>.*) = (?P<result>-?\d+).*"
    r"<(?P<took>[\d.]+)>"
)
_PROMISE = re.compile(r', "250 2\.0\.0 (?!OK)')  # with an archive id


class TracedHouse(House):
    """Its `serve` takes mail, does nothing else, and runs under strace."""

    def _command(self, arguments: list[str]) -> list[str]:
        if arguments[0] != "serve":
            return super()._command(arguments)
        calls = "trace=fsync,fdatasync,sendto,recvfrom,pwrite64"
        trace = self.folder.with_name("trace")
        return [
            *("strace", "-ff", "--seccomp-bpf", "-ttt", "-T", "-y", "-s", "40", "-e", calls),
            *("-e", "signal=none", "-o", str(trace), *super()._command(arguments)),
            *("--role", "intake"),
        ]

    def stop(self) -> int:
        """See `House.stop`. strace keeps signals to itself: the gateway is told directly."""
        if self.process is not None:
            for pid in children_of(self.process.pid):
                os.kill(pid, signal.SIGTERM)
        return super().stop()


class Call(NamedTuple):
    """A system call that succeeded. at, end: seconds; file: descriptor and what it is."""

    at: float
    end: float
    name: str
    file: str
    text: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("order"), keys=Keys()) as made:
        yield made


def _calls(made: Stage, folder: Path, postgres: Postgres | None) -> list[Call]:
    """What an intake did while it took `MAILS` mails from `CLIENTS` clients, in order."""
    house = TracedHouse(
        folder / "sceau", made.world, made.directory.ldaps_url, made.sink.port,
        postgres=postgres, intake=1,
    )  # fmt: skip
    house.make(persons=False)
    house.start()
    try:
        letters = [Letter(str(n), JEANNE, (AMELIE,), mail()) for n in range(MAILS)]
        receipts = send(letters, house.listen_port, connections=CLIENTS, timeout=60)
    finally:
        assert house.stop() == 0
    assert [one.code for one in receipts] == [250] * MAILS
    found = []
    for file in folder.glob("trace.*"):
        for line in file.read_text().splitlines():
            one = _LINE.match(line)
            if one is not None and int(one["result"]) >= 0:
                at = float(one["at"])
                end = at + float(one["took"])
                found.append(Call(at, end, one["call"], one["file"], one["text"]))
    return sorted(found)


def _waits(calls: list[Call]) -> list[tuple[float, float]]:
    """For each mail: when its last octets had come, and when its 250 was written."""
    heard: dict[str, float] = {}
    waits = []
    for one in calls:
        if one.name == "recvfrom":
            heard[one.file] = one.end
        elif one.name == "sendto" and _PROMISE.match(one.text):
            waits.append((heard[one.file], one.at))
    return waits


def _each_has(waits: list[tuple[float, float]], first: list[Call], then: list[Call]) -> None:
    """In each wait one of `first` ended, and after it one of `then` began and ended."""
    for begin, end in waits:
        assert any(
            begin <= one.at and one.end <= two.at and two.end <= end
            for one in first
            if begin <= one.at < end
            for two in then
            if begin <= two.at < end
        ), "a 250 was written before its time"


def test_sqlite_has_synced_before_each_250(made: Stage, tmp_path: Path) -> None:
    calls = _calls(made, tmp_path, None)
    log = [one for one in calls if one.file.endswith("sceau.db-wal>")]
    written = [one for one in log if one.name == "pwrite64"]
    synced = [one for one in log if one.name in ("fsync", "fdatasync")]
    waits = _waits(calls)
    assert len(waits) == MAILS
    _each_has(waits, written, synced)
    during = [one for one in synced if waits[0][0] <= one.at <= waits[-1][1]]
    assert len(during) < MAILS, "mails that come together share a sync"


def test_postgresql_has_answered_commit_before_each_250(
    made: Stage, tmp_path: Path, postgres: Postgres
) -> None:
    calls = _calls(made, tmp_path, postgres)
    asked = [one for one in calls if one.name == "sendto" and "COMMIT" in one.text]
    answered = [one for one in calls if one.name == "recvfrom" and "COMMIT" in one.text]
    waits = _waits(calls)
    assert len(waits) == MAILS
    # An answer is read later than it was waited for: the read that brought it counts, by its end.
    _each_has(waits, asked, [one._replace(at=one.end) for one in answered])
    during = [one for one in asked if waits[0][0] <= one.at <= waits[-1][1]]
    assert len(during) < MAILS, "mails that come together share a commit"
