"""Taking one message out of turn, for a person's command."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.errors import SceauError
from gateway.queue.jobs import Job
from gateway.queue.models import messages
from gateway.queue.store.load import job_of, recipients_of


class Busy(SceauError):
    """A worker holds the message at this moment."""


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
    job = job_of(row)
    for _ in recipients_of(conn, {archive_id: job}):
        pass
    return job
