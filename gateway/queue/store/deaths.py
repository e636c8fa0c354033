"""After the death of a worker: which messages are blamed for it, freed, or held."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import sqlalchemy as sa

from gateway.queue.jobs import problem_to_json
from gateway.queue.models import messages, recipients
from gateway.queue.states import State
from pki.errors import Problem

# A mail on which workers died this often is taken out of the queue and shown (held).
POISON_AFTER = 3
# Microseconds until it is tried again, so that it does not take one worker after the other before
# the first is back.
SUSPECT_PAUSE = 3_000_000
POISON = Problem(
    "limits.poison",
    "the process that worked on this message died {times} times; it is held for a person",
    {"times": str(POISON_AFTER)},
)


class Blame(Enum):
    """Which messages count a death of the process that held them, and are held after three."""

    NOBODY = "nobody"  # the death has another reason: a full disk, our own signal, the network
    IN_HAND = "in hand"  # those that were being sealed, if that is known: all died at once
    ANYBODY = "anybody"  # the same; if it is not known all, for it was one of them


def release_claims(
    conn: sa.Connection,
    *,
    worker: str | None,
    now: int,
    blame: Blame = Blame.ANYBODY,
    in_hand: Sequence[str] = (),
) -> tuple[list[str], list[str]]:
    """Free the messages of a worker that died (None: of all): (ids freed, ids held).

    They are due at once, but for one that is known to have been in hand; the attempt that died
    stays counted. After `POISON_AFTER` deaths a
    message is held for a person: the caller writes that into the log.

    in_hand: those that were being sealed when the worker died: of its messages they alone are
        blamed.
    """
    whose = (
        messages.c.claimed_by.is_not(None) if worker is None else messages.c.claimed_by == worker
    )
    rows = conn.execute(sa.select(messages.c.archive_id, messages.c.crashes).where(whose)).all()
    held = {row.archive_id for row in rows}
    known = held.intersection(in_hand) if blame is not Blame.NOBODY else set()
    blamed = held if blame is Blame.ANYBODY and not known else known
    when = {one: now + (SUSPECT_PAUSE if one in known else 0) for one in held}
    deaths = {row.archive_id: row.crashes + (row.archive_id in blamed) for row in rows}
    poisoned = [one for one, number in deaths.items() if number >= POISON_AFTER]
    freed = [one for one in deaths if deaths[one] < POISON_AFTER]
    update = messages.update().where(messages.c.archive_id == sa.bindparam("id"))
    if freed:
        conn.execute(
            update.values(
                claimed_by=None, crashes=sa.bindparam("deaths"), due_at=sa.bindparam("due")
            ),
            [{"id": one, "deaths": deaths[one], "due": when[one]} for one in freed],
        )
        conn.execute(
            recipients.update()
            .where(
                recipients.c.archive_id == sa.bindparam("id"), recipients.c.state == State.QUEUED
            )
            .values(next_attempt_at=sa.bindparam("due")),
            [{"id": one, "due": when[one]} for one in freed],
        )
    if poisoned:
        conn.execute(
            update.values(claimed_by=None, crashes=0, due_at=None),
            [{"id": archive_id} for archive_id in poisoned],
        )
        conn.execute(
            recipients.update()
            .where(
                recipients.c.archive_id == sa.bindparam("id"), recipients.c.state == State.QUEUED
            )
            .values(
                state=State.HELD,
                next_attempt_at=None,
                reason=problem_to_json(POISON),
                held_at=now,
            ),
            [{"id": archive_id} for archive_id in poisoned],
        )
    return freed, poisoned
