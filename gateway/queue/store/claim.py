"""Claiming what is due.

The claim stores the number of the attempt and the time of the next one *before* anything is
dialled: a crash in the middle cannot hammer the peer (I1, and design "way out" step 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from archive.rows import Rows
from gateway.clock import MICROSECOND
from gateway.queue.jobs import NOTICE, Job
from gateway.queue.models import messages, recipients
from gateway.queue.schedule import wait_after
from gateway.queue.states import State
from gateway.queue.store.by_key import OF_MESSAGE, OF_RECIPIENT
from gateway.queue.store.load import job_of, recipients_of

NO_LIMIT = 1 << 62  # octets

_CLAIM = Rows(messages.update().where(OF_MESSAGE), "id", "claimed_by")
_PLAN_ATTEMPTS = Rows(
    recipients.update().where(OF_RECIPIENT), "id", "pos", "attempts", "next_attempt_at"
)
_IS_DUE = sa.and_(
    messages.c.claimed_by.is_(None),
    messages.c.due_at <= sa.bindparam("now"),
    messages.c.size <= sa.bindparam("largest", type_=sa.BigInteger),
)
_DUE = (
    sa.select(messages)
    .where(_IS_DUE)
    .order_by(messages.c.due_at)
    .limit(sa.bindparam("limit"))
    .with_for_update(skip_locked=True)  # SQLite has one writer and ignores it
)
_DUE_NOTICES = _DUE.where(messages.c.kind == NOTICE)
_ANY_DUE = sa.select(messages.c.archive_id).where(_IS_DUE).limit(1)
_ANY_DUE_NOTICE = _ANY_DUE.where(messages.c.kind == NOTICE)


def something_due(
    conn: sa.Connection, now: int, largest: int = NO_LIMIT, *, notices: bool = False
) -> bool:
    """Whether a claim would find work; reads only, so that idle workers take no write lock."""
    asked = _ANY_DUE_NOTICE if notices else _ANY_DUE
    return conn.execute(asked, {"now": now, "largest": largest}).first() is not None


def claim(
    conn: sa.Connection,
    *,
    worker: str,
    now: int,
    limit: int,
    max_bytes: int,
    largest: int = NO_LIMIT,
    waits: Sequence[timedelta],
    warn: timedelta | None = None,
    notices: bool = False,
) -> list[Job]:
    """Take due messages for `worker` and store their next attempts.

    notices: take none but notices of ours.

    warn: when the sender is told of a delay: an attempt is made then, so that what he reads is new.

    At most `limit` messages, none over `largest` octets, and of `max_bytes` together unless the
    first is larger. A message on which a worker died before is handed out alone: if it kills
    again, it takes nobody with it.
    """
    rows = conn.execute(
        _DUE_NOTICES if notices else _DUE, {"now": now, "limit": limit, "largest": largest}
    ).all()
    suspect = next((n for n, row in enumerate(rows) if row.crashes), None)
    if suspect is not None:
        rows = rows[: max(suspect, 1)]
    rows = _within(rows, max_bytes)
    if not rows:
        return []
    ids = [row.archive_id for row in rows]
    _CLAIM.write(conn, [{"id": archive_id, "claimed_by": worker} for archive_id in ids])
    jobs = {row.archive_id: job_of(row) for row in rows}
    planned = []
    for job, recipient in recipients_of(conn, jobs):
        recipient.due = (
            recipient.state is State.QUEUED
            and recipient.next_attempt_at is not None
            and recipient.next_attempt_at <= now
        )
        if recipient.due:
            recipient.attempts += 1
            wait = wait_after(recipient.attempts, waits)
            recipient.next_attempt_at = now + wait // MICROSECOND
            if warn is not None and job.sender and not recipient.told:
                at = job.accepted_at + warn // MICROSECOND
                if now < at < recipient.next_attempt_at:
                    recipient.next_attempt_at = at
            planned.append(
                {
                    "id": job.archive_id,
                    "pos": recipient.position,
                    "attempts": recipient.attempts,
                    "next_attempt_at": recipient.next_attempt_at,
                }
            )
    _PLAN_ATTEMPTS.write(conn, planned)
    return list(jobs.values())


def _within(rows: Sequence[sa.Row[Any]], max_bytes: int) -> list[sa.Row[Any]]:
    kept: list[sa.Row[Any]] = []
    total = 0
    for row in rows:
        total += row.size
        if kept and total > max_bytes:
            break
        kept.append(row)
    return kept
