"""Room in memory for the mails that come in at the same time.

Every session may hold a little. For more it asks for room, once, for as much as its mail may come
to, and waits for its turn where there is none: twenty mails of 50 MB at once are then slower, and
not a gigabyte. Who has room can always come to its end, so nobody waits for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

# Seconds for which a client is kept waiting: RFC 5321 §4.5.3.2.5 has it wait three minutes for its
# own writing to go on, and what it hears before that is better than silence.
_PATIENCE = 150.0
# Who has room is asked for so many octets a second while others wait; for so long nobody asks.
_PACE, _GRACE = 20_000, 30.0
_LOOK = 5.0


class NoRoom(Exception):
    """There was none in time, or nobody waits for it any more."""


@dataclass(slots=True, eq=False)
class Share:
    """What one session holds.

    drop: ends a session that has room and does not get on. gone: its client is not there any more.
    size: octets that have come so far.
    """

    drop: Callable[[], None]
    gone: Callable[[], bool]
    size: Callable[[], int]
    room: int = 0
    since: float = 0.0


class Room:
    """Of one event loop. whole: octets for all shares together."""

    def __init__(self, whole: int) -> None:
        self._free = whole
        self._whole = whole
        self._shares: set[Share] = set()
        self._waiting: deque[tuple[Share, int, asyncio.Future[None]]] = deque()

    async def enter(self, share: Share, room: int) -> None:
        """Return when the session may hold `room` octets; what it had before is given back.

        Raises NoRoom.
        """
        self.leave(share)
        loop = asyncio.get_running_loop()
        room = min(room, self._whole)
        turn: asyncio.Future[None] = loop.create_future()
        entry = (share, room, turn)
        self._waiting.append(entry)
        self._let_in()
        deadline = loop.time() + _PATIENCE
        try:
            while not turn.done():
                if loop.time() >= deadline or share.gone():
                    raise NoRoom
                self._hurry(loop.time())
                await asyncio.wait((turn,), timeout=_LOOK)
        finally:
            if not turn.done():
                self._waiting.remove(entry)
                self._let_in()

    def leave(self, share: Share) -> None:
        """The session has let go of its mail."""
        if share in self._shares:
            self._shares.remove(share)
            self._free += share.room
            share.room = 0
            self._let_in()

    def _let_in(self) -> None:
        """In the order they came: a large mail is not overtaken for ever by smaller ones."""
        while self._waiting and self._waiting[0][1] <= self._free:
            share, room, turn = self._waiting.popleft()
            self._free -= room
            share.room, share.since = room, asyncio.get_running_loop().time()
            self._shares.add(share)
            turn.set_result(None)

    def _hurry(self, now: float) -> None:
        """Who drips keeps large mail waiting (slow-loris): its time is limited."""
        for share in tuple(self._shares):
            held = now - share.since
            if held > _GRACE and share.size() < (held - _GRACE) * _PACE:
                share.drop()
