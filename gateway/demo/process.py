"""Other programs of the demo: free ports, waiting until they answer, stopping them by pid."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

# Descriptors of the ports that were given out, the newest ones.
_KEPT: deque[int] = deque()
_MANY = 100


class NotStartedError(Exception):
    """A program of the demo did not come up; the text has the end of its output."""


def free_port() -> int:
    """A loopback port that nobody listens on, and that the system gives to nobody else.

    A socket stays bound to it without listening: who connects is refused, and whoever sets
    SO_REUSEADDR, as servers do, may listen there, now or after a stop. To a bind to port 0 and to a
    client it is taken, in every process, as long as this one lives (or has asked for many others).
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    port = int(probe.getsockname()[1])
    _KEPT.append(probe.detach())
    if len(_KEPT) > _MANY:
        os.close(_KEPT.popleft())
    return port


class Program:
    """A child process whose output goes to a file."""

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self.command = [str(part) for part in command]
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def wait_for_port(self, port: int, *, seconds: float = 60.0) -> None:
        """Return when 127.0.0.1:`port` takes connections.

        Raises NotStartedError when the process ends before, or time is up (it is stopped then).
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    return
            except OSError:
                time.sleep(0.02)
        self.stop()
        tail = self.log.read_bytes()[-2000:].decode("utf-8", "replace").strip()
        raise NotStartedError(f"{self.command[0]} did not answer on port {port}: {tail}")

    def stop(self, *, seconds: float = 10.0) -> None:
        """SIGTERM, then SIGKILL if it is still there after `seconds`."""
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
