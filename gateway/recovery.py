"""Looks after neighbours that are away: tells people, tries them, and moves mail when one is back.

In a thread of the keeper, and nothing it does to tell people asks the database.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import structlog

from gateway.clock import to_micros
from gateway.database import Database
from gateway.database.trouble import TROUBLE
from gateway.neighbours import CRL, DIRECTORY, NEXT_HOP, OCSP, Absence, Neighbours, absent
from gateway.queue.recovered import Waits, for_area, for_next_hop, try_now
from gateway.routes import Routes
from gateway.smtp.nexthop import NextHop, Timeouts, TlsDemand
from gateway.smtp.transaction import greet
from gateway.smtp.wire import TlsError, WireError
from pki.ldap import DirectoryClient

log = structlog.get_logger()

_TICK = 5.0  # seconds between two looks
_PATIENCE = Timeouts(connect=5, greeting=10, command=5)
# When somebody is back, what waited is tried at once; and once more after as long as he was away,
# at most so long: a worker may not believe in a directory again before, and what it had in hand
# at that moment may have failed after all.
_LATEST_AGAIN = 60.0
# A neighbour that comes and goes does not have all its mail thrown at it each time (seconds).
_NOT_BEFORE = 60.0

Key = tuple[str, str]


@dataclass
class Recovery:
    """tell: who is away now, for alarms."""

    database: Database
    neighbours: Neighbours
    run_folder: Path
    routes: Routes
    directories: tuple[DirectoryClient, ...]
    now: Callable[[], datetime]
    tell: Callable[[list[Absence], datetime], None]
    _away: dict[Key, float] = field(default_factory=dict)
    _due: list[tuple[float, Key]] = field(default_factory=list)
    _moved: dict[Key, float] = field(default_factory=dict)  # when that was begun, or will be

    def run(self, stop: threading.Event) -> None:
        """Until `stop`."""
        while not stop.wait(_TICK):
            try:
                self.look()
            except Exception:
                log.exception("recovery_fault")

    def look(self) -> None:
        """One look: tell, try, plan."""
        found = absent(self.run_folder)
        self.tell(found, self.now())
        present = time.monotonic()
        away = {(one.kind, one.name): present for one in found}
        for key, since in self._away.items():
            if key in away:
                away[key] = since
            else:
                again = min(present - since, _LATEST_AGAIN)
                soon = max(present, self._moved.get(key, -_NOT_BEFORE) + _NOT_BEFORE)
                self._due = [one for one in self._due if one[1] != key]
                self._due += [(soon, key), (soon + again + _TICK, key)]
                self._moved[key] = soon
        self._away = away
        self._move_mail(present)
        for kind, name in self._away:
            if self._answers(kind, name):
                self.neighbours.overrule(kind, name)
                log.info("neighbour_back", kind=kind, name=name)

    def _move_mail(self, present: float) -> None:
        for one in [one for one in self._due if one[0] <= present]:
            waits = _waits(*one[1])
            try:
                number = (
                    0 if waits is None else try_now(self.database, waits, now=to_micros(self.now()))
                )
            except TROUBLE:
                return  # the database is away too: when it is back
            self._due.remove(one)
            if number:
                log.info("tried_again", kind=one[1][0], name=one[1][1], recipients=number)

    def _answers(self, kind: str, name: str) -> bool:
        if kind == NEXT_HOP:
            return self._hop_answers(name)
        if kind == DIRECTORY:
            return self._directory_answers(name)
        return False  # whoever uses it will see

    def _hop_answers(self, name: str) -> bool:
        route = self.routes.get(name)
        if route is None:
            return True  # no longer configured: nobody waits for it
        return asyncio.run(_greeted(replace(route.hop, timeouts=_PATIENCE)))

    def _directory_answers(self, name: str) -> bool:
        directory, _, url = name.partition(" ")
        client = next((one for one in self.directories if one.directory.name == directory), None)
        if client is None or url not in client.directory.urls:
            return True
        return any(one.url == url and one.problem is None for one in client.try_servers())


def _waits(kind: str, name: str) -> Waits | None:
    areas: Mapping[str, str] = {DIRECTORY: "directory", CRL: "revocation", OCSP: "revocation"}
    if kind == NEXT_HOP:
        return for_next_hop(name)
    return for_area(areas[kind]) if kind in areas else None


async def _greeted(hop: NextHop) -> bool:
    try:
        try:
            wire = await greet(hop, lambda: None, allow_tls=True)
        except TlsError:
            if hop.tls is TlsDemand.VERIFIED:
                return False
            wire = await greet(hop, lambda: None, allow_tls=False)
    except WireError:
        return False
    wire.quit()
    await asyncio.sleep(0)
    return True
