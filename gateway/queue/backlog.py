"""The queue in numbers: how much, how old, where to, why not. Reads only.

Every question is answered from what is open: it costs as much as the queue is long, however much
mail was ever delivered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from gateway.clock import from_micros
from gateway.queue.models import groups, messages, recipients
from gateway.queue.states import OPEN, State
from gateway.queue.view import counts

POISON_CODE = "limits.poison"

# `problem_to_json` sorts keys, so the code stands first; codes are short.
_BEGINNING = 64
_CODE = re.compile(r'\{"code":"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Backlog:
    """waiting, in_work: messages with something to do, and those that a worker has in hand.

    oldest: when the oldest of them was accepted. queued, held: recipients.
    reasons: held recipients by problem code; troubles: queued ones that have failed so far.
    """

    waiting: int = 0
    in_work: int = 0
    queued: int = 0
    held: int = 0
    oldest: datetime | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, int] = field(default_factory=dict)


def backlog(conn: sa.Connection) -> Backlog:
    """What is open now."""
    of = messages.c
    ages = []
    numbers = []
    # Two questions, each a range of the index `messages_due`; one over both would read all
    # messages there ever were.
    for condition in (
        sa.and_(of.claimed_by.is_(None), of.due_at.is_not(None)),
        of.claimed_by.is_not(None),
    ):
        row = conn.execute(
            sa.select(sa.func.count(), sa.func.min(of.accepted_at)).where(condition)
        ).one()
        numbers.append(row[0])
        ages += [row[1]] if row[1] is not None else []
    states = counts(conn, OPEN)
    return Backlog(
        waiting=numbers[0],
        in_work=numbers[1],
        queued=states[State.QUEUED],
        held=states[State.HELD],
        oldest=from_micros(min(ages)) if ages else None,
        reasons=_codes(conn, State.HELD),
        troubles=_codes(conn, State.QUEUED),
    )


def by_route(conn: sa.Connection) -> dict[str, int]:
    """Queued recipients by the route their sealed octets go; "" for those not sealed yet."""
    rows = conn.execute(
        sa.select(groups.c.route, sa.func.count())
        .select_from(recipients.outerjoin(groups, groups.c.id == recipients.c.group_id))
        .where(recipients.c.state == State.QUEUED)
        .group_by(groups.c.route)
    )
    return {row[0] or "": row[1] for row in rows}


def by_domain(conn: sa.Connection, state: State) -> dict[str, int]:
    """Recipients in a state by their domain."""
    found: dict[str, int] = {}
    rows = conn.execute(sa.select(recipients.c.address).where(recipients.c.state == state))
    for (address,) in rows:
        domain = address.rpartition("@")[2].lower()
        found[domain] = found.get(domain, 0) + 1
    return found


def _codes(conn: sa.Connection, state: State) -> dict[str, int]:
    beginning = sa.func.substr(recipients.c.reason, 1, _BEGINNING)
    rows = conn.execute(
        sa.select(beginning, sa.func.count())
        .where(recipients.c.state == state, recipients.c.reason != "")
        .group_by(beginning)
    )
    found: dict[str, int] = {}
    for text, number in rows:
        match = _CODE.match(text)
        code = match[1] if match else "-"
        found[code] = found.get(code, 0) + number
    return found
