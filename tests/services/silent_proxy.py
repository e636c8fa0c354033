"""A TCP proxy that can fall silent: connections stay open, octets are taken, and none comes out.

What a firewall does that has forgotten a connection, and a machine that froze behind its kernel:
TCP acknowledges, so that only whoever bounds his own wait ever notices.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType


class SilentProxy:
    """Between a free loopback port and 127.0.0.1:`to`. Use as a context manager."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._silent: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> int:
        """From now on nothing passes over the connections there are; how many. New ones work."""
        with self._lock:
            self._silent |= self._open
            return len(self._open) // 2

    def stop(self) -> None:
        """Everything is cut off, and nobody listens any more."""
        with suppress(OSError):  # it was stopped before
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        self._listening.close()
        with self._lock:
            for one in self._open:
                one.close()

    def __enter__(self) -> SilentProxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            with self._lock:
                self._open |= {client, server}
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if source not in self._silent:
                    target.sendall(data)
            if source not in self._silent:
                target.close()
        except OSError:
            return
