"""What a person may do to queued mail: hold, release, retry, bounce. Each act is a log entry.

Every function runs in the caller's write transaction, changes the job in memory and on disk, and
returns the entries to be appended in the same transaction.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from archive.store import Draft
from gateway.accept import recipient_fields
from gateway.clock import to_micros
from gateway.deliver import failed_drafts
from gateway.errors import SceauError
from gateway.i18n import message
from gateway.outbound.work import Failure
from gateway.policy import HELD_BY_RULE
from gateway.private import HELD_BY_PERSON, for_sender
from gateway.queue.jobs import Job, Recipient, problem_from_json, problem_to_json
from gateway.queue.states import OPEN, State
from gateway.queue.store.give_back import give_back
from gateway.queue.store.recipients import note_released, save_recipients
from gateway.statuses import status_for
from pki.errors import Problem

_HELD = message("it is held: sceau queue release {id} lets it be decided anew")
_SETTLED = message("sceau queue show {id} tells what became of them")


def hold(conn: sa.Connection, job: Job, *, by: str, reason: str, now: datetime) -> list[Draft]:
    """Keep queued recipients until a person releases them. Raises SceauError if none is queued."""
    if reason:
        problem = Problem(HELD_BY_PERSON, "held by {by}: {reason}", {"by": by, "reason": reason})
    else:
        problem = Problem(HELD_BY_PERSON, "held by {by}", {"by": by})
    members = _in_state(job, State.QUEUED)
    for recipient in members:
        recipient.state = State.HELD
        recipient.next_attempt_at = None
        recipient.held_at = to_micros(now)
        recipient.reason = problem_to_json(problem)
    return _save(conn, job, members, now, "held", by, reason)


def release(
    conn: sa.Connection, job: Job, *, by: str, reason: str, now: datetime, expire: timedelta
) -> list[Draft]:
    """Let held recipients be decided anew, at once. Raises SceauError if none is held.

    They are sealed anew (a certificate may have been revoked since), and have as long to be
    delivered as a mail that has just come (`expire`).
    """
    members = _in_state(job, State.HELD)
    for recipient in members:
        held = problem_from_json(recipient.reason)
        if held is not None and held.code == HELD_BY_RULE:
            # A person has looked at it, as the rule wanted: it must not hold the mail for ever.
            recipient.released = held.facts["rule"]
        recipient.state = State.QUEUED
        recipient.held_at = None
        recipient.group_id = None
        recipient.next_attempt_at = to_micros(now)
        recipient.expires_at = to_micros(now + expire)
    note_released(conn, job.archive_id, members)
    return _save(conn, job, members, now, "released", by, reason)


def retry(conn: sa.Connection, job: Job, *, by: str, reason: str, now: datetime) -> list[Draft]:
    """Try queued recipients now instead of later. Raises SceauError if none is queued."""
    members = _in_state(job, State.QUEUED)
    for recipient in members:
        recipient.next_attempt_at = to_micros(now)
    return _save(conn, job, members, now, "retried", by, reason)


def bounce(
    conn: sa.Connection, job: Job, *, by: str, reason: str, now: datetime
) -> tuple[list[Draft], list[Failure]]:
    """Give up all open recipients; the failures are for the notice to the sender.

    A message with the null sender has nobody to be told: its recipients are cancelled.
    Raises SceauError if no recipient is open.
    """
    members = _in_state(job, *OPEN)
    if not job.sender:
        for member in members:
            member.state = State.CANCELLED
            member.next_attempt_at = None
            member.reason = problem_to_json(_given_up(member, by, reason))
        return _save(conn, job, members, now, "cancelled", by, reason), []
    failures = [
        Failure(member, _given_up(member, by, reason), _why_not(member), encrypted=True)
        for member in members
    ]
    drafts = failed_drafts(job, failures, by=by)
    save_recipients(conn, [(job.archive_id, member) for member in members])
    give_back(conn, [job], now=to_micros(now))
    return drafts, failures


def _why_not(member: Recipient) -> str:
    """Enhanced code: what was in the way, now final."""
    before = problem_from_json(member.reason)
    return "5.7.1" if before is None else status_for(before, "5")


def _given_up(member: Recipient, by: str, reason: str) -> Problem:
    """Why: what the person says, else what the mail was waiting for. The sender reads it."""
    code = "policy.bounced"
    if reason:
        return Problem(code, "given up by {by}: {reason}", {"by": by, "reason": reason})
    before = for_sender(problem_from_json(member.reason))
    if before is not None and before.code != code:
        facts = {**before.facts, "who": by}
        return Problem(code, "given up by {who}; it waited because: " + before.template, facts)
    return Problem(code, "given up by {by}", {"by": by})


def _in_state(job: Job, *states: State) -> list[Recipient]:
    members = [recipient for recipient in job.recipients if recipient.state in states]
    if not members:
        held = any(recipient.state is State.HELD for recipient in job.recipients)
        raise SceauError(
            "{id}: no recipient is in the state {states}",
            hint=_HELD if held else _SETTLED,
            facts={"id": job.archive_id, "states": ", ".join(states)},
        )
    return members


def _save(
    conn: sa.Connection,
    job: Job,
    members: list[Recipient],
    now: datetime,
    kind: str,
    by: str,
    reason: str,
) -> list[Draft]:
    save_recipients(conn, [(job.archive_id, member) for member in members])
    give_back(conn, [job], now=to_micros(now))
    fields = {
        "by": by.encode(),
        "reason": reason.encode(),
        **recipient_fields("recipient", [member.address for member in members]),
    }
    return [Draft(kind, job.org, job.archive_id, fields)]
