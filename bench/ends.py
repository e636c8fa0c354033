"""Both ends of a measurement: Postfix's own test programs, which cost next to nothing.

smtp-source and smtp-sink are what mail servers are measured with, and are C: a client and a server
of ours would take a tenth of the machine away from what is measured. smtp-sink throws mails away,
so what is delivered is proved before, with a sink that keeps it.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.demo.process import NotStartedError
from gateway.demo.stage import SinkProcess

_COUNT = re.compile(rb"mesg=(\d+)")
_START_SECONDS = 5.0


class Counter:
    """A running smtp-sink: how many mails it has taken, and when the last one came."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            ["smtp-sink", "-u", "nobody", "-c", f"127.0.0.1:{port}", "500"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.mails, self.last = 0, 0.0
        self._rest = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # smtp-sink rewrites one line for each event; a mail counts when its dot was read.
        assert self._process.stdout is not None
        while said := os.read(self._process.stdout.fileno(), 65536):
            counts = _COUNT.findall(self._rest + said)
            self._rest = (self._rest + said)[-20:]
            if counts and int(counts[-1]) > self.mails:
                self.mails, self.last = int(counts[-1]), time.monotonic()

    def wait(self, count: int, patience: float) -> bool:
        """Until `count` mails have come; False when none came for `patience` seconds."""
        seen, since = -1, time.monotonic()
        while self.mails < count:
            if self.mails != seen:
                seen, since = self.mails, time.monotonic()
            if time.monotonic() - since > patience:
                return False
            time.sleep(0.005)
        return True

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Receiver:
    """A port that mail is delivered to: kept by one server, or counted by the other."""

    def __init__(self, folder: Path) -> None:
        first = SinkProcess.start(folder)
        self.folder, self.port = folder, first.port
        first.stop()

    @contextmanager
    def keeping(self) -> Iterator[SinkProcess]:
        """Every mail is kept in the folder."""
        sink = SinkProcess.start(self.folder, port=self.port)
        try:
            yield sink
        finally:
            sink.stop()

    @contextmanager
    def counting(self) -> Iterator[Counter]:
        """Mails are counted and thrown away."""
        counter = Counter(self.port)
        try:
            yield counter
        finally:
            counter.stop()


def send(
    port: int, mail: Path, sender: str, recipient: str, count: int, *, connections: int
) -> None:
    """Send a mail (a file with LF ends) many times over connections that stay open.

    Returns after the last 250. Raises NotStartedError when one was answered otherwise.
    """
    command = ["smtp-source", "-d", "-s", str(connections), "-m", str(count), "-F", str(mail)]
    command += ["-f", sender, "-t", recipient, f"127.0.0.1:{port}"]
    end = time.monotonic() + _START_SECONDS
    while True:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if "Connection refused" not in done.stderr or time.monotonic() > end:
            raise NotStartedError(f"smtp-source: {done.stderr[-500:]}")
        time.sleep(0.05)
