"""A receiving SMTP server for the demo, the tests and the bench.

Written without `gateway/smtp` and without aiosmtpd on purpose: what the gateway sends is judged
by a server that shares none of its code. It keeps every mail as a file and a ledger line, and
misbehaves on request. As a process: `python -m gateway.demo.sink --dir DIR` prints its port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import ssl
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

LEDGER = "ledger.jsonl"
RULES = "rules.json"

_MAX_LINE = 4096  # RFC 5321 §4.5.3.1.4 wants 512; ESMTP parameters make lines longer
_MAX_MESSAGE = 100 * 1024 * 1024  # 50 MB of mail, signed and encrypted, is 70


@dataclass(frozen=True, slots=True)
class Rules:
    """How the sink misbehaves. The default is a server that takes everything at once.

    rcpt: reply to RCPT by address in lower case, e.g. {"a@b.example": "450 4.2.1 later"}.
    dot: reply to the end of data instead of 250; nothing is stored then.
    delay: seconds before the reply to the end of data.
    close: "" or "before" (the connection is cut at the dot, nothing is stored) or "after" (the
        mail is stored and its 250 is lost on the way).
    dsn: announce DSN (RFC 3461); nothing is ever reported.
    """

    rcpt: dict[str, str] = field(default_factory=dict)
    dot: str = ""
    delay: float = 0.0
    close: str = ""
    dsn: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """One line of the ledger.

    file: name of the mail's file beside the ledger, "" for one that was not kept.
    at: `time.monotonic()` when it was stored (one clock for all processes of a machine).
    tls: "TLSv1.3 …" or "".
    parameters: of MAIL; asked: of each RCPT, in the order of rcpt_to, joined by blanks.
    """

    file: str
    mail_from: str
    rcpt_to: tuple[str, ...]
    size: int
    at: float
    tls: str
    parameters: tuple[str, ...]
    asked: tuple[str, ...] = ()


def read_ledger(folder: Path) -> list[Delivery]:
    """All deliveries so far, in order. A line that is still being written is left out."""
    path = folder / LEDGER
    text = path.read_bytes() if path.exists() else b""
    found = []
    for line in text[: text.rfind(b"\n") + 1].splitlines():
        row = json.loads(line)
        for name in ("rcpt_to", "parameters", "asked"):
            row[name] = tuple(row[name])
        found.append(Delivery(**row))
    return found


def write_rules(folder: Path, rules: Rules) -> None:
    """Tell the sink that works in `folder` to follow `rules` from its next mail on."""
    fresh = folder / (RULES + ".new")
    fresh.write_text(json.dumps(asdict(rules)))
    fresh.replace(folder / RULES)


class Sink:
    """The server, for use inside an event loop. `listen` binds and returns the port."""

    def __init__(self, folder: Path, *, tls: ssl.SSLContext | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.tls = tls
        self._folder = folder
        self._ledger: IO[str] = (folder / LEDGER).open("a", encoding="utf-8")
        self._count = len(read_ledger(folder))
        self._rules = Rules()
        self._rules_seen = (0, 0)
        self._server: asyncio.Server | None = None

    async def listen(self, port: int = 0) -> int:
        """Bind 127.0.0.1 (port 0: a free one) and begin to answer."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Session(self), "127.0.0.1", port)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop listening and close the ledger."""
        if self._server is not None:
            self._server.close()
        self._ledger.close()

    def rules(self) -> Rules:
        """The rules as they stand in the folder now."""
        try:
            found = (self._folder / RULES).stat()
        except FileNotFoundError:
            return self._rules
        seen = (found.st_ino, found.st_mtime_ns)  # two may be written within one tick of the clock
        if seen != self._rules_seen:
            self._rules = Rules(**json.loads((self._folder / RULES).read_text()))
            self._rules_seen = seen
        return self._rules

    def store(
        self,
        content: bytes,
        mail_from: str,
        rcpt_to: Mapping[str, str],
        parameters: list[str],
        tls: str,
    ) -> None:
        """Write the mail, then its line in the ledger."""
        self._count += 1
        name = f"{self._count:06d}.eml"
        (self._folder / name).write_bytes(content)
        line = {
            "file": name,
            "mail_from": mail_from,
            "rcpt_to": list(rcpt_to),
            "size": len(content),
            "at": time.monotonic(),
            "tls": tls,
            "parameters": parameters,
            "asked": list(rcpt_to.values()),
        }
        self._ledger.write(json.dumps(line) + "\n")
        self._ledger.flush()


class _Session(asyncio.Protocol):
    """One connection. Commands are read from a buffer, so pipelining (RFC 2920) costs nothing."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._searched = 0  # how far the buffer was searched for the end of data
        self._in_data = False
        self._busy = False  # a delayed reply is due: nothing is read until it is out
        self._greeted = False
        self._tls = ""
        self._out = ""  # replies not yet written: one packet for a pipelined group
        self._reset()

    def _reset(self) -> None:
        self._mail_from: str | None = None
        self._parameters: list[str] = []
        self._rcpt_to: dict[str, str] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        if self._tls_of(transport):  # STARTTLS has just been completed: no second greeting
            self._tls = self._tls_of(transport)
            return
        self._reply("220 sink.example ESMTP")
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._work()

    def _work(self) -> None:
        self._read()
        self._flush()

    def _read(self) -> None:
        while not self._busy and not self._transport.is_closing():
            if self._in_data:
                if not self._take_content():
                    return
                continue
            end = self._buffer.find(b"\r\n")
            if end < 0:
                if len(self._buffer) > _MAX_LINE:
                    self._reply("500 5.5.2 line too long")
                    self._flush()
                    self._transport.close()
                return
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            self._command(line)

    def _take_content(self) -> bool:
        """True when the end of data was there and has been dealt with."""
        # RFC 5321 §4.1.1.4: the end is CRLF.CRLF; the CRLF before the dot may be DATA's own.
        if self._buffer.startswith(b".\r\n"):
            content, rest = b"", 3
        else:
            end = self._buffer.find(b"\r\n.\r\n", max(0, self._searched - 4))
            if end < 0:
                self._searched = len(self._buffer)
                if self._searched > _MAX_MESSAGE:
                    self._transport.close()
                return False
            content, rest = bytes(self._buffer[: end + 2]), end + 5
        del self._buffer[:rest]
        self._in_data, self._searched = False, 0
        # RFC 5321 §4.5.2: one leading dot is taken off each line that begins with one.
        if content.startswith(b"."):
            content = content[1:]
        self._finish(content.replace(b"\r\n.", b"\r\n"))
        return True

    def _finish(self, content: bytes) -> None:
        rules = self._sink.rules()
        if rules.close == "before":
            self._transport.abort()
            return
        reply = rules.dot or "250 2.0.0 stored"
        if not rules.dot:
            mail_from = self._mail_from or ""
            self._sink.store(content, mail_from, self._rcpt_to, self._parameters, self._tls)
        self._reset()
        if rules.close == "after":
            self._transport.abort()
        elif rules.delay:
            self._busy = True
            asyncio.get_running_loop().call_later(rules.delay, self._late, reply)
        else:
            self._reply(reply)

    def _late(self, reply: str) -> None:
        self._busy = False
        if not self._transport.is_closing():
            self._reply(reply)
            self._work()

    def _command(self, line: bytes) -> None:
        text = line.decode("utf-8", "surrogateescape")
        verb, _, rest = text.partition(" ")
        handler = getattr(self, "_on_" + verb.lower(), None) if verb.isascii() else None
        if handler is None:
            self._reply("502 5.5.1 not known here")
        else:
            handler(rest)

    def _on_ehlo(self, _: str) -> None:
        self._greeted = True
        self._reset()
        lines = ["sink.example", "PIPELINING", f"SIZE {_MAX_MESSAGE}", "8BITMIME", "SMTPUTF8"]
        if self._sink.tls is not None and not self._tls:
            lines.append("STARTTLS")
        if self._sink.rules().dsn:
            lines.append("DSN")
        lines.append("ENHANCEDSTATUSCODES")
        self._reply(*[f"250-{line}" for line in lines[:-1]], f"250 {lines[-1]}")

    def _on_helo(self, _: str) -> None:
        self._greeted = True
        self._reset()
        self._reply("250 sink.example")

    def _on_mail(self, rest: str) -> None:
        if not self._greeted or self._mail_from is not None:
            self._reply("503 5.5.1 bad sequence of commands")
            return
        path = _path(rest, "FROM:")
        if path is None:
            self._reply("501 5.5.4 syntax: MAIL FROM:<address>")
            return
        self._mail_from, self._parameters = path
        self._reply("250 2.1.0 ok")

    def _on_rcpt(self, rest: str) -> None:
        if self._mail_from is None:
            self._reply("503 5.5.1 bad sequence of commands")
            return
        path = _path(rest, "TO:")
        if path is None or not path[0]:
            self._reply("501 5.5.4 syntax: RCPT TO:<address>")
            return
        refusal = self._sink.rules().rcpt.get(path[0].lower())
        if refusal is None:
            self._rcpt_to[path[0]] = " ".join(path[1])
        self._reply(refusal or "250 2.1.5 ok")

    def _on_data(self, _: str) -> None:
        if not self._rcpt_to:
            self._reply("554 5.5.1 no valid recipients")
            return
        self._in_data = True
        self._reply("354 go ahead")

    def _on_rset(self, _: str) -> None:
        self._reset()
        self._reply("250 2.0.0 ok")

    def _on_noop(self, _: str) -> None:
        self._reply("250 2.0.0 ok")

    def _on_quit(self, _: str) -> None:
        self._reply("221 2.0.0 bye")
        self._flush()
        self._transport.close()

    def _on_starttls(self, _: str) -> None:
        if self._sink.tls is None or self._tls:
            self._reply("502 5.5.1 not known here")
            return
        # RFC 3207 §4.2: what came in clear after the command is forgotten, not believed.
        self._buffer.clear()
        self._greeted = False
        self._reset()
        self._reply("220 2.0.0 ready")
        self._flush()
        self._busy = True
        self._handshake = asyncio.get_running_loop().create_task(self._start_tls(self._sink.tls))

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(self._transport, self, context, server_side=True)
        except (OSError, ssl.SSLError):
            self._transport.abort()
            return
        if transport is None:
            return
        self._transport = transport
        self._tls = self._tls_of(transport)
        self._busy = False
        self._work()

    @staticmethod
    def _tls_of(transport: asyncio.BaseTransport) -> str:
        secured = transport.get_extra_info("ssl_object")
        return f"{secured.version()} {secured.cipher()[0]}" if secured is not None else ""

    def _reply(self, *lines: str) -> None:
        self._out += "".join(f"{line}\r\n" for line in lines)

    def _flush(self) -> None:
        if self._out and not self._transport.is_closing():
            self._transport.write(self._out.encode())
        self._out = ""


def _path(text: str, word: str) -> tuple[str, list[str]] | None:
    """`FROM:<a@b> SIZE=1` → ("a@b", ["SIZE=1"]); None if it is not of that form."""
    if text[: len(word)].upper() != word:
        return None
    path, closed, parameters = text[len(word) :].strip().partition(">")
    if not path.startswith("<") or not closed:
        return None
    return path[1:], parameters.split()


async def _serve(folder: Path, port: int, tls: ssl.SSLContext | None) -> None:
    sink = Sink(folder, tls=tls)
    print(await sink.listen(port), flush=True)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    sink.close()


def main() -> None:
    """Run as a process until SIGTERM; the first line printed is the port."""
    parser = argparse.ArgumentParser(description="A receiving SMTP server that keeps everything.")
    parser.add_argument("--dir", type=Path, required=True, help="folder for mails and ledger")
    parser.add_argument("--port", type=int, default=0, help="0: a free one (default)")
    parser.add_argument("--cert", type=Path, help="PEM certificate: offer STARTTLS")
    parser.add_argument("--key", type=Path, help="PEM key that belongs to --cert")
    arguments = parser.parse_args()
    context = None
    if arguments.cert:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.cert, arguments.key)
    asyncio.run(_serve(arguments.dir, arguments.port, context))


if __name__ == "__main__":
    main()
