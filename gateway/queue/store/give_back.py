"""Giving messages back: the end of a claim."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from archive.rows import Rows
from gateway.queue.jobs import Job
from gateway.queue.models import groups, messages
from gateway.queue.states import OPEN
from gateway.queue.store.by_key import OF_MESSAGE
from gateway.queue.store.recipients import save_recipients

_GIVE_BACK = Rows(
    messages.update().where(OF_MESSAGE), "id", "claimed_by", "crashes", "due_at", "settled_at"
)
_NO_OCTETS = groups.update().values(emitted=sa.null())
_DROP_OCTETS = Rows(_NO_OCTETS.where(groups.c.id == sa.bindparam("id_")), "id_")
# All of a message, also those sealed for a recipient who was released and sealed anew.
_DROP_ALL_OCTETS = Rows(
    _NO_OCTETS.where(groups.c.archive_id == sa.bindparam("id_"), groups.c.emitted.is_not(None)),
    "id_",
)


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


def put_back(conn: sa.Connection, jobs: Sequence[Job], *, now: int) -> None:
    """End claims of messages on which nothing was done: that attempt was none."""
    for job in jobs:
        for recipient in job.due:
            recipient.attempts -= 1
            recipient.next_attempt_at = now
    save_recipients(conn, [(job.archive_id, r) for job in jobs for r in job.due])
    give_back(conn, jobs, now=now)
