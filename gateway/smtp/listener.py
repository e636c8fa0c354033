"""A listening port: takes connections, counts them, ends them gracefully."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.errors import SceauError
from gateway.smtp import replies
from gateway.smtp.crowd import Crowd
from gateway.smtp.intake import Intake
from gateway.smtp.proofs import Proofs
from gateway.smtp.room import Room
from gateway.smtp.session import Session
from gateway.smtp.settings import ListenSettings

__all__ = ["Intake", "ListenSettings", "Listener"]

_BACKLOG = 256


class Listener:
    """Takes connections and runs one `Session` on each. One event loop only.

    clock: the time of receipt, aware UTC (I8: one clock, set in the wiring).
    """

    def __init__(
        self,
        settings: ListenSettings,
        intake: Intake,
        *,
        clock: Callable[[], datetime] | None = None,
        proofs: Proofs | None = None,
    ) -> None:
        self.settings = settings
        self.intake = intake
        self.proofs = proofs
        self.stopping = False
        self.room = Room(settings.max_size * 2)
        self._clock = clock or (lambda: datetime.now(UTC))
        self._port = settings.port
        self._servers: list[asyncio.Server] = []
        self._sessions: Crowd[Session] = Crowd(
            settings.max_connections, settings.max_connections_per_address
        )
        self._accepts: set[asyncio.Task[str]] = set()
        self._changed = asyncio.Event()

    @property
    def port(self) -> int:
        """The port listened on (of the first socket)."""
        return self._port

    async def start(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Listen; on `sockets` (bound, so that processes can share one) or on the settings' port.

        Raises SceauError in plain words when the port cannot be had.
        """
        loop = asyncio.get_running_loop()

        def session() -> Session:
            return Session(self, loop)

        if sockets is not None:
            for listening in sockets:
                server = await loop.create_server(session, sock=listening, backlog=_BACKLOG)
                self._servers.append(server)
            self._port = self._servers[0].sockets[0].getsockname()[1]
            return
        address, port = self.settings.address, self.settings.port
        try:
            server = await loop.create_server(
                session,
                address,
                port,
                reuse_port=self.settings.reuse_port or None,
                backlog=_BACKLOG,
            )
        except (OSError, OverflowError) as error:
            raise cannot_listen(address, port, error) from error
        self._servers.append(server)
        self._port = server.sockets[0].getsockname()[1]

    async def retire(self, leave: float, grace: float) -> None:
        """End while others listen on the same socket: no client is turned away.

        Who is connected may go on for `leave` seconds; then as `stop` with `grace`.
        """
        await self._take_no_more()
        await self._empty(leave)
        await self.stop(grace)

    async def _take_no_more(self) -> None:
        """Stop accepting, with every accepted connection in the hands of a session.

        A server that is closed at once drops what it has accepted a moment ago: asyncio makes
        the transport one turn of the loop later, and finds the server closed (Python 3.11).
        """
        loop = asyncio.get_running_loop()
        for server in self._servers:
            for listening in server.sockets:
                loop.remove_reader(listening.fileno())
        for _ in range(3):
            await asyncio.sleep(0)

    async def stop(self, grace: float) -> None:
        """End gracefully: no new connections, idle ones get 421, running transactions end.

        After `grace` seconds what is left is cut off. An `accept` is never cancelled; one that
        outlasts the grace runs on, and its client comes again.
        """
        self.stopping = True
        for server in self._servers:
            server.close()
        for session in self._sessions:
            session.stop()
        if not await self._empty(grace):
            for session in self._sessions:
                session.cut()
            await self._empty(1.0)  # tasks of cut sessions that do not accept end at once

    async def _empty(self, seconds: float) -> bool:
        """Wait until no session and no accept is left; False when the time is over first."""
        try:
            async with asyncio.timeout(seconds):
                while len(self._sessions) or self._accepts:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    # --- the House of the sessions -----------------------------------------------------------

    def clock(self) -> datetime:
        """The time, aware UTC."""
        return self._clock()

    def arrived(self, session: Any) -> str:
        """A connection was made; the reply that turns it away, or ""."""
        if self.stopping:
            return replies.SHUTTING_DOWN
        return self._sessions.enter(session, asyncio.get_running_loop().time())

    def left(self, session: Any) -> None:
        """The task of a session has ended."""
        self._sessions.leave(session)
        self._changed.set()

    def keep(self, task: asyncio.Task[str]) -> None:
        """Hold on to an `accept` until it has ended, whatever becomes of its session."""
        self._accepts.add(task)
        task.add_done_callback(self._accepted)

    def _accepted(self, task: asyncio.Task[str]) -> None:
        self._accepts.discard(task)
        self._changed.set()


def cannot_listen(address: str, port: int, error: Exception) -> SceauError:
    number = getattr(error, "errno", None)
    facts = {"address": address, "port": str(port), "reason": str(error)}
    if number == errno.EADDRINUSE:
        return SceauError(
            "port {port} on {address} is already in use by another program",
            hint="stop that program, or choose another port for this listener",
            facts=facts,
        )
    if number in (errno.EACCES, errno.EPERM):
        return SceauError(
            "no right to listen on port {port} of {address}",
            hint="ports below 1024 need root or CAP_NET_BIND_SERVICE; or choose a higher one",
            facts=facts,
        )
    if number == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return SceauError(
            "{address} is not an address of this machine",
            hint="use one of its own addresses, 127.0.0.1, or 0.0.0.0 for all of them",
            facts=facts,
        )
    return SceauError("cannot listen on port {port} of {address}: {reason}", facts=facts)
