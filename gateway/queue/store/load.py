"""Jobs as their rows say."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from archive.pieces import pieces
from gateway.queue.jobs import Job, Recipient
from gateway.queue.models import recipients
from gateway.queue.states import State


def job_of(row: sa.Row[Any]) -> Job:
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


def recipients_of(conn: sa.Connection, jobs: dict[str, Job]) -> Iterable[tuple[Job, Recipient]]:
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
