"""The gateway as it runs now: its processes, and what waits in its queue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from gateway import running
from gateway.alarms import DEATHS_WITHIN, QUEUE_OLD
from gateway.check.finding import Finding, error, good, warning
from gateway.i18n import message
from gateway.neighbours import CRL, DATABASE, DIRECTORY, NEXT_HOP, OCSP, absent
from gateway.queue.backlog import POISON_CODE, backlog
from gateway.wiring import Wiring


def processes(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """All that should run do, and none died a moment ago."""
    status = running.read(wiring.run_folder)
    if status is None:
        yield good("processes", "the gateway does not run")
        return
    serving = [one for one in status.processes if not one.retiring]
    slow = [one.name for one in serving if not one.ready]
    yield good(
        "processes",
        "{number} run since {at}, supervisor {pid}",
        number=str(len(serving)),
        at=status.accepted_at,
        pid=str(status.pid),
    )
    if slow:
        yield warning(
            "processes",
            "process.not-ready",
            "{names}: not ready",
            meaning="they start now, or over and over again",
            advice="look for cannot_run and process_died in the log",
            names=", ".join(slow),
        )
    recent = [
        role for role, at in status.deaths if moment - datetime.fromisoformat(at) < DEATHS_WITHIN
    ]
    if recent:
        yield warning(
            "processes",
            "process.died",
            "processes died within the last {minutes} min: {roles}",
            meaning="they were replaced; mail that one had in hand is tried again",
            advice="look for process_died in the log, and what was logged before it",
            minutes=str(int(DEATHS_WITHIN / timedelta(minutes=1))),
            roles=", ".join(recent),
        )


_SILENT = {
    DATABASE: message("the gateway has had no use of the database {name} since {date}: {reason}"),
    DIRECTORY: message("the directory server {name} has not answered since {date}: {reason}"),
    NEXT_HOP: message("the next hop of the route {name} has not answered since {date}: {reason}"),
    CRL: message("no CRL could be had from {name} since {date}: {reason}"),
    OCSP: message("the OCSP responder {name} has not answered since {date}: {reason}"),
}


def neighbours(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    """Who has not answered the running gateway, and since when. Asks nobody."""
    if running.read(wiring.run_folder) is None:
        return
    found = absent(wiring.run_folder)
    for one in found:
        yield warning(
            "neighbours",
            "neighbour.away",
            _SILENT[one.kind],
            meaning="mail that needs it waits and is tried again; nothing is lost or sent in clear",
            advice="docs/operations.md, who is dead; mail moves by itself when it is back",
            name=one.name,
            date=one.since,
            reason=one.reason,
        )
    if not found:
        yield good("neighbours", "database, directories, next hops and CRL servers have answered")


def queue(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """What waits, how long, and what waits for a person."""
    with wiring.database.read() as conn:
        open_ = backlog(conn)
    facts = {"queued": str(open_.queued), "held": str(open_.held)}
    age = timedelta() if open_.oldest is None else moment - open_.oldest
    if age > QUEUE_OLD:
        yield warning(
            "queue",
            "queue.old",
            "the oldest mail has been in the queue for {hours} h (recipients queued: {queued})",
            meaning="it is tried again by itself until queue.expire; then its sender is told",
            advice="sceau queue stats tells why",
            hours=str(int(age / timedelta(hours=1))),
            **facts,
        )
    else:
        yield good("queue", "recipients queued: {queued}, held: {held}", **facts)
    if poisoned := open_.reasons.get(POISON_CODE, 0):
        yield error(
            "queue",
            "queue.poison",
            "mail on which processes died is held, recipients: {number}",
            meaning="each process that took it up ended",
            advice="sceau queue list --reason limits.poison; keep that mail for whoever mends this",
            number=str(poisoned),
        )
    if rest := open_.held - poisoned:
        yield warning(
            "queue",
            "queue.held",
            "recipients held for a person: {number}",
            meaning="it does not go out by itself",
            advice="sceau queue list --state held, then release or bounce",
            number=str(rest),
        )
