"""Other programs of the demo: free ports, waiting until they answer, stopping them by pid."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path


class NotStartedError(Exception):
    """A program of the demo did not come up; the text has the end of its output."""


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """A child process whose output goes to a file."""

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self.command = [str(part) for part in command]
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def wait_for_port(self, port: int, *, seconds: float = 10.0) -> None:
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
