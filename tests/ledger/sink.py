"""A next hop that writes down every mail it got, when, and for whom: before it answers the dot.

As a program, `python -m tests.ledger.sink FOLDER` prints its port; standard library only. A file
`refuse` in FOLDER holds addresses, one a line, that are answered 550 at RCPT.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socketserver
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LEDGER = "arrivals.jsonl"
REFUSE = "refuse"
_MAX_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Arrival:
    """A mail whose final dot was seen. at: seconds since 1970. content: as it came, unstuffed."""

    file: str
    mail_from: str
    rcpt_to: tuple[str, ...]
    at: float
    content: bytes


def arrivals(folder: Path) -> list[Arrival]:
    """All so far, in the order in which they came; one that is being written is left out."""
    path = folder / LEDGER
    text = path.read_bytes() if path.exists() else b""
    found = []
    for line in text[: text.rfind(b"\n") + 1].splitlines():
        row = json.loads(line)
        content = (folder / row["file"]).read_bytes()
        found.append(
            Arrival(row["file"], row["mail_from"], tuple(row["rcpt_to"]), row["at"], content)
        )
    return found


class SinkProcess:
    """The program, running."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.ledger.sink", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def arrivals(self) -> list[Arrival]:
        """See `arrivals`."""
        return arrivals(self.folder)

    def refuse(self, *addresses: str) -> None:
        """Answer 550 for these from now on, and for no others."""
        fresh = self.folder / "refuse.new"
        fresh.write_text("".join(f"{one}\n" for one in addresses))
        fresh.replace(self.folder / REFUSE)

    def stop(self) -> None:
        """End it; what it has stays in the folder."""
        self._process.terminate()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


class _Book:
    """The folder: one writer at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._ledger: IO[str] = (folder / LEDGER).open("a", encoding="utf-8")

    def write(self, mail_from: str, rcpt_to: list[str], content: bytes) -> None:
        at = time.time()
        with self._lock:
            name = f"{next(self._numbers):06d}.eml"
            (self._folder / name).write_bytes(content)
            row = {"file": name, "mail_from": mail_from, "rcpt_to": rcpt_to, "at": at}
            self._ledger.write(json.dumps(row) + "\n")
            self._ledger.flush()

    def refuses(self, address: str) -> bool:
        try:
            return address in (self._folder / REFUSE).read_text().split()
        except FileNotFoundError:
            return False


class _Session(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        book: _Book = self.server.book  # type: ignore[attr-defined]
        mail_from, rcpt_to = "", []
        self._say("220 ledger.example ESMTP")
        while line := self.rfile.readline(_MAX_LINE):
            verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            match verb.upper():
                case "EHLO":
                    extensions = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
                    for extension in extensions:
                        self._say(f"250-{extension}")
                    self._say("250 SIZE 100000000")
                case "MAIL":
                    mail_from, rcpt_to = _path(rest), []
                    self._say("250 2.1.0 ok")
                case "RCPT" if book.refuses(_path(rest)):
                    self._say("550 5.1.1 nobody of that name")
                case "RCPT":
                    rcpt_to.append(_path(rest))
                    self._say("250 2.1.5 ok")
                case "DATA" if not rcpt_to:
                    self._say("554 5.5.1 for nobody")
                case "DATA":
                    self._say("354 go on")
                    content = self._content()
                    if content is None:
                        return
                    book.write(mail_from, rcpt_to, content)
                    self._say("250 2.0.0 written down")
                case "RSET" | "NOOP":
                    self._say("250 2.0.0 ok")
                case "QUIT":
                    self._say("221 2.0.0 bye")
                    return
                case _:
                    self._say("502 5.5.1 not known")

    def _content(self) -> bytes | None:
        """None where the connection ended before the final dot."""
        lines = []
        while (line := self.rfile.readline(_MAX_LINE)) != b".\r\n":
            if not line.endswith(b"\n"):
                return None
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)

    def _say(self, reply: str) -> None:
        # A peer that was killed hears no reply; what it has sent is written down all the same.
        with contextlib.suppress(OSError):
            self.wfile.write(reply.encode() + b"\r\n")


def _path(text: str) -> str:
    return text.partition("<")[2].partition(">")[0]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that was reset: nothing to say."""


def main(folder: Path) -> None:
    """Serve until killed."""
    with _Server(("127.0.0.1", 0), _Session) as server:
        server.book = _Book(folder)  # type: ignore[attr-defined]
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
