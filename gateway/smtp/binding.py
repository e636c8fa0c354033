"""The socket that several intake processes share: bound once, by the supervisor."""

from __future__ import annotations

import socket

from gateway.smtp.listener import cannot_listen
from gateway.smtp.settings import ListenSettings


def bind(settings: ListenSettings) -> socket.socket:
    """A bound TCP socket for `Listener.start`. Raises SceauError when the port cannot be had."""
    family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.address, settings.port))
        # Listening from here on: a client that comes while the processes start waits its turn.
        listening.listen(256)
    except (OSError, OverflowError) as error:
        listening.close()
        raise cannot_listen(settings.address, settings.port, error) from error
    return listening
