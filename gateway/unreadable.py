"""Mail whose content cannot be read just now, or is damaged: nothing leaves, and it is said why.

A blob store that is away is "cannot tell": the mail is tried again by the schedule. Content that is
damaged or missing does not come back by itself: the mail is held for a person, who may restore it
and release it. A mail is never sent from anything else but what the log committed to.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import structlog

from archive.errors import ArchiveError, BlobTrouble
from archive.store import Draft
from gateway.accept import recipient_fields
from gateway.clock import to_micros
from gateway.outbound.work import Failure, Work
from gateway.queue.jobs import Recipient, problem_to_json
from gateway.queue.states import State
from pki.errors import Problem

log = structlog.get_logger()


def note_unreadable(
    work: Work, recipients: Iterable[Recipient], error: ArchiveError, moment: datetime
) -> None:
    """Held, or left to the schedule, with one log entry where the reason is a new one."""
    job = work.job
    problem = Problem(error.problem.code, error.problem.template, error.problem.facts)
    reason = problem_to_json(problem)
    temporary = isinstance(error, BlobTrouble)
    log.error("content_unreadable", id=job.archive_id, code=problem.code, reason=problem.text)
    told = []
    for recipient in recipients:
        if recipient.group_id is not None:
            continue  # sealed by an earlier attempt: it goes out from the stored octets
        if temporary and to_micros(moment) >= recipient.expires_at:
            work.failures.append(Failure(recipient, problem, "5.4.7", encrypted=True))
            continue
        if not temporary:
            recipient.state = State.HELD
            recipient.next_attempt_at = None
        if recipient.reason != reason or not temporary:
            told.append(recipient.address)
        recipient.reason = reason
    if told:
        fields = {"reason": reason.encode(), **recipient_fields("recipient", told)}
        kind = "deferred" if temporary else "held"
        work.drafts.append(Draft(kind, job.org, job.archive_id, fields))
