"""A wall clock of their own for processes of a test, which can be set while they run.

A shared object of forty lines that is compiled here and preloaded. libfaketime (Debian 12, 0.9.10)
breaks `clock_nanosleep` where it leaves the monotonic clock alone, and with it `time.sleep`.
"""

from __future__ import annotations

import struct
import subprocess
from datetime import timedelta
from pathlib import Path


class WallClock:
    """`environment` is for the processes; `set` moves the clock of all of them at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        library = folder / "wall_clock.so"
        source = Path(__file__).with_name("wall_clock.c")
        command = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
        subprocess.run(command, check=True)
        self._file = folder / "moved"
        self._file.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK_FILE": str(self._file)}

    def set(self, off: timedelta) -> None:
        """How far it is off the machine's from now on."""
        nanos = off // timedelta(microseconds=1) * 1000
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", nanos))
