"""A fake next hop that misbehaves as it is told, and notes every line it hears."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass
class Hostile:
    """What to answer. A reply is sent as it is, with CRLF; None closes the connection instead.

    rcpt: by local part. after: by verb, more bytes pushed behind the reply in one segment.
    """

    extensions: list[str] = field(
        default_factory=lambda: ["PIPELINING", "SIZE 100000000", "8BITMIME", "SMTPUTF8"]
    )
    greeting: str | None = "220 mx.example ESMTP"
    mail: str | None = "250 2.1.0 ok"
    rcpt: dict[str, str | None] = field(default_factory=dict)
    data: str | None = ""  # "": 354, or 554 if nobody is left
    dot: str | None = "250 2.0.0 Ok: queued as 4F1C2"
    rset: str | None = "250 2.0.0 ok"
    starttls: str | None = "220 2.0.0 go"
    after: dict[str, bytes] = field(default_factory=dict)
    stop_reading_at_data: bool = False
    close_after: int = 0  # mails on one connection, then the connection is closed
    tls: ssl.SSLContext | None = None
    delay: dict[str, float] = field(default_factory=dict)  # by verb, before the reply

    port: int = 0
    connections: int = 0
    commands: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    clear: bytearray = field(default_factory=bytearray)  # everything heard without TLS

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        secure = False
        taken = 0
        mails = 0

        async def say(verb: str, reply: str | None) -> bool:
            await asyncio.sleep(self.delay.get(verb, 0))
            if reply is None:
                writer.close()
                return False
            writer.write(reply.encode() + b"\r\n" + self.after.get(verb, b""))
            await writer.drain()
            return True

        if not await say("CONNECT", self.greeting):
            return
        while line := await reader.readline():
            if not secure:
                self.clear += line
            text = line.decode(errors="replace").rstrip("\r\n")
            verb = text[:4].upper()
            self.commands.append(text)
            reply: str | None = "250 2.0.0 ok"
            if verb == "EHLO":
                words = ["mx.example", *self.extensions]
                if self.tls is not None and not secure:
                    words.append("STARTTLS")
                reply = "\r\n".join(f"250-{w}" for w in words[:-1]) + f"\r\n250 {words[-1]}"
                reply = reply.lstrip("\r\n")
            elif verb == "MAIL":
                reply, taken = self.mail, 0
            elif verb == "RCPT":
                reply = self.rcpt.get(text[9:].partition("@")[0], "250 2.1.5 ok")
                taken += (reply or "").startswith("2")
            elif verb == "RSET":
                reply = self.rset
            elif verb == "DATA":
                reply = self.data or ("354 go" if taken else "554 5.5.1 no valid recipients")
                if self.data is None:
                    reply = None
            elif verb == "STAR":
                reply = self.starttls
            elif verb == "QUIT":
                await say("QUIT", "221 2.0.0 bye")
                break
            if not await say(verb, reply):
                return
            if verb == "STAR" and (reply or "").startswith("220") and self.tls is not None:
                try:
                    await writer.start_tls(self.tls)
                except OSError:
                    break
                secure = True
            if verb == "DATA" and (reply or "").startswith("354"):
                if self.stop_reading_at_data:
                    await asyncio.sleep(30)
                content = bytearray()
                while (line := await reader.readline()) not in (b".\r\n", b""):
                    content += line[1:] if line.startswith(b".") else line
                    if not secure:
                        self.clear += line
                self.mails.append(bytes(content))
                if not await say("DOT", self.dot):
                    return
                mails += 1
                if mails == self.close_after:
                    break
        writer.close()


@contextlib.asynccontextmanager
async def running(hostile: Hostile) -> AsyncIterator[Hostile]:
    """Let it listen on a free port."""
    tasks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await hostile.talk(reader, writer)
        writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(talk, "127.0.0.1", hostile.port)
    hostile.port = server.sockets[0].getsockname()[1]
    try:
        yield hostile
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.sleep(0)
