"""Mail that waits for a neighbour is tried when he is back, not when its next attempt comes.

After an hour without a next hop attempts are hours apart (`queue.retry`): without this the mail of
that hour would arrive over the rest of the day, and what was refused for a reason of its own
(greylisting, a full mailbox) keeps its pace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from gateway.database import Database
from gateway.queue.jobs import problem_from_json
from gateway.queue.models import groups, recipients
from gateway.queue.states import State
from gateway.queue.store.replan import plan_now
from pki.errors import Problem

# Recipients of one transaction: workers claim between two of them.
_BATCH = 500

_REPLY = re.compile(r"[2-5][0-9][0-9](?: |\Z)")  # not the beginning of an address

# Whether somebody waits for it: (why his last attempt failed, the route he was sealed for or "").
Waits = Callable[[Problem, str], bool]


def for_next_hop(route: str) -> Waits:
    """Those who had no answer from the next hop of this route. One who had a 4xx had an answer;
    one whose mail may have arrived, the dot sent and the line cut, is not sent it again in haste.
    """

    def waits(problem: Problem, of: str) -> bool:
        answered = _REPLY.match(problem.facts.get("text", "")) is not None
        uncertain = "uncertain" in problem.facts
        return (
            of == route and problem.code == "delivery.deferred" and not answered and not uncertain
        )

    return waits


def for_area(area: str) -> Waits:
    """Those whose look-up came to nothing: area "directory" or "revocation"."""
    return lambda problem, _route: problem.code.startswith(f"{area}.")


def try_now(database: Database, waits: Waits, *, now: int) -> int:
    """Plan those recipients for now (microseconds); how many there were."""
    number = 0
    after = ("", -1)
    while True:
        with database.write() as conn:
            rows = _waiting(conn, after, now)
            late = [
                (row.archive_id, row.position)
                for row in rows
                if (problem := problem_from_json(row.reason)) and waits(problem, row.route or "")
            ]
            plan_now(conn, late, now=now)
        number += len(late)
        if len(rows) < _BATCH:
            return number
        after = (rows[-1].archive_id, rows[-1].position)


_OPEN = (
    sa.select(recipients.c.archive_id, recipients.c.position, recipients.c.reason, groups.c.route)
    .outerjoin(groups, groups.c.id == recipients.c.group_id)
    .where(
        recipients.c.state == State.QUEUED,
        recipients.c.next_attempt_at > sa.bindparam("now"),
        recipients.c.reason != "",
        sa.tuple_(recipients.c.archive_id, recipients.c.position)
        > sa.tuple_(sa.bindparam("id"), sa.bindparam("pos")),
    )
    .order_by(recipients.c.archive_id, recipients.c.position)
    .limit(sa.bindparam("limit"))
)


def _waiting(
    conn: sa.Connection, after: tuple[str, int], now: int
) -> Sequence[sa.Row[Any, Any, Any, Any]]:
    return conn.execute(_OPEN, {"now": now, "id": after[0], "pos": after[1], "limit": _BATCH}).all()
