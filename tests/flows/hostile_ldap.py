"""A directory server that does whatever a test wants of it, in BER of its own making."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence

SUCCESS = 0


def tlv(tag: int, *parts: bytes) -> bytes:
    """One BER element."""
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes(4, "big")
    return bytes((tag, 0x84)) + length + content


def text(value: str | bytes) -> bytes:
    return tlv(0x04, value.encode() if isinstance(value, str) else value)


def number(value: int, tag: int = 0x02) -> bytes:
    return tlv(tag, value.to_bytes(4, "big"))


class Talk:
    """One connection as the server sees it."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer = peer

    def next(self) -> tuple[int, int]:
        """Message id and operation tag of the next request. Raises OSError when the client left."""
        head = self._exactly(2)
        length = head[1]
        if length & 0x80:
            length = int.from_bytes(self._exactly(length & 0x7F), "big")
        body = self._exactly(length)
        size = body[1]
        return int.from_bytes(body[2 : 2 + size], "big"), body[2 + size]

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            block = self.peer.recv(size - len(data))
            if not block:
                raise ConnectionResetError
            data += block
        return data

    def send(self, data: bytes) -> None:
        self.peer.sendall(data)

    def reply(self, message: int, operation: bytes, *controls: bytes) -> None:
        self.send(tlv(0x30, number(message), operation, *controls))

    def result(self, message: int, tag: int, code: int = SUCCESS, words: str = "") -> None:
        self.reply(message, tlv(tag, number(code, 0x0A), text(""), text(words)))

    def bind(self) -> None:
        """Let the client in."""
        message, _ = self.next()
        self.result(message, 0x61)

    def entry(self, message: int, dn: str, values: Mapping[str, Sequence[bytes]]) -> None:
        self.reply(message, entry(dn, values))

    def done(self, message: int, code: int = SUCCESS) -> None:
        self.result(message, 0x65, code)

    def page(self, message: int, cookie: bytes) -> None:
        """The end of a page (RFC 2696)."""
        value = text(tlv(0x30, number(0), text(cookie)))
        control = tlv(0xA0, tlv(0x30, text("1.2.840.113556.1.4.319"), value))
        self.reply(message, tlv(0x65, number(0, 0x0A), text(""), text("")), control)


def entry(dn: str, values: Mapping[str, Sequence[bytes]]) -> bytes:
    attributes = [
        tlv(0x30, text(name), tlv(0x31, *map(text, each))) for name, each in values.items()
    ]
    return tlv(0x64, text(dn), tlv(0x30, *attributes))


class Fake:
    """Listens on a loopback port; `behave` is called with each connection, in its own thread."""

    def __init__(
        self, behave: Callable[[Talk], None], *, context: ssl.SSLContext | None = None
    ) -> None:
        self.connections = 0
        self._behave = behave
        self._context = context
        self._server = socket.create_server(("127.0.0.1", 0))
        self._peers: list[socket.socket] = []
        self.port: int = self._server.getsockname()[1]
        self.url = f"{'ldaps' if context else 'ldap'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._server.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._context is not None:
                peer = self._context.wrap_socket(peer, server_side=True)
            self._peers.append(peer)
            with peer:
                self._behave(Talk(peer))

    def stop(self) -> None:
        # Not close alone: a thread that waits in accept would keep the port.
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
