"""`sceau check`: everything the gateway depends on, tried out, in plain words.

One file a subject; each has a function that yields findings. None changes anything, but for an
object of its own that goes through the blob store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from archive.errors import ArchiveError
from gateway.check import (
    archive,
    blobs,
    clock,
    crls,
    database,
    decisions,
    directories,
    disks,
    ends,
    listen,
    persons,
    program,
    rights,
    routes,
    running,
    seals,
    senders,
    trust,
)
from gateway.check.finding import Finding, Level, error
from gateway.errors import SceauError
from gateway.wiring import Wiring
from pki.errors import PkiError

__all__ = ["Finding", "Level", "run_checks"]

Check = Callable[[Wiring, datetime], Iterator[Finding]]

# In the order in which a person would look: what everything stands on comes first.
CHECKS: tuple[tuple[str, Check], ...] = (
    ("python", program.python),
    ("libraries", program.libraries),
    ("configuration", program.configuration),
    ("rights", rights.rights),
    ("clock", clock.clock),
    ("database", database.database),
    ("log", database.tail),
    ("disk", disks.disks),
    ("archive", archive.recipients),
    ("blobs", blobs.blobs),
    ("working keys", archive.working_keys),
    ("index", archive.index),
    ("decisions", decisions.decisions),
    ("anchors", trust.anchors),
    ("intermediates", trust.intermediates),
    ("crls", crls.crls),
    ("crls", ends.grace),
    ("ocsp", ends.ocsp),
    ("recipients", ends.recipients),
    ("seals", seals.seals),
    ("persons", persons.findings),
    ("users", senders.users),
    ("login directories", senders.login_directories),
    ("clients", senders.clients),
    ("directories", directories.directories),
    ("routes", routes.routes),
    ("listen", listen.listen),
    ("metrics", listen.metrics),
    ("processes", running.processes),
    ("neighbours", running.neighbours),
    ("queue", running.queue),
)


def run_checks(wiring: Wiring, *, moment: datetime) -> Iterator[Finding]:
    """All checks in order; one that breaks is a finding, not the end of the others."""
    told: set[str] = set()
    for subject, check in CHECKS:
        try:
            yield from check(wiring, moment)
        except Exception as fault:
            finding = _broken(subject, fault)
            if finding is None:
                raise
            # A database that cannot be opened keeps many checks from being made: said once.
            if finding.text not in told:
                told.add(finding.text)
                yield finding


def _broken(subject: str, fault: Exception) -> Finding | None:
    """What a check came to that could not be made; None for a mistake of ours."""
    match fault:
        case SceauError():
            return error(
                subject, "check.broken", fault.template, advice=fault.hint_template, **fault.facts
            )
        case PkiError() | ArchiveError():
            problem = fault.problem
            return error(subject, problem.code, problem.template, **problem.facts)
        case OSError():
            return error(subject, "check.broken", "cannot be used: {reason}", reason=str(fault))
        case SQLAlchemyError():
            reason = " ".join(str(getattr(fault, "orig", fault)).split())
            return error(
                subject, "check.broken", "the database cannot be used: {reason}", reason=reason
            )
    return None
