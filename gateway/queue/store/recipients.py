"""Recipients written back as they stand in memory, and those whom a rule added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from archive.rows import Rows
from gateway.queue.jobs import Recipient
from gateway.queue.models import recipients
from gateway.queue.store.by_key import OF_RECIPIENT

_INSERT_COPIES = recipients.insert()
_OF_RECIPIENTS = recipients.update().where(OF_RECIPIENT)
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
            recipients.update().where(OF_RECIPIENT).values(released=sa.bindparam("rule")),
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
