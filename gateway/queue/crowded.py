"""How much mail may wait: beyond it clients are told to come later, and keep what they have.

When the next hop is away for hours, it is better that mail waits where it comes from, which is made
for that, than that our disk fills up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import sqlalchemy as sa

from gateway.queue.models import messages

# Seconds between two looks, or so many times as long as one took.
_EVERY, _SHARE = 1.0, 50


class Backlog:
    """Of one process. It looks now and then, and adds what it took itself since then; what other
    processes took within that second comes on top of the limit.
    """

    def __init__(
        self,
        read: Callable[[], AbstractContextManager[sa.Connection]],
        most: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """most: messages that may wait."""
        self._read = read
        self._most = most
        self._clock = clock
        self._waiting = 0
        self._taken = 0
        self._next = 0.0
        of = messages.c
        # Each is a range of an index; nothing is counted beyond the limit.
        self._count = sa.select(
            *(
                sa.select(sa.func.count())
                .select_from(sa.select(of.archive_id).where(which).limit(most + 1).subquery())
                .scalar_subquery()
                for which in (
                    sa.and_(of.claimed_by.is_(None), of.due_at.is_not(None)),
                    of.claimed_by.is_not(None),
                )
            )
        )

    @property
    def full(self) -> bool:
        """No more mail may be taken now."""
        return self._waiting + self._taken >= self._most

    def took(self) -> None:
        """One more was accepted."""
        self._taken += 1

    def look(self) -> None:
        """Count anew, if it is time. Reads the database."""
        begun = self._clock()
        if begun < self._next:
            return
        taken = self._taken
        with self._read() as conn:
            self._waiting = sum(conn.execute(self._count).one())
        self._taken -= taken
        now = self._clock()
        self._next = now + max(_EVERY, _SHARE * (now - begun))
