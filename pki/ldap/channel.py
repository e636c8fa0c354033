"""Octets to and from one server, each act by a deadline.

Time limits count for the whole of an act and not for each read: a server that sends one octet a
second would never use up those.
"""

from __future__ import annotations

import select
import socket
import ssl
from urllib.parse import unquote, urlsplit

from pki.channel import Tls, connect
from pki.reach import seconds_left
from pki.sentences import sentence

_BLOCK = 64 * 1024


class Channel:
    """A connection that is up. Raises OSError (TimeoutError among it)."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes, deadline: float) -> None:
        """All of `data`. deadline: monotonic seconds."""
        self._connection.settimeout(seconds_left(deadline))
        self._connection.sendall(data)

    def receive(self, deadline: float) -> bytes:
        """What is there next, at least one octet."""
        self._connection.settimeout(seconds_left(deadline))
        data = self._connection.recv(_BLOCK)
        if not data:
            raise ConnectionResetError(sentence("the server closed the connection"))
        return data

    def quiet(self) -> bool:
        """Whether it is still up with nothing unread: what comes unasked is a goodbye."""
        if isinstance(self._connection, ssl.SSLSocket) and self._connection.pending():
            return False
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Give the connection back; never waits."""
        self._connection.close()


def open_channel(url: str, *, tls: Tls | None, starttls: bool, deadline: float) -> Channel:
    """A connection to ldap://, ldaps:// or ldapi://, TLS up where `tls` is given.

    deadline: monotonic seconds. Raises OSError (TimeoutError, ssl.SSLError, ConnectionError).
    """
    parts = urlsplit(url)
    if parts.scheme == "ldapi":
        return Channel(_local(unquote(parts.netloc), deadline))
    port = parts.port or (636 if parts.scheme == "ldaps" else 389)
    host = parts.hostname or ""
    return Channel(connect(host, port, tls=tls, starttls=starttls, deadline=deadline))


def _local(path: str, deadline: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds_left(deadline))
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection
