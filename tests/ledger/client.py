"""An SMTP client that writes down what it was told: every attempt, and every 250 with its id.

It does what a mail server does with mail whose 250 it has not seen: it sends it again.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from tests.ledger.letters import Letter

_PAUSE = 0.05  # before an address that refused is tried again, seconds


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to hand a letter over. Only code 250 is a promise.

    code: of the last reply, 0 where the connection was lost first. text: the reply, or why not.
    archive_id: third word of "250 2.0.0 <archive id>". begun, ended: seconds since 1970.
    """

    key: str
    code: int
    text: str
    archive_id: str
    begun: float
    ended: float


class LostError(Exception):
    """The connection is of no more use."""


class Client:
    """Hands letters over, on so many connections, until each was answered 250.

    attempts: all of them, in the order in which they ended.
    """

    def __init__(self, port: int, *, connections: int = 2, timeout: float = 30.0) -> None:
        self.attempts: list[Attempt] = []
        self._port = port
        self._connections = connections
        self._timeout = timeout
        self._waiting: deque[Letter] = deque()
        self._lock = threading.Lock()

    def send(self, letters: Iterable[Letter], *, seconds: float) -> list[Letter]:
        """Send them; the letters that nobody had taken when the time was up."""
        self._waiting.extend(letters)
        end = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._run, args=(end,)) for _ in range(self._connections)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        left = list(self._waiting)
        self._waiting.clear()
        return left

    def _run(self, end: float) -> None:
        connection: _Connection | None = None
        while time.monotonic() < end:
            try:
                letter = self._waiting.popleft()
            except IndexError:
                break
            begun = time.time()
            try:
                if connection is None:
                    connection = _Connection(self._port, self._timeout)
                code, text = connection.mail(letter)
            except (OSError, LostError) as lost:
                code, text = 0, str(lost) or type(lost).__name__
            words = text.split()
            archive_id = words[1] if code == 250 and len(words) > 1 else ""
            with self._lock:
                self.attempts.append(
                    Attempt(letter.key, code, text, archive_id, begun, time.time())
                )
            if code != 250:
                self._waiting.append(letter)
                time.sleep(_PAUSE)
            if code in (0, 421) and connection is not None:
                connection.close()
                connection = None
        if connection is not None:
            connection.quit()


class _Connection:
    def __init__(self, port: int, timeout: float) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._replies = self._socket.makefile("rb")
        try:
            self._expect(220)
            self._say(b"EHLO ledger.example")
            self._expect(250)
        except BaseException:
            self.close()
            raise

    def mail(self, letter: Letter) -> tuple[int, str]:
        """The last reply. Raises OSError, LostError."""
        lines = letter.content.split(b"\r\n")
        eight_bit = b"" if letter.content.isascii() else b" BODY=8BITMIME"
        if not letter.content.partition(b"\r\n\r\n")[0].isascii():
            eight_bit += b" SMTPUTF8"
        self._say(b"MAIL FROM:<" + letter.mail_from.encode() + b">" + eight_bit)
        code, text = self._hear()
        for recipient in letter.rcpt_to:
            if code != 250:
                break
            self._say(b"RCPT TO:<" + recipient.encode() + b">")
            code, text = self._hear()
        if code == 250:
            self._say(b"DATA")
            code, text = self._hear()
        if code != 354:
            if code not in (0, 421):
                self._say(b"RSET")
                self._expect(250)
            return code, text
        # RFC 5321 §4.5.2: a line that begins with a dot gets one more.
        stuffed = [b"." + line if line.startswith(b".") else line for line in lines]
        self._socket.sendall(b"\r\n".join(stuffed) + b".\r\n")
        return self._hear()

    def quit(self) -> None:
        """Leave politely."""
        try:
            self._say(b"QUIT")
            self._hear()
        except (OSError, LostError):
            pass
        self.close()

    def close(self) -> None:
        """Leave."""
        self._replies.close()
        self._socket.close()

    def _say(self, line: bytes) -> None:
        self._socket.sendall(line + b"\r\n")

    def _hear(self) -> tuple[int, str]:
        texts = []
        while True:
            line = self._replies.readline()
            if not line.endswith(b"\r\n") or not line[:3].isdigit():
                raise LostError("the connection was lost")
            texts.append(line[4:-2].decode("ascii"))
            if line[3:4] != b"-":
                return int(line[:3]), "\n".join(texts)

    def _expect(self, code: int) -> None:
        heard, text = self._hear()
        if heard != code:
            raise LostError(f"{heard} {text}")
