"""Where log lines go: a full disk, or a reader that is gone, costs the line and nothing else.

An error from the log would otherwise come out where the line was written: after the commit of a
mail, whose client would be told 451 and send it twice, or in a worker, whose death is then counted
against the mail in its hands.
"""

from __future__ import annotations

import json
import os
from typing import TextIO


class LogStream:
    """Writes to the file behind a text stream, each line at once. Never raises OSError.

    What could not be written is counted, and told with the next line that can be.
    """

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        """stream: with a file descriptor. as_json: the form of the lines."""
        # Not through the stream: what its buffer holds back fails once more at the end of the
        # process, and changes its exit code, by which the supervisor knows whom to blame.
        self._fd = stream.fileno()
        self._as_json = as_json
        self._lost = 0
        self._cut = False  # in the middle of a line

    def write(self, text: str) -> int:
        """All of it, or what fits."""
        told = self._told() if self._lost else ""
        if self._put(told + text):
            self._lost = 0
        else:
            self._lost += 1
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""

    def _put(self, text: str) -> bool:
        data = text.encode("utf-8", "backslashreplace")
        if self._cut:
            data = b"\n" + data
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            self._cut = self._cut if len(rest) == len(data) else True
            return False
        self._cut = False
        return True

    def _told(self) -> str:
        if self._as_json:
            line = {"event": "log_lines_lost", "number": self._lost, "level": "error"}
            return json.dumps(line) + "\n"
        return f"log_lines_lost number={self._lost}\n"
