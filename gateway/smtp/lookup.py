"""The addresses of a next hop's name. One look-up of a name at a time, each in a thread of its own.

The resolver of the C library blocks for half a minute and more when no name server answers. In the
event loop's own pool, which has a few threads for everything, some such look-ups would keep all
other mail of the process waiting, and its end too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from contextlib import suppress

Address = tuple[str, socket.AddressFamily]


class Resolver:
    """Of one event loop. What was found is not kept: the system's resolver does that if wanted."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Future[list[Address]]] = {}

    async def addresses(self, host: str) -> list[Address]:
        """In the system's order of preference; an address stands for itself.

        Raises socket.gaierror, UnicodeError (not a host name). Whoever is cancelled leaves the
        look-up to the others who wait for it.
        """
        with suppress(ValueError):
            version = ipaddress.ip_address(host).version
            return [(host, socket.AF_INET if version == 4 else socket.AF_INET6)]
        running = self._running.get(host)
        if running is None:
            running = asyncio.get_running_loop().create_future()
            self._running[host] = running
            threading.Thread(
                target=self._look_up, args=(host, running), name="resolve", daemon=True
            ).start()
        return await asyncio.shield(running)

    def _look_up(self, host: str, future: asyncio.Future[list[Address]]) -> None:
        found: list[Address] = []
        fault: Exception | None = None
        try:
            for family, _, _, _, where in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
                found.append((str(where[0]), family))
        except (OSError, UnicodeError) as error:
            fault = error
        with suppress(RuntimeError):  # the event loop has ended in between
            future.get_loop().call_soon_threadsafe(self._end, host, future, found, fault)

    def _end(
        self,
        host: str,
        future: asyncio.Future[list[Address]],
        found: list[Address],
        fault: Exception | None,
    ) -> None:
        del self._running[host]
        if fault is None:
            future.set_result(found)
            return
        future.set_exception(fault)
        future.exception()  # nobody may be waiting any more
