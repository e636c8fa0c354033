"""PostgreSQL's errors as the rest of the product takes them.

Two things are put right. The driver's text has a DETAIL line with values of the row: addresses
and octets of mail, which stand in no log and no message. And some outages come as errors that
read like a mistake in a statement (a server that became a standby: "InternalError").
"""

from __future__ import annotations

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import ExceptionContext

from gateway.database.postgres_bounded import NoAnswer

# SQLSTATE classes and codes that say something of the database and nothing of what was asked:
# connection, wrong transaction state (read only, idle for too long), rollback (deadlock), out of
# resources, locks, intervention of an operator, system, damage; and missing rights.
_OUTAGES = ("08", "25", "40", "53", "55", "57", "58", "XX", "42501")

# Of these, the ones that may be over in some seconds.
_PASSING = ("08", "25", "53", "57")

# Rolled back for the sake of another transaction (serialization failure, deadlock): the same again
# will do, at once. A lock that was waited for in vain is another thing: who holds it does not let
# go, and the same again would wait as long again.
_CONFLICTS = ("40",)
_LOCKED = "55P03"


def translated(context: ExceptionContext) -> BaseException | None:
    """For SQLAlchemy's event `handle_error`: the error to raise, None for the one there is."""
    error = context.original_exception
    found = context.sqlalchemy_exception
    if not isinstance(error, psycopg.Error) or not isinstance(found, sa.exc.DBAPIError):
        return None
    if error.diag.message_primary is not None:
        error.args = (error.diag.message_primary,)  # drops DETAIL, also where the cause is shown
    outage = context.is_disconnect or (error.sqlstate or "").startswith(_OUTAGES)
    kind = sa.exc.OperationalError if outage else type(found)
    return kind(
        found.statement,
        None,
        error,
        hide_parameters=True,
        connection_invalidated=context.is_disconnect,
    )


def is_conflict(error: BaseException) -> bool:
    """Whether a transaction was rolled back for another one's sake (deadlock, serialization)."""
    original = getattr(error, "orig", None)
    return isinstance(original, psycopg.Error) and (original.sqlstate or "").startswith(_CONFLICTS)


def was_slow(error: BaseException) -> bool:
    """Whether the time that one may wait is used up: for a lock that somebody does not let go of,
    for a connection, for an answer."""
    original = getattr(error, "orig", None)
    if isinstance(original, NoAnswer | psycopg.errors.ConnectionTimeout):
        return True
    return isinstance(original, psycopg.Error) and original.sqlstate == _LOCKED


def is_outage(error: BaseException) -> bool:
    """Whether the database was not there, or not able: the same may do in some seconds."""
    if not isinstance(error, sa.exc.OperationalError) or not isinstance(error.orig, psycopg.Error):
        return False
    state = error.orig.sqlstate  # None: it never answered
    return error.connection_invalidated or state is None or state.startswith(_PASSING)
