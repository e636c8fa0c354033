"""A small sending SMTP client for the demo, the tests and the bench.

Not the gateway's own client: mail is put in by code that shares nothing with what is tested. It
notes every 250 in a ledger before it goes on, so that after a kill each promise can be checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True, slots=True)
class Letter:
    """What to send. key: any name by which the caller knows it again. content: CRLF lines."""

    key: str
    mail_from: str
    rcpt_to: tuple[str, ...]
    content: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a letter. Only `code` 250 is a promise.

    code, text: of the last reply that counted (MAIL, every RCPT refused, DATA or the end of data);
        0 and a reason when the connection was lost first: nobody promised anything.
    archive_id: third word of "250 2.0.0 <archive id>", else "".
    refused: reply by recipient that was not taken.
    sent, at: `time.monotonic()` when MAIL was sent and when the last reply came.
    """

    key: str
    code: int
    text: str
    archive_id: str
    sha256: str
    refused: dict[str, str]
    sent: float
    at: float


def send(
    letters: Iterable[Letter],
    port: int,
    *,
    host: str = "127.0.0.1",
    connections: int = 4,
    ledger: Path | None = None,
    tls: ssl.SSLContext | None = None,
    timeout: float = 60.0,
) -> list[Receipt]:
    """Send all letters over `connections` reused connections; the order of answers is any.

    ledger: file to which a JSON line per letter is appended, flushed before the next letter.
    tls: do STARTTLS with it. timeout: seconds to wait for any one reply. A lost connection ends
    with a receipt of code 0 for its letter and is not opened again (letters left over go to the
    others; if none is left they get code 0 too): retrying would hide what a test looks for.
    """
    return asyncio.run(
        send_async(
            letters,
            port,
            host=host,
            connections=connections,
            ledger=ledger,
            tls=tls,
            timeout=timeout,
        )
    )


async def send_async(
    letters: Iterable[Letter],
    port: int,
    *,
    host: str = "127.0.0.1",
    connections: int = 4,
    ledger: Path | None = None,
    tls: ssl.SSLContext | None = None,
    timeout: float = 60.0,  # noqa: ASYNC109 - of each reply, not of the whole
) -> list[Receipt]:
    """As `send`, inside a running event loop."""
    waiting = iter(letters)
    receipts: list[Receipt] = []
    book = ledger.open("a", encoding="utf-8") if ledger else None
    try:
        senders = [_Connection(host, port, tls, timeout) for _ in range(connections)]
        await asyncio.gather(*(sender.run(waiting, receipts, book) for sender in senders))
    finally:
        if book:
            book.close()
    now = time.monotonic()
    receipts += [
        Receipt(left.key, 0, "no connection left", "", _digest(left), {}, now, now)
        for left in waiting
    ]
    return receipts


def read_ledger(path: Path) -> list[Receipt]:
    """The receipts of a ledger; a last line that a kill cut short is left out."""
    text = path.read_bytes() if path.exists() else b""
    return [Receipt(**json.loads(line)) for line in text[: text.rfind(b"\n") + 1].splitlines()]


class _LostError(Exception):
    """The connection is of no more use."""


class _Line(asyncio.Protocol):
    """The wire: writes bytes, hands out whole replies. `asyncio.StreamReader` costs twice this."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._buffer = b""
        self._texts: list[str] = []  # lines of a reply that is not complete yet
        self._replies: list[tuple[int, str]] = []
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None
        self._lost = ""
        self._closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("connection closed by the server" if exc is None else str(exc))
        self._closed.set()

    def data_received(self, data: bytes) -> None:
        lines = (self._buffer + data).split(b"\r\n")
        self._buffer = lines.pop()
        for line in lines:
            text = line.decode("utf-8", "replace")
            self._texts.append(text[4:])
            if text[3:4] != "-":  # RFC 5321 §4.2.1: the last line of a reply
                code = int(text[:3]) if text[:3].isdigit() else 0
                self._replies.append((code, "\n".join(self._texts)))
                self._texts = []
        if self._waiter and not self._waiter.done() and len(self._replies) >= self._wanted:
            self._waiter.set_result(None)

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    async def replies(self, wanted: int) -> list[tuple[int, str]]:
        """The next `wanted` replies. Raises _LostError."""
        if len(self._replies) < wanted and not self._lost:
            loop = asyncio.get_running_loop()
            self._wanted, self._waiter = wanted, loop.create_future()
            alarm = loop.call_later(self._timeout, self._end, f"no reply in {self._timeout} s")
            await self._waiter
            alarm.cancel()
        if len(self._replies) < wanted:
            raise _LostError(self._lost)
        taken, self._replies = self._replies[:wanted], self._replies[wanted:]
        return taken

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        loop = asyncio.get_running_loop()
        self.transport = await loop.start_tls(self.transport, self, context, server_hostname=host)

    async def close(self) -> None:
        """Close and wait until it is closed."""
        self.transport.close()
        await self._closed.wait()

    def _end(self, reason: str) -> None:
        self._lost = self._lost or reason
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


@dataclass(slots=True)
class _Outcome:
    code: int
    text: str
    refused: dict[str, str]


class _Connection:
    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, timeout: float) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._line = _Line(timeout)
        self._extensions: frozenset[str] = frozenset()

    async def run(
        self, letters: Iterator[Letter], receipts: list[Receipt], book: IO[str] | None
    ) -> None:
        """Send letters until there are none, or until the connection is lost."""
        try:
            await self._open()
        except OSError:
            return
        except _LostError:
            await self._line.close()
            return
        for letter in letters:
            sent = time.monotonic()
            try:
                outcome = await self._send(letter)
            except (OSError, _LostError) as lost:
                outcome = _Outcome(0, str(lost) or type(lost).__name__, {})
            words = outcome.text.split()
            receipt = Receipt(
                letter.key,
                outcome.code,
                outcome.text,
                words[1] if outcome.code == 250 and len(words) > 1 else "",
                _digest(letter),
                outcome.refused,
                sent,
                time.monotonic(),
            )
            receipts.append(receipt)
            if book:
                book.write(json.dumps(asdict(receipt)) + "\n")
                book.flush()
            if outcome.code in (0, 421):
                await self._line.close()
                return
        with contextlib.suppress(_LostError):
            self._line.write(b"QUIT\r\n")
            await self._expect(221)
        await self._line.close()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self._line, self._host, self._port)
        await self._expect(220)
        await self._hello()
        if self._tls:
            self._line.write(b"STARTTLS\r\n")
            await self._expect(220)
            await self._line.start_tls(self._tls, self._host)
            await self._hello()

    async def _hello(self) -> None:
        self._line.write(b"EHLO client.example\r\n")
        lines = (await self._expect(250)).split("\n")
        self._extensions = frozenset(line.split()[0].upper() for line in lines[1:] if line)

    async def _expect(self, code: int) -> str:
        ((got, text),) = await self._line.replies(1)
        if got != code:
            raise _LostError(f"{got} {text}")
        return text

    async def _send(self, letter: Letter) -> _Outcome:
        replies = await self._envelope(letter)
        refused = {
            address: f"{code} {text}"
            for address, (code, text) in zip(letter.rcpt_to, replies[1:-1], strict=True)
            if code // 100 != 2
        }
        if replies[-1][0] == 354:
            self._line.write(_stuffed(letter.content))
            ((code, text),) = await self._line.replies(1)
            return _Outcome(code, text, refused)
        code, text = next(reply for reply in replies if reply[0] // 100 != 2)
        self._line.write(b"RSET\r\n")
        await self._line.replies(1)
        return _Outcome(code, text, refused)

    async def _envelope(self, letter: Letter) -> list[tuple[int, str]]:
        """The replies to MAIL, each RCPT and DATA."""
        commands = [self._mail(letter)]
        commands += [f"RCPT TO:<{address}>" for address in letter.rcpt_to]
        commands.append("DATA")
        lines = [f"{command}\r\n".encode() for command in commands]
        if "PIPELINING" in self._extensions:  # RFC 2920 §3.1: DATA may end the group
            self._line.write(b"".join(lines))
            return await self._line.replies(len(lines))
        replies = []
        for line in lines:
            self._line.write(line)
            replies += await self._line.replies(1)
        return replies

    def _mail(self, letter: Letter) -> str:
        line = f"MAIL FROM:<{letter.mail_from}>"
        if "SIZE" in self._extensions:
            line += f" SIZE={len(letter.content)}"
        if not letter.content.isascii() and "8BITMIME" in self._extensions:
            line += " BODY=8BITMIME"
        header = letter.content.partition(b"\r\n\r\n")[0]
        addresses = letter.mail_from + "".join(letter.rcpt_to)
        # RFC 6531 §3.4: 8-bit addresses or 8-bit header fields need SMTPUTF8.
        if "SMTPUTF8" in self._extensions and not (addresses.isascii() and header.isascii()):
            line += " SMTPUTF8"
        return line


def _stuffed(content: bytes) -> bytes:
    """RFC 5321 §4.5.2: a line that begins with a dot gets a second one; then the end of data."""
    if content.startswith(b"."):
        content = b"." + content
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    return content.replace(b"\r\n.", b"\r\n..") + b".\r\n"


def _digest(letter: Letter) -> str:
    return hashlib.sha256(letter.content).hexdigest()


def spread(letters: Sequence[Letter], times: int) -> list[Letter]:
    """The letters over and over, `times` in all, with keys numbered from 0: load for a bench."""
    return [
        Letter(str(number), letter.mail_from, letter.rcpt_to, letter.content)
        for number in range(times)
        for letter in (letters[number % len(letters)],)
    ]
