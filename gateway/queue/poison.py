"""A mail that cannot be worked on for want of memory or of stack: tried again, then held."""

from __future__ import annotations

from datetime import datetime

import structlog

from archive.store import Draft
from gateway.accept import recipient_fields
from gateway.clock import to_micros
from gateway.outbound.work import Work
from gateway.queue.jobs import problem_to_json
from gateway.queue.states import State
from gateway.queue.store.deaths import POISON_AFTER
from pki.errors import Problem

log = structlog.get_logger()

FATAL = (MemoryError, RecursionError)

_AGAIN = 1_000_000  # microseconds until it is tried again


def note_fatal(work: Work, error: BaseException, moment: datetime) -> None:
    """Count it against the mail; at the third time its open recipients are held.

    Such an error says nothing of the others: their work goes on.
    """
    job = work.job
    job.crashes += 1
    job.harmed = True
    name = type(error).__name__
    log.error("seal_fatal", id=job.archive_id, error=name, times=job.crashes)
    members = [r for r in job.due if r.group_id is None]
    if job.crashes < POISON_AFTER:
        for recipient in members:
            recipient.next_attempt_at = to_micros(moment) + _AGAIN
        return
    problem = Problem(
        "limits.poison",
        "working on this message failed {times} times ({error}); it is held for a person",
        {"times": str(job.crashes), "error": name},
    )
    for recipient in members:
        recipient.state = State.HELD
        recipient.next_attempt_at = None
        recipient.held_at = to_micros(moment)
        recipient.reason = problem_to_json(problem)
    fields = {
        "reason": problem_to_json(problem).encode(),
        **recipient_fields("recipient", [r.address for r in members]),
    }
    work.drafts.append(Draft("held", job.org, job.archive_id, fields))
    log.error("quarantined", id=job.archive_id, reason=problem.text)
