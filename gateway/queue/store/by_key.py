"""Conditions that name one row by its key, for statements that are given many keys."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.queue.models import messages, recipients

OF_MESSAGE = messages.c.archive_id == sa.bindparam("id")
OF_RECIPIENT = sa.and_(
    recipients.c.archive_id == sa.bindparam("id"), recipients.c.position == sa.bindparam("pos")
)
