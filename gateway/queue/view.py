"""The queue as a person wants to see it. Reads only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.clock import from_micros
from gateway.queue.jobs import problem_from_json
from gateway.queue.models import groups, messages, recipients
from gateway.queue.states import OPEN, State
from pki.errors import Problem


@dataclass(frozen=True, slots=True)
class Line:
    """One recipient of one message. next_attempt: None when none is planned."""

    archive_id: str
    accepted_at: datetime
    sender: str
    size: int
    recipient: str
    state: State
    attempts: int
    next_attempt: datetime | None
    reason: Problem | None
    decision: dict[str, object]
    claimed: bool
    treatment: str
    emitted_sha256: str


def lines(
    conn: sa.Connection,
    *,
    archive_id: str = "",
    states: tuple[State, ...] = OPEN,
    recipient: str = "",
    limit: int = 1000,
) -> list[Line]:
    """Recipients in these states, oldest message first; of one message if its id is given."""
    query = (
        sa.select(
            messages.c.archive_id,
            messages.c.accepted_at,
            messages.c.sender,
            messages.c.size,
            messages.c.claimed_by,
            recipients.c.address,
            recipients.c.state,
            recipients.c.attempts,
            recipients.c.next_attempt_at,
            recipients.c.reason,
            recipients.c.decision,
            groups.c.treatment,
            groups.c.sha256,
        )
        .select_from(
            messages.join(recipients, recipients.c.archive_id == messages.c.archive_id).outerjoin(
                groups, groups.c.id == recipients.c.group_id
            )
        )
        .order_by(messages.c.accepted_at, messages.c.archive_id, recipients.c.position)
        .limit(limit)
    )
    if archive_id:
        query = query.where(messages.c.archive_id == archive_id)
    else:
        query = query.where(recipients.c.state.in_(states))
    if recipient:
        query = query.where(sa.func.lower(recipients.c.address) == recipient.lower())
    return [_line(row) for row in conn.execute(query)]


def counts(conn: sa.Connection) -> dict[str, int]:
    """How many recipients are in each state."""
    rows = conn.execute(
        sa.select(recipients.c.state, sa.func.count()).group_by(recipients.c.state)
    ).all()
    found = {str(state): 0 for state in State}
    found.update({row[0]: row[1] for row in rows})
    return found


def _line(row: Any) -> Line:
    at = row.next_attempt_at
    return Line(
        archive_id=row.archive_id,
        accepted_at=from_micros(row.accepted_at),
        sender=row.sender,
        size=row.size,
        recipient=row.address,
        state=State(row.state),
        attempts=row.attempts,
        next_attempt=None if at is None or row.state != State.QUEUED else from_micros(at),
        reason=problem_from_json(row.reason),
        decision=json.loads(row.decision) if row.decision else {},
        claimed=row.claimed_by is not None,
        treatment=row.treatment or "",
        emitted_sha256=row.sha256 or "",
    )
