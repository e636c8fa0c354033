"""Bytes that came from a peer and were not read yet: the border between a protocol and a reader."""

from __future__ import annotations

import asyncio

# A peer that talks on while nobody reads is stopped here (TCP then slows it down).
HIGH_WATER = 512 * 1024


class Inbox:
    """Filled by a protocol's callbacks, emptied by one reading task.

    Readers look for what they want in `buffer`, delete what they took, and await `more()` when
    it is not there yet: no copy, no call per line.
    """

    __slots__ = ("_loop", "_paused", "_transport", "_waiter", "buffer", "ended")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.buffer = bytearray()
        self.ended: Exception | None = None
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.ReadTransport | None = None
        self._paused = False

    def attach(self, transport: asyncio.ReadTransport) -> None:
        """Say whose reading is paused when nobody empties the buffer."""
        self._transport = transport
        self._paused = False

    def feed(self, data: bytes) -> None:
        """Bytes came."""
        self.buffer += data
        if self._waiter is not None:
            self._wake()
        elif len(self.buffer) > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def end(self, error: Exception | None) -> None:
        """No more will come: `more()` raises `error`, or EOFError for an ordinary end."""
        if self.ended is None:
            self.ended = error or EOFError("the peer closed the connection")
        self._wake()

    def clear(self) -> None:
        """Forget what was not read: it came before TLS and may be an attacker's (RFC 3207 §6)."""
        self.buffer.clear()

    async def more(self) -> None:
        """Return when the buffer has grown.

        Raises EOFError when the peer has closed, or what `end` was given (OSError, TimeoutError).
        """
        if self.ended is not None:
            raise self.ended
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        # What came before the end is still handed out; the next call raises.
        if self.ended is not None and not self.buffer:
            raise self.ended

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
