"""Attempts whose times are no longer right: the clock was wrong, or a neighbour is back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa

from gateway.clock import MICROSECOND
from gateway.queue.models import messages, recipients
from gateway.queue.states import State
from gateway.queue.store.by_key import OF_MESSAGE, OF_RECIPIENT


def planned_too_late(
    conn: sa.Connection, *, now: int, waits: Sequence[timedelta]
) -> list[tuple[str, int]]:
    """Queued recipients (archive id, position) whose next attempt is further off than any wait.

    They were planned by a clock that ran ahead and was put back; without help they would lie there
    until that time comes. A first attempt is never planned ahead.
    """
    # Not left to PostgreSQL's INTEGER: a queue time needs 51 bits.
    longest = sa.case(
        {
            n: sa.literal(now + wait // MICROSECOND, sa.BigInteger)
            for n, wait in enumerate((timedelta(0), *waits))
        },
        value=recipients.c.attempts,
        else_=sa.literal(now + waits[-1] // MICROSECOND, sa.BigInteger),
    )
    rows = conn.execute(
        sa.select(recipients.c.archive_id, recipients.c.position).where(
            recipients.c.state == State.QUEUED, recipients.c.next_attempt_at > longest
        )
    )
    return [(row.archive_id, row.position) for row in rows]


def plan_now(conn: sa.Connection, late: Sequence[tuple[str, int]], *, now: int) -> None:
    """Try these recipients at once, unless a worker has them in hand just now."""
    if not late:
        return
    conn.execute(
        recipients.update()
        .where(OF_RECIPIENT, recipients.c.state == State.QUEUED)
        .values(next_attempt_at=now),
        [{"id": archive_id, "pos": position} for archive_id, position in late],
    )
    conn.execute(
        messages.update().where(OF_MESSAGE, messages.c.claimed_by.is_(None)).values(due_at=now),
        [{"id": archive_id} for archive_id in {archive_id for archive_id, _ in late}],
    )


def begin_anew(conn: sa.Connection, *, now: int, expire: timedelta) -> None:
    """Give every open recipient the time of a mail that has just come: the clock was set."""
    of = recipients.c
    conn.execute(
        recipients.update()
        .where(of.state == State.QUEUED)
        .values(expires_at=now + expire // MICROSECOND)
    )
    conn.execute(recipients.update().where(of.state == State.HELD).values(held_at=now))
