"""The queue's rows: put in, claim, give back. Every function works in the caller's transaction.

The claim stores the number of the attempt and the time of the next one *before* anything is
dialled: a crash in the middle cannot hammer the peer (I1, and design "way out" step 7).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from enum import Enum
from typing import Any

import sqlalchemy as sa

from archive.models import log_entries, log_working_wraps
from archive.pieces import pieces
from archive.rows import Rows
from archive.store import LARGE, LARGE_FROM
from gateway.errors import SceauError
from gateway.mail import NOTHING_ASKED
from gateway.queue.jobs import Job, NewMessage, Recipient, SealedGroup, problem_to_json
from gateway.queue.models import groups, messages, recipients
from gateway.queue.schedule import wait_after
from gateway.queue.states import OPEN, State
from pki.errors import Problem

MICROSECOND = timedelta(microseconds=1)
NO_LIMIT = 1 << 62  # octets

NOTICE = "notice"  # the kind of a message that the gateway wrote itself

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


_INSERT_MESSAGE = Rows(messages.insert(), *(column.name for column in messages.c))
_OF_THE_ENVELOPE = [c.name for c in recipients.c if c.name not in ("copied_by", "released")]
_INSERT_RECIPIENTS = Rows(recipients.insert(), *_OF_THE_ENVELOPE)
_INSERT_COPIES = recipients.insert()
_INSERT_GROUPS = Rows(groups.insert(), *(column.name for column in groups.c))
_OF_MESSAGE = messages.c.archive_id == sa.bindparam("id")
_OF_RECIPIENT = sa.and_(
    recipients.c.archive_id == sa.bindparam("id"), recipients.c.position == sa.bindparam("pos")
)
_CLAIM = Rows(messages.update().where(_OF_MESSAGE), "id", "claimed_by")
_GIVE_BACK = Rows(
    messages.update().where(_OF_MESSAGE), "id", "claimed_by", "crashes", "due_at", "settled_at"
)
_OF_RECIPIENTS = recipients.update().where(_OF_RECIPIENT)
_PLAN_ATTEMPTS = Rows(_OF_RECIPIENTS, "id", "pos", "attempts", "next_attempt_at")
_CHANGING = (
    "id",
    "pos",
    "state",
    "group_id",
    "attempts",
    "next_attempt_at",
    "expires_at",
    "reason",
    "told",
    "held_at",
)
_SAVE_RECIPIENTS = Rows(_OF_RECIPIENTS, *_CHANGING)
_SAVE_DECIDED = Rows(_OF_RECIPIENTS, *_CHANGING, "decision")
_NO_OCTETS = groups.update().values(emitted=sa.null())
_DROP_OCTETS = Rows(_NO_OCTETS.where(groups.c.id == sa.bindparam("id_")), "id_")
# All of a message, also those sealed for a recipient who was released and sealed anew.
_DROP_ALL_OCTETS = Rows(
    _NO_OCTETS.where(groups.c.archive_id == sa.bindparam("id_"), groups.c.emitted.is_not(None)),
    "id_",
)


class Blame(Enum):
    """Which messages count a death of the process that held them, and are held after three."""

    NOBODY = "nobody"  # the death has another reason: a full disk, our own signal, the network
    IN_HAND = "in hand"  # those that were being sealed, if that is known: all died at once
    ANYBODY = "anybody"  # the same; if it is not known all, for it was one of them


class Busy(SceauError):
    """A worker holds the message at this moment."""


def enqueue(conn: sa.Connection, new: Sequence[NewMessage]) -> None:
    """Insert messages and their recipients, due at once."""
    if not new:
        return
    _INSERT_MESSAGE.write(
        conn,
        [
            {
                "archive_id": message.archive_id,
                "org": message.org,
                "kind": message.kind,
                "sender": message.sender,
                "author": message.author,
                "parameters": json.dumps(message.parameters, sort_keys=True),
                "sha256": message.sha256,
                "size": message.size,
                "accepted_at": message.accepted_at,
                "due_at": message.accepted_at,
                "claimed_by": None,
                "crashes": 0,
                "settled_at": None,
            }
            for message in new
        ],
    )
    _INSERT_RECIPIENTS.write(
        conn,
        [
            {
                "archive_id": message.archive_id,
                "position": position,
                "address": address,
                "state": State.QUEUED,
                "group_id": None,
                "attempts": 0,
                "next_attempt_at": message.accepted_at,
                "expires_at": message.expires_at,
                "reason": "",
                "decision": "",
                "notify": asked.notify,
                "orcpt": asked.orcpt,
                "told": "",
                "held_at": None,
            }
            for message in new
            for position, address in enumerate(message.recipients)
            for asked in (message.options.get(address, NOTHING_ASKED),)
        ],
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
    jobs = {row.archive_id: _job(row) for row in rows}
    planned = []
    for job, recipient in _recipients_of(conn, jobs):
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


def take(conn: sa.Connection, archive_id: str) -> Job:
    """One message for a person's command, within the caller's transaction.

    Raises Busy while a worker holds it; KeyError if it is not in the queue.
    """
    row = conn.execute(
        sa.select(messages).where(messages.c.archive_id == archive_id).with_for_update()
    ).first()
    if row is None:
        raise KeyError(archive_id)
    if row.claimed_by is not None:
        raise Busy(
            "{id} is being worked on at this moment",
            hint="try again shortly",
            facts={"id": archive_id},
        )
    job = _job(row)
    for _ in _recipients_of(conn, {archive_id: job}):
        pass
    return job


def add_groups(conn: sa.Connection, sealed: Sequence[SealedGroup]) -> None:
    """Store what will leave. Commit this before the first connection (design step 6)."""
    if sealed:
        if any(g.size > LARGE_FROM for g in sealed):
            conn.info[LARGE] = True
        _INSERT_GROUPS.write(
            conn,
            [
                {
                    "id": g.id,
                    "archive_id": g.archive_id,
                    "treatment": g.treatment,
                    "route": g.route,
                    "sha256": g.sha256,
                    "size": g.size,
                    "emitted": g.emitted,
                    "tls": g.tls,
                }
                for g in sealed
            ],
        )


def beyond(conn: sa.Connection, ids: Iterable[str], octets: int) -> set[str]:
    """Those of these groups that are beyond so many octets together; never the first."""
    statement = sa.select(groups.c.id, groups.c.size)
    rows = [
        row
        for piece in pieces(list(ids))
        for row in conn.execute(statement.where(groups.c.id.in_(piece)))
    ]
    total, left = 0, set()
    for row in sorted(rows, key=lambda row: str(row.id)):
        if total > octets:
            left.add(row.id)
        total += row.size
    return left


def load_groups(conn: sa.Connection, ids: Iterable[str]) -> dict[str, SealedGroup]:
    """Sealed groups by id. Left out: those whose octets are gone, or are not those that the
    `sealed` entry in the log names by their hash: nothing else may leave (I4).
    """
    rows = [
        row
        for piece in pieces(list(ids))
        for row in conn.execute(sa.select(groups).where(groups.c.id.in_(piece)))
    ]
    return {
        row.id: SealedGroup(
            row.id,
            row.archive_id,
            row.treatment,
            row.route,
            row.sha256,
            row.size,
            row.emitted,
            row.tls,
        )
        for row in rows
        if row.emitted is not None and hashlib.sha256(row.emitted).hexdigest() == row.sha256
    }


def add_copies(conn: sa.Connection, copies: Sequence[tuple[str, Recipient]]) -> None:
    """Insert recipients whom a rule added (archive id, recipient), before they are saved."""
    if copies:
        conn.execute(
            _INSERT_COPIES,
            [
                {
                    "archive_id": archive_id,
                    "position": r.position,
                    "address": r.address,
                    "state": r.state,
                    "group_id": None,
                    "attempts": r.attempts,
                    "next_attempt_at": r.next_attempt_at,
                    "expires_at": r.expires_at,
                    "reason": r.reason,
                    "decision": r.decision,
                    "copied_by": r.copied_by,
                }
                for archive_id, r in copies
            ],
        )


def note_released(conn: sa.Connection, archive_id: str, members: Sequence[Recipient]) -> None:
    """Remember from which rule a person has released these recipients."""
    marked = [r for r in members if r.released]
    if marked:
        conn.execute(
            recipients.update().where(_OF_RECIPIENT).values(released=sa.bindparam("rule")),
            [{"id": archive_id, "pos": r.position, "rule": r.released} for r in marked],
        )


def save_recipients(conn: sa.Connection, changed: Sequence[tuple[str, Recipient]]) -> None:
    """Write back recipients (archive id, recipient) as they stand in memory.

    A decision that is stored already is not written again: it is by far the longest value, and
    PostgreSQL would compress it anew each time.
    """
    decided: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for archive_id, r in changed:
        row = {
            "id": archive_id,
            "pos": r.position,
            "state": r.state,
            "group_id": r.group_id,
            "attempts": r.attempts,
            "next_attempt_at": r.next_attempt_at,
            "expires_at": r.expires_at,
            "reason": r.reason,
            "told": r.told,
            "held_at": r.held_at,
        }
        if r.decision == r.stored_decision:
            others.append(row)
        else:
            decided.append({**row, "decision": r.decision})
    _SAVE_DECIDED.write(conn, decided)
    _SAVE_RECIPIENTS.write(conn, others)


def give_back(conn: sa.Connection, jobs: Sequence[Job], *, now: int) -> None:
    """End the claims: say when each message is due again, drop the octets of finished groups."""
    if not jobs:
        return
    _GIVE_BACK.write(
        conn,
        [
            {
                "id": job.archive_id,
                "claimed_by": None,
                "crashes": job.crashes if job.harmed else 0,
                "due_at": job.next_due,
                "settled_at": now if job.settled else None,
            }
            for job in jobs
        ],
    )
    _DROP_ALL_OCTETS.write(conn, [{"id_": job.archive_id} for job in jobs if job.settled])
    finished = []
    for job in jobs:
        if not job.settled:
            open_groups = {r.group_id for r in job.recipients if r.state in OPEN}
            all_groups = {r.group_id for r in job.recipients if r.group_id is not None}
            finished += [{"id_": group} for group in all_groups - open_groups]
    _DROP_OCTETS.write(conn, finished)


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
        .where(_OF_RECIPIENT, recipients.c.state == State.QUEUED)
        .values(next_attempt_at=now),
        [{"id": archive_id, "pos": position} for archive_id, position in late],
    )
    conn.execute(
        messages.update().where(_OF_MESSAGE, messages.c.claimed_by.is_(None)).values(due_at=now),
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


def put_back(conn: sa.Connection, jobs: Sequence[Job], *, now: int) -> None:
    """End claims of messages on which nothing was done: that attempt was none."""
    for job in jobs:
        for recipient in job.due:
            recipient.attempts -= 1
            recipient.next_attempt_at = now
    save_recipients(conn, [(job.archive_id, r) for job in jobs for r in job.due])
    give_back(conn, jobs, now=now)


def settled_with_wraps(conn: sa.Connection, *, indexed: int, limit: int) -> list[str]:
    """Messages that need no opening any more: settled, and accepted before entry `indexed`."""
    rows = conn.execute(
        sa.select(log_working_wraps.c.archive_id)
        .join(messages, messages.c.archive_id == log_working_wraps.c.archive_id)
        .join(log_entries, log_entries.c.archive_id == log_working_wraps.c.archive_id)
        .where(messages.c.settled_at.is_not(None), log_entries.c.entry_index < indexed)
        .distinct()
        .limit(limit)
    )
    return [row.archive_id for row in rows]


def _within(rows: Sequence[sa.Row[Any]], max_bytes: int) -> list[sa.Row[Any]]:
    kept: list[sa.Row[Any]] = []
    total = 0
    for row in rows:
        total += row.size
        if kept and total > max_bytes:
            break
        kept.append(row)
    return kept


def _job(row: sa.Row[Any]) -> Job:
    return Job(
        archive_id=row.archive_id,
        org=row.org,
        kind=row.kind,
        sender=row.sender,
        author=row.author,
        parameters=json.loads(row.parameters),
        sha256=row.sha256,
        size=row.size,
        accepted_at=row.accepted_at,
        suspect=row.crashes > 0,
        crashes=row.crashes,
        recipients=[],
    )


def _recipients_of(conn: sa.Connection, jobs: dict[str, Job]) -> Iterable[tuple[Job, Recipient]]:
    statement = sa.select(recipients).order_by(recipients.c.archive_id, recipients.c.position)
    rows = [
        row
        for piece in pieces(list(jobs))
        for row in conn.execute(statement.where(recipients.c.archive_id.in_(piece)))
    ]
    for row in rows:
        job = jobs[row.archive_id]
        recipient = Recipient(
            position=row.position,
            address=row.address,
            state=State(row.state),
            group_id=row.group_id,
            attempts=row.attempts,
            next_attempt_at=row.next_attempt_at,
            expires_at=row.expires_at,
            reason=row.reason,
            decision=row.decision,
            stored_decision=row.decision,
            due=False,
            notify=row.notify,
            orcpt=row.orcpt,
            told=row.told,
            held_at=row.held_at,
            copied_by=row.copied_by,
            released=row.released,
        )
        job.recipients.append(recipient)
        yield job, recipient
