"""Answers `GET /metrics`. In a thread of the keeper; nothing here can hold up mail."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog

log = structlog.get_logger()

_PATIENCE = 5.0  # seconds for a client to ask, and to take the answer


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE
    server_version = "sceau"
    sys_version = ""
    answer: Callable[[str], tuple[bytes, str]]

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, "there is /metrics")
            return
        try:
            text, content_type = type(self).answer(self.headers.get("Accept", ""))
        except Exception:
            log.exception("metrics_fault")
            self.send_error(500, "see the log")
            return
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_args: Any) -> None:
        """Questions are not worth a line."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, _request: Any, _address: Any) -> None:
        """A client that left in the middle is not worth a line either."""


def serve_metrics(
    listening: socket.socket, answer: Callable[[str], tuple[bytes, str]]
) -> Callable[[], None]:
    """Answer on a socket that listens, until the function that is given back is called.

    answer: Accept field -> text and media type; may be called from several threads.
    """
    handler = type("_Bound", (_Handler,), {"answer": staticmethod(answer)})
    address: Any = listening.getsockname()[:2]
    server = _Server(address, handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop
