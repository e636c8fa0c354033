"""Who does not answer, since when, and what was seen of it: of all processes of this machine.

Each process writes down what it sees of its neighbours in a file of its own; a reader puts the
files together. Nothing here asks the database, which may be the one that is away. Like
`gateway.running` it is a courtesy: no decision about mail rests on it, but that mail which waits
for a neighbour is tried when he is back.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import structlog

from gateway.belief import boot_id
from gateway.clock import boot_clock, rfc3339
from gateway.database.room import reason_of
from gateway.wholefile import replace_text
from pki.sentences import packed, unpacked

log = structlog.get_logger()

DATABASE, DIRECTORY, NEXT_HOP, CRL, OCSP = "database", "directory", "next-hop", "crl", "ocsp"
KINDS = (DATABASE, DIRECTORY, NEXT_HOP, CRL, OCSP)

Key = tuple[str, str]  # kind and name

# A lasting failure is written down anew at most so often (seconds).
_REWRITE = 5.0

# Whoever has answers looks so often (seconds) whether another process takes him for away still.
_LOOK = 1.0


@dataclass(frozen=True, slots=True)
class Absence:
    """A neighbour that does not answer. since: RFC 3339, UTC. reason: for people, one line;
    a Sentence where it is one of ours."""

    kind: str
    name: str
    since: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one process knows of one neighbour. failed, well: when it last did not answer and last
    did, in seconds since the machine was started: one clock for all processes, and nobody sets it.
    """

    since: str
    reason: str
    failed: float
    well: float


class Neighbours:
    """What this process sees. Safe for threads; `well` for somebody who was well costs next to
    nothing.

    file: where it is told to others; None: a command, which says itself what it sees. A process
    in the place of another one goes on with what that one has seen.
    """

    def __init__(self, file: Path | None, now: Callable[[], datetime]) -> None:
        self._file = file
        self._now = now
        self._turn = threading.Lock()
        self._written = 0.0
        self._looked: dict[Key, float] = {}
        self._seen: dict[Key, _Seen] = {} if file is None else _read(file)

    def away(self, kind: str, name: str, reason: str) -> None:
        """He did not answer, or cannot be used."""
        moment = boot_clock()
        with self._turn:
            before = self._seen.get((kind, name))
            news = before is None or before.failed <= before.well
            if before is None or news:
                well = 0.0 if before is None else before.well
                seen = _Seen(rfc3339(self._now()), reason, moment, well)
            else:
                seen = replace(before, reason=reason, failed=moment)
            self._seen[kind, name] = seen
            if news or moment - self._written > _REWRITE:
                self._write(moment)
        if news and self._file is not None:
            log.warning("neighbour_away", kind=kind, name=name, reason=reason)

    def well(self, kind: str, name: str) -> None:
        """He answered. Where another process takes him for away, that is over too: it may be long
        until that one asks him again."""
        before = self._seen.get((kind, name))
        if before is None or before.well >= before.failed:
            if self._away_elsewhere((kind, name)):
                self.overrule(kind, name)
            return
        moment = boot_clock()
        with self._turn:
            self._seen[kind, name] = replace(before, well=moment)
            self._write(moment)
        if self._file is not None:
            log.info("neighbour_back", kind=kind, name=name, since=before.since)

    def overrule(self, kind: str, name: str) -> None:
        """He answers, whatever other processes have seen before."""
        moment = boot_clock()
        with self._turn:
            before = self._seen.get((kind, name), _Seen(rfc3339(self._now()), "", 0.0, 0.0))
            self._seen[kind, name] = replace(before, well=moment)
            self._write(moment)

    def database(self, name: str, error: BaseException | None) -> None:
        """For `Database.noticed`."""
        if error is None:
            self.well(DATABASE, name)
        else:
            self.away(DATABASE, name, reason_of(error))

    def _away_elsewhere(self, key: Key) -> bool:
        """Whether another process of this machine takes him for away; looks now and then."""
        moment = boot_clock()
        if self._file is None or moment - self._looked.get(key, -_LOOK) < _LOOK:
            return False
        self._looked[key] = moment
        with suppress(OSError):  # no descriptor left: whoever has answers goes on with his work
            return any((one.kind, one.name) == key for one in absent(self._file.parent))
        return False

    def _write(self, moment: float) -> None:
        if self._file is None:
            return
        self._written = moment
        rows = [
            [*key, s.since, packed(s.reason), s.failed, s.well] for key, s in self._seen.items()
        ]
        with suppress(OSError):  # a full disk is no reason for a fault
            replace_text(self._file, json.dumps({"boot": boot_id(), "seen": rows}))


def neighbours_file(run_folder: Path, place: str) -> Path:
    """The file of one process place ("worker-1")."""
    return run_folder / f"neighbours-{place}.json"


def absent(run_folder: Path) -> list[Absence]:
    """Who is away now, as all processes of this machine see it, in the order of kind and name."""
    found: dict[Key, list[_Seen]] = {}
    for file in sorted(run_folder.glob("neighbours-*.json")):
        for key, seen in _read(file).items():
            found.setdefault(key, []).append(seen)
    return [
        Absence(*key, min(one.since for one in out), max(out, key=lambda one: one.failed).reason)
        for key, seen in sorted(found.items())
        if (out := _out(seen))
    ]


def _out(seen: list[_Seen]) -> list[_Seen]:
    """Those who see him away now: nobody has had an answer since."""
    well = max(one.well for one in seen)
    return [one for one in seen if one.failed > well]


def _read(file: Path) -> dict[Key, _Seen]:
    """What a file tells; nothing if it is damaged, or of before the machine was started."""
    with suppress(OSError, ValueError, TypeError, LookupError, AttributeError):
        value: Mapping[str, object] = json.loads(file.read_text("utf-8"))
        rows = value["seen"]
        if value["boot"] == boot_id() and isinstance(rows, list):
            return {
                (kind, name): _Seen(since, unpacked(reason), failed, well)
                for kind, name, since, reason, failed, well in rows
            }
    return {}
