"""Room in memory for the mails that come in at the same time.

Every session may hold a little. Beyond that they share what there is, so that twenty mails of 50 MB
at once are slower and not a gigabyte. One of them, the leader, may always grow to the size limit:
so at least one mail comes to its end, whatever the others wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

_STEP = 1 << 20
# Seconds for which a client is kept waiting: RFC 5321 §4.5.3.2.5 has it wait three minutes for its
# own writing to go on, and what it hears before that is better than silence.
_PATIENCE = 150.0
# The leader is asked for so many octets a second while others wait; for so long nobody asks.
_PACE, _GRACE = 20_000, 30.0
_LOOK = 5.0


class NoRoom(Exception):
    """There was none in time, or nobody waits for it any more."""


@dataclass(slots=True, eq=False)
class Share:
    """What one session holds.

    drop: ends a session that leads and does not get on. gone: its client is not there any more.
    """

    drop: Callable[[], None]
    gone: Callable[[], bool] = lambda: False
    held: int = 0
    led_since: float = 0.0
    held_then: int = 0
    waiting: asyncio.Future[None] | None = field(default=None)


class Room:
    """Of one event loop. whole: octets for all shares; most: what one may come to."""

    def __init__(self, whole: int, most: int) -> None:
        self._whole = whole
        self._most = most
        self._used = 0
        self._shares: list[Share] = []  # the first is the leader

    async def grow(self, share: Share, size: int) -> None:
        """Return when the session may hold `size` octets. Raises NoRoom."""
        if size <= share.held:
            return
        loop = asyncio.get_running_loop()
        if share not in self._shares:
            self._shares.append(share)
            self._lead(loop.time())
        want = -(-size // _STEP) * _STEP
        deadline = loop.time() + _PATIENCE
        while not self._fits(share, want):
            if loop.time() >= deadline or share.gone():
                raise NoRoom
            self._hurry(loop.time())
            share.waiting = loop.create_future()
            try:
                async with asyncio.timeout(_LOOK):
                    await share.waiting
            except TimeoutError:
                continue
            finally:
                share.waiting = None
        self._used += want - share.held
        share.held = want

    def leave(self, share: Share) -> None:
        """The session has let go of its mail."""
        if share not in self._shares:
            return
        self._shares.remove(share)
        self._used -= share.held
        share.held = 0
        self._lead(asyncio.get_running_loop().time())
        for other in self._shares:
            if other.waiting is not None and not other.waiting.done():
                other.waiting.set_result(None)

    def _fits(self, share: Share, want: int) -> bool:
        leader = self._shares[0]
        if share is leader:
            return True
        # What the leader may still come to is kept free for it.
        kept = max(0, self._most - leader.held)
        return self._used + want - share.held + kept <= self._whole

    def _lead(self, now: float) -> None:
        if self._shares and not self._shares[0].led_since:
            self._shares[0].led_since = now
            self._shares[0].held_then = self._shares[0].held

    def _hurry(self, now: float) -> None:
        """A leader that drips keeps all large mail waiting (slow-loris): its time is limited."""
        leader = self._shares[0]
        led = now - leader.led_since
        if led > _GRACE and leader.held - leader.held_then < (led - _GRACE) * _PACE:
            leader.drop()
