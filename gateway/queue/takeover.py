"""Taking over what processes held that give no sign of life any more, on a shared database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from gateway.belief import Belief
from gateway.clock import boot_clock
from gateway.database import Database
from gateway.queue import processes
from gateway.queue.claims import release
from gateway.queue.processes import Process
from gateway.queue.store.deaths import Blame

log = structlog.get_logger()

_TICK = 1.0
# Somebody who has not looked for so long has not seen that nothing changed.
_BLIND = 5.0
# Seconds without a word in the middle of a question to the database, after which its session ends:
# as long as the server lets one be idle in a transaction (`gateway.database.postgres_session`).
_SILENT = 10.0


@dataclass(frozen=True, slots=True)
class _Seen:
    beats: int
    since: float


class Watch:
    """One observer. It believes nobody's clock but its own, and that only while it can look."""

    def __init__(
        self,
        database: Database,
        *,
        origin: str,
        org: str,
        belief: Belief,
        clock: Callable[[], float] = boot_clock,
        silent: float = _SILENT,
    ) -> None:
        """belief: knows the time by which the queue goes. silent: see `_SILENT`."""
        self._database = database
        self._origin = origin
        self._org = org
        self._belief = belief
        self._clock = clock
        self._silent = silent
        self._seen: dict[str, _Seen] = {}
        self._looked = clock()

    def run(self, stop: threading.Event) -> None:
        """Until `stop`. A look that fails is made again."""
        blind = False
        while not stop.wait(_TICK):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - the database is away; nothing was done
                if not blind:
                    log.warning("no_look_at_processes", reason=type(error).__name__)
                blind = True
            else:
                blind = False

    def look(self) -> list[str]:
        """One look; names of those who were dismissed."""
        # A frozen process in the middle of its commit would keep its licence locked, or the head
        # of the log: nobody could take over, or no mail be taken.
        if ended := self._database.end_silent(self._silent):
            log.warning("silent_sessions_ended", sessions=ended)
        with self._database.read() as conn:
            found = processes.known(conn)
            stray = processes.nobodys(conn)
        now = self._clock()
        if now - self._looked > _BLIND:
            self._seen.clear()
        self._looked = now
        self._seen = {one.name: self._sighting(one, now) for one in found}
        dead = [
            one for one in found if now - self._seen[one.name].since >= one.takeover / 1_000_000
        ]
        if dead or stray:
            self._take_over(dead)
        return [one.name for one in dead]

    def _sighting(self, one: Process, now: float) -> _Seen:
        before = self._seen.get(one.name)
        return before if before and before.beats == one.beats else _Seen(one.beats, now)

    def _take_over(self, dead: list[Process]) -> None:
        take_over(
            self._database,
            lambda one: any(d.name == one.name and d.beats == one.beats for d in dead),
            origin=self._origin,
            org=self._org,
            belief=self._belief,
            blame=Blame.NOBODY,  # it was cut off, with its machine or from the database
        )


def take_over(
    database: Database,
    which: Callable[[Process], bool],
    *,
    origin: str,
    org: str,
    belief: Belief,
    blame: Blame,
    in_hand: Sequence[str] = (),
) -> None:
    """Dismiss these processes and hand out again what nobody holds by then, in one transaction.

    blame, in_hand: see `deaths.release_claims`.
    """
    with database.write() as conn:
        for one in processes.known(conn):
            if which(one) and processes.dismiss(conn, one.name, beats=one.beats):
                log.error("process_dismissed", name=one.name, node=one.node, role=one.role)
        said = [
            release(
                conn,
                origin=origin,
                org=org,
                worker=name,
                belief=belief,
                blame=blame,
                in_hand=in_hand,
            )
            for name in processes.nobodys(conn)
        ]
    for tell in said:
        tell()
