"""The socket that several intake processes share: bound once, by the supervisor."""

from __future__ import annotations

import socket

from gateway.smtp.listener import cannot_listen
from gateway.smtp.settings import ListenSettings


def bind(settings: ListenSettings) -> socket.socket:
    """A bound TCP socket for `Listener.start`. Raises SceauError when the port cannot be had."""
    return bind_to(settings.address, settings.port)


def bind_to(address: str, port: int) -> socket.socket:
    """A TCP socket that listens there. Raises SceauError when the port cannot be had."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        # Listening from here on: a client that comes while the processes start waits its turn.
        listening.listen(256)
    except (OSError, OverflowError) as error:
        listening.close()
        raise cannot_listen(address, port, error) from error
    return listening
