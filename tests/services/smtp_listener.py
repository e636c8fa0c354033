"""The gateway's own listener with an intake that notes what it is asked, for tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from gateway.errors import Refusal
from gateway.mail import Peer, Submission
from gateway.smtp.listener import Listener, ListenSettings


class NotingIntake:
    """Takes everything but what is told otherwise."""

    def __init__(self) -> None:
        self.relay: str | None = "test"
        self.begun: list[Submission] = []
        self.accepted: list[Submission] = []
        self.sizes: list[int | None] = []
        self.accept_seconds = 0.0
        self.error: BaseException | None = None  # raised by accept
        self.sender_error: Exception | None = None

    def admit(self, ip: str) -> str | None:
        """See Intake."""
        return self.relay

    def sender(self, peer: Peer, mail_from: str, size: int | None) -> None:
        """See Intake."""
        self.sizes.append(size)
        if self.sender_error is not None:
            raise self.sender_error
        if mail_from.startswith("stranger@"):
            raise Refusal(550, "5.7.1", "Sender not allowed")

    def recipient(self, peer: Peer, mail_from: str, rcpt_to: str) -> None:
        """See Intake."""
        if rcpt_to.startswith("nobody@"):
            raise Refusal(550, "5.1.1", "No such user")

    async def accept(self, submission: Submission) -> str:
        """See Intake."""
        self.begun.append(submission)
        if self.accept_seconds:
            await asyncio.sleep(self.accept_seconds)
        if self.error is not None:
            raise self.error
        self.accepted.append(submission)
        return f"id-{len(self.accepted)}"


@contextlib.asynccontextmanager
async def listening(intake: Any, *, grace: float = 2.0, **settings: Any) -> AsyncIterator[Listener]:
    """A listener on a free port; at the end no task may have died unheard."""
    noise: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: noise.append(context))
    listener = Listener(ListenSettings(**{"hostname": "gw.example", "port": 0, **settings}), intake)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop(grace)
    await asyncio.sleep(0)
    assert noise == []


class Dialog:
    """A client that says what it is told, byte by byte if need be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self) -> str:
        """One reply; of several lines, all, joined by LF. "" at the end of the connection."""
        lines = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), 60)).decode()
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    async def ask(self, command: bytes) -> str:
        """A command line and its reply."""
        await self.say(command + b"\r\n")
        return await self.hear()

    async def up_to_data(self) -> None:
        """EHLO, MAIL, RCPT, DATA, all taken."""
        assert (await self.ask(b"EHLO client.example")).startswith("250")
        assert (await self.ask(b"MAIL FROM:<a@example.org>")).startswith("250")
        assert (await self.ask(b"RCPT TO:<b@example.net>")).startswith("250")
        assert (await self.ask(b"DATA")).startswith("354")


@contextlib.asynccontextmanager
async def dialog(port: int, *, greeting: str = "220") -> AsyncIterator[Dialog]:
    """A connection on which the greeting was heard."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    talk = Dialog(reader, writer)
    try:
        if greeting:
            assert (await talk.hear()).startswith(greeting)
        yield talk
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
