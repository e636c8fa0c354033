"""How long a transaction that was rolled back by the database's own trouble is tried again.

Only what is known to have left nothing: a commit whose outcome is unknown is never tried again
(`archive.appender`).
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from gateway.database.base import DatabaseUnsafe
from gateway.database.postgres_errors import is_conflict, is_outage, was_slow
from gateway.database.sqlite_errors import no_room

log = structlog.get_logger()

Again = Callable[[Exception, int], float | None]

# Seconds before each further try. A client waits for its 250: who is not served within some
# seconds is told 451 and comes again. A worker has handed mail to the next hop and only this
# commit keeps it from being sent twice: it tries for as long as its licence may last.
BRIEF = (0.3, 1.0)
LONG = (0.1, 0.3, 0.6, *[1.0] * 60)
_CONFLICTS = 5
_ROOM = 1.0  # seconds until it is asked again whether there is room
_SAY_AGAIN = 60  # tries


def patience(pauses: tuple[float, ...], *, slow: int = 0, for_room: bool = False) -> Again:
    """For `Appender(again=…)`: deadlocks some times at once, outages as often as `pauses` say.

    slow: how often a transaction is tried again that waited in vain for a lock, or for any answer.
    That has taken its time already, and whoever has a client waiting has no more of it.
    for_room: wait as long as SQLite's disk is full. For a worker: what it holds has been handed to
    the next hop, or is nobody's else; to give up would send it twice and gain nothing.
    """

    def again(error: Exception, tries: int) -> float | None:
        if is_conflict(error):
            return 0.0 if tries <= _CONFLICTS else None
        if for_room and no_room(error):
            if tries % _SAY_AGAIN == 1:
                log.error("storage_full", tries=tries, reason="database or disk is full")
            return _ROOM
        if was_slow(error):
            return 0.0 if tries <= slow else None
        # A server that takes no writes may be one of a pair that changes places.
        passing = is_outage(error) or (slow > 0 and isinstance(error, DatabaseUnsafe))
        if passing and tries <= len(pauses):
            return pauses[tries - 1]
        return None

    return again
