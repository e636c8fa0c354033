"""The queue as a person wants to see it, line by line. Reads only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.clock import from_micros, to_micros
from gateway.queue.jobs import problem_from_json
from gateway.queue.models import groups, messages, recipients
from gateway.queue.states import OPEN, State
from pki.errors import Problem

_ESCAPE = "\\"

# Name of an order -> columns. Ties are broken so that two looks show the same order.
_TIES = (messages.c.accepted_at, messages.c.archive_id, recipients.c.position)
SORTS: dict[str, tuple[sa.ColumnElement[Any], ...]] = {
    "oldest": _TIES,
    "newest": (messages.c.accepted_at.desc(), messages.c.archive_id, recipients.c.position),
    "next": (
        recipients.c.next_attempt_at.is_(None),
        recipients.c.next_attempt_at,
        *_TIES,
    ),
    "size": (messages.c.size.desc(), *_TIES),
    "tries": (recipients.c.attempts.desc(), *_TIES),
}


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
    route: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Which lines; what is empty or None says nothing. Addresses are compared without case.

    sender: "<>" is the null sender. domain: of the recipient. reason: a problem code, or its
    beginning up to a full stop ("directory"). accepted_before: for mail that is older.
    route: of what is sealed already; before that a recipient has none.
    """

    archive_id: str = ""
    states: tuple[State, ...] = OPEN
    recipient: str = ""
    sender: str = ""
    domain: str = ""
    reason: str = ""
    accepted_before: datetime | None = None
    route: str = ""

    def clauses(self) -> list[sa.ColumnElement[bool]]:
        """The conditions of a query."""
        found: list[sa.ColumnElement[bool]] = []
        address = sa.func.lower(recipients.c.address)
        if self.archive_id:
            found.append(messages.c.archive_id == self.archive_id)
        else:
            found.append(recipients.c.state.in_(self.states))
        if self.recipient:
            found.append(address == self.recipient.lower())
        if self.sender:
            sender = "" if self.sender == "<>" else self.sender.lower()
            found.append(sa.func.lower(messages.c.sender) == sender)
        if self.domain:
            ending = "%@" + _literal(self.domain.lower().removeprefix("@"))
            found.append(address.like(ending, escape=_ESCAPE))
        if self.reason:
            # `problem_to_json` sorts keys: the code stands first.
            begins = '{"code":"' + _literal(self.reason)
            found.append(
                sa.or_(
                    recipients.c.reason.like(begins + '"%', escape=_ESCAPE),
                    recipients.c.reason.like(begins.removesuffix(".") + ".%", escape=_ESCAPE),
                )
            )
        if self.accepted_before is not None:
            found.append(messages.c.accepted_at < to_micros(self.accepted_before))
        if self.route:
            found.append(groups.c.route == self.route)
        return found


def lines(
    conn: sa.Connection,
    *,
    archive_id: str = "",
    states: tuple[State, ...] = OPEN,
    recipient: str = "",
    limit: int = 1000,
) -> list[Line]:
    """Recipients in these states, oldest message first; of one message if its id is given."""
    wanted = Filter(archive_id=archive_id, states=states, recipient=recipient)
    return select(conn, wanted, limit=limit)


def select(
    conn: sa.Connection, wanted: Filter, *, sort: str = "oldest", limit: int = 1000
) -> list[Line]:
    """The lines that are wanted, in an order of `SORTS`."""
    joined = messages.join(recipients, recipients.c.archive_id == messages.c.archive_id).outerjoin(
        groups, groups.c.id == recipients.c.group_id
    )
    # First which, then what: sorting 100,000 rows with their decisions moves them all about.
    which = (
        sa.select(recipients.c.archive_id, recipients.c.position)
        .select_from(joined)
        .where(*wanted.clauses())
        .order_by(*SORTS[sort])
        .limit(limit)
        .subquery()
    )
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
            groups.c.route,
        )
        .select_from(
            joined.join(
                which,
                sa.and_(
                    which.c.archive_id == recipients.c.archive_id,
                    which.c.position == recipients.c.position,
                ),
            )
        )
        .order_by(*SORTS[sort])
    )
    return [_line(row) for row in conn.execute(query)]


def counts(conn: sa.Connection, states: Sequence[State] = tuple(State)) -> dict[State, int]:
    """How many recipients are in each of these states."""
    rows = conn.execute(
        sa.select(recipients.c.state, sa.func.count())
        .where(recipients.c.state.in_(states))
        .group_by(recipients.c.state)
    ).all()
    found = dict.fromkeys(states, 0)
    found.update({State(row[0]): row[1] for row in rows})
    return found


def _literal(text: str) -> str:
    """Text that stands for itself in LIKE."""
    for sign in (_ESCAPE, "%", "_"):
        text = text.replace(sign, _ESCAPE + sign)
    return text


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
        route=row.route or "",
    )
