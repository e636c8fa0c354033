"""Which errors say that the database is in trouble, and nothing of what was asked of it."""

from __future__ import annotations

import sqlalchemy as sa

from archive.errors import AppenderBroken
from gateway.database.base import CommitDoubtful, DatabaseUnsafe
from gateway.database.postgres_errors import is_outage, was_slow

# Away, not able, not to be trusted with a commit, or nobody knows what became of one.
TROUBLE = (
    AppenderBroken,
    CommitDoubtful,
    DatabaseUnsafe,
    sa.exc.OperationalError,
    sa.exc.TimeoutError,  # no connection of the pool came free
)


def is_everybodys(error: BaseException) -> bool:
    """Whether the next transaction would come to the same, whatever is in it."""
    return isinstance(error, AppenderBroken | DatabaseUnsafe) or is_outage(error) or was_slow(error)
