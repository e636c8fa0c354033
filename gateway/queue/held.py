"""Held recipients: who is among them, for how long. Reads only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from gateway.clock import from_micros
from gateway.queue.jobs import problem_from_json, problem_to_json
from gateway.queue.models import messages, recipients
from gateway.queue.states import State
from gateway.queue.store.deaths import POISON
from pki.errors import Problem


@dataclass(frozen=True, slots=True)
class HeldLine:
    """One held recipient."""

    archive_id: str
    sender: str
    recipient: str
    since: datetime
    reason: Problem | None


def held_since(conn: sa.Connection, before: int) -> list[HeldLine]:
    """Held since `before` (microseconds) or longer, the longest first."""
    rows = conn.execute(
        sa.select(
            recipients.c.archive_id,
            messages.c.sender,
            recipients.c.address,
            recipients.c.held_at,
            recipients.c.reason,
        )
        .join(messages, messages.c.archive_id == recipients.c.archive_id)
        .where(recipients.c.state == State.HELD, recipients.c.held_at <= before)
        .order_by(recipients.c.held_at, recipients.c.archive_id, recipients.c.position)
    )
    return [
        HeldLine(
            row.archive_id,
            row.sender,
            row.address,
            from_micros(row.held_at),
            problem_from_json(row.reason),
        )
        for row in rows
    ]


def untold_poison(conn: sa.Connection) -> list[tuple[str, str]]:
    """Archive id and NOTIFY of recipients whom the supervisor has taken out, and whose sender
    does not know: the supervisor has no keys and writes no notices.
    """
    rows = conn.execute(
        sa.select(recipients.c.archive_id, recipients.c.notify)
        .join(messages, messages.c.archive_id == recipients.c.archive_id)
        .where(
            recipients.c.state == State.HELD,
            recipients.c.told != "held",
            recipients.c.reason == problem_to_json(POISON),
            messages.c.sender != "",
        )
    )
    return [(row.archive_id, row.notify) for row in rows]


def last_warning(conn: sa.Connection, parameters: dict[str, str]) -> int | None:
    """When a notice with these parameters was last queued (microseconds)."""
    return conn.execute(
        sa.select(sa.func.max(messages.c.accepted_at)).where(
            messages.c.kind == "notice",
            messages.c.parameters == json.dumps(parameters, sort_keys=True),
        )
    ).scalar()
