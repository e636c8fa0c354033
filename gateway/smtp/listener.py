"""A listening port."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from datetime import datetime

from gateway.smtp.session import Intake
from gateway.smtp.settings import ListenSettings

__all__ = ["ListenSettings", "Listener"]


class Listener:
    """Takes connections and runs one `Session` on each.

    clock: the time of receipt, aware UTC (I8: one clock, set in the wiring).
    """

    def __init__(
        self,
        settings: ListenSettings,
        intake: Intake,
        *,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        raise NotImplementedError

    @property
    def port(self) -> int:
        """The port listened on (of the first socket)."""
        raise NotImplementedError

    async def start(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Listen; on `sockets` (bound, so that processes can share one) or on the settings' port.

        Raises SceauError in plain words when the port cannot be had.
        """
        raise NotImplementedError

    async def stop(self, grace: float) -> None:
        """End gracefully: no new connections, idle ones get 421, running transactions end.

        After `grace` seconds what is left is cut; an `accept` that runs is never cancelled.
        """
        raise NotImplementedError
