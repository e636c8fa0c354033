"""How a worker with nothing to do waits: until it hears of new mail, or it is time to look.

Looking is the truth, hearing only saves time: a notification may be lost with its connection.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.database import Database, Listening

# Seconds between two looks at an empty queue: soon after some work, seldom in a quiet night, and
# more seldom still where new mail announces itself (attempts that come due do not).
FIRST = 0.05
_LONGEST = 0.25
_LONGEST_LISTENING = 1.0


class Wake:
    """Of one event loop; make it there."""

    def __init__(self, database: Database | None = None) -> None:
        """database: to listen on, where it can tell; otherwise there is looking alone."""
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._listening: Listening | None = None
        if database is not None:
            self._listening = database.listen(self._heard)

    def later(self, seconds: float) -> float:
        """How long to wait after having waited `seconds` for nothing."""
        heard = self._listening is not None and self._listening.healthy
        return min(seconds * 1.1, _LONGEST_LISTENING if heard else _LONGEST)

    async def pause(self, stop: asyncio.Event, seconds: float) -> None:
        """Until there is news, `stop`, or the time is over."""
        waiting = [asyncio.create_task(stop.wait()), asyncio.create_task(self._news.wait())]
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        self._news.clear()

    def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.close()

    def _heard(self) -> None:
        with suppress(RuntimeError):  # the loop has ended in between
            self._loop.call_soon_threadsafe(self._news.set)
