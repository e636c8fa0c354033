"""A little HTTP server for the CRLs of the made-up PKI. Loopback only."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from gateway.demo.process import free_port


class CrlServer:
    """Serves the files of a folder from a thread; the socket is bound when this is made.

    So the port is known before the certificates, which name it, exist; and whoever stops
    this one can make another for it. Use as a context manager, or call `start` and `stop`.
    """

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        handler = partial(_Handler, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", port or free_port()), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    @property
    def base_url(self) -> str:
        """`http://127.0.0.1:PORT`, no slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> CrlServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class _Handler(SimpleHTTPRequestHandler):
    extensions_map = {".crl": "application/pkix-crl"}  # noqa: RUF012 - the base class's way

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the demo's output is its report."""
