"""Whether an error means that a disk is full, whichever part of the product met it."""

from __future__ import annotations

import errno

import sqlalchemy as sa

from gateway.database.sqlite_errors import no_room

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_POSTGRES_FULL = "53100"  # disk_full


def reason_of(error: BaseException) -> str:
    """A line for the log, without the statement and its values."""
    found = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return " ".join(str(found).split())[:200] or type(error).__name__


def is_full(error: BaseException | None) -> bool:
    """Whether `error`, or what it came of, says: no room left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        of_server = error.orig if isinstance(error, sa.exc.DBAPIError) else None
        if no_room(error) or getattr(of_server, "sqlstate", None) == _POSTGRES_FULL:
            return True
        error = error.__cause__
    return False
