"""Messages of which no recipient is open any more."""

from __future__ import annotations

import sqlalchemy as sa

from archive.models import log_entries, log_working_wraps
from gateway.queue.models import messages


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
