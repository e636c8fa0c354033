"""Recipients who get nothing now: waiting, held, refused, put off, or kept by a fault of ours."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime

import structlog

from archive.store import Draft
from gateway.accept import recipient_fields
from gateway.clock import to_micros
from gateway.outbound.work import Failure, Work
from gateway.queue.jobs import Recipient, problem_to_json
from gateway.queue.states import State
from gateway.statuses import status_for
from pki.errors import Problem

log = structlog.get_logger()


def wait(
    work: Work,
    recipient: Recipient,
    problem: Problem,
    record: str,
    *,
    moment: datetime,
    held: bool,
) -> None:
    """Held until a person decides, or asked again by the schedule until the mail expires."""
    if not held and work.job.expired(recipient, to_micros(moment)):
        status = status_for(problem, "4")
        refuse(work, recipient, problem, record, encrypted=True, status=status)
        return
    before = (recipient.state, recipient.reason)
    if held:
        recipient.state = State.HELD
        recipient.next_attempt_at = None
        recipient.held_at = to_micros(moment)
    recipient.reason = problem_to_json(problem)
    recipient.decision = record
    if before == (recipient.state, recipient.reason):
        return  # still the same reason: the log need not say it at every attempt
    work.drafts.append(
        Draft(
            "held" if held else "deferred",
            work.job.org,
            work.job.archive_id,
            {
                "reason": problem_to_json(problem).encode(),
                "decision.000000": record.encode(),
                **recipient_fields("recipient", [recipient.address]),
            },
        )
    )


def refuse(
    work: Work,
    recipient: Recipient,
    problem: Problem,
    record: str,
    *,
    encrypted: bool,
    status: str = "",
) -> None:
    """The mail does not leave for him; his sender is told.

    encrypted: whether it had to be. status: enhanced, that of the problem if left out.
    """
    recipient.decision = record
    status = status or status_for(problem, "5")
    work.failures.append(Failure(recipient, problem, status, encrypted))


def put_off(recipients: Iterable[Recipient], moment: datetime) -> None:
    """Their turn comes when those before them are served: the message is due again at once."""
    for recipient in recipients:
        recipient.attempts -= 1  # none was made
        recipient.next_attempt_at = to_micros(moment)


def note_fault(
    work: Work, recipients: Iterable[Recipient], moment: datetime, trouble: Problem | None = None
) -> None:
    """A fault of ours while sealing: nothing leaves for these recipients, the log says where.

    They stay queued until the mail expires: then the sender hears of it as of any other failure.
    trouble: what kept the mail, where that is known and nothing to look for in a stack trace.
    """
    problem = trouble if trouble is not None else _incident(work)
    if trouble is not None:
        log.warning("seal_waits", id=work.job.archive_id, code=trouble.code, text=trouble.text)
    for recipient in recipients:
        if recipient.group_id is not None:
            continue  # sealed by an earlier attempt: it goes out from the stored octets
        recipient.reason = problem_to_json(problem)
        if work.job.expired(recipient, to_micros(moment)):
            status = status_for(problem, "4")
            work.failures.append(Failure(recipient, problem, status, encrypted=True))


def _incident(work: Work) -> Problem:
    incident = secrets.token_hex(6)
    log.exception("seal_fault", id=work.job.archive_id, incident=incident)
    return Problem(
        "limits.internal",
        "an internal fault kept the message from being sealed (incident {incident})",
        {"incident": incident},
    )
