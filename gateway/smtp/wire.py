"""The client's connection: lines out, replies in, TLS. Knows no mail."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gateway.smtp.lookup import Address, Resolver
from gateway.smtp.nexthop import NextHop, TlsDemand
from gateway.smtp.stream import Inbox

# RFC 5321 §4.5.3.1.5 allows 512 octets a line; a peer that goes far beyond is not obeyed.
_LINE_LIMIT = 4_096
_REPLY_LIMIT = 64 * 1024
_TEXT_LIMIT = 1_000

# What is handed to the transport at once: large mails are written as the peer takes them.
_SLICE = 1024 * 1024

_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?\Z", re.DOTALL)
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?: |\Z)")
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")


class WireError(Exception):
    """The connection cannot be used (any more). Its text is fit for a log and a DSN.

    code: reply code of the peer, 0 if it said nothing.
    """

    def __init__(self, text: str, status: str = "4.4.2", code: int = 0) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


class TlsError(WireError):
    """STARTTLS was tried and the handshake failed, before anything was said in the clear."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply. status: its enhanced code, or "". lines: printable ASCII."""

    code: int
    status: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line, of bounded length, without the codes."""
        return " ".join(self.lines)[:_TEXT_LIMIT]

    @property
    def said(self) -> str:
        """The same with the codes, as the peer gave them."""
        return " ".join(part for part in (str(self.code), self.status, self.text) if part)


class Wire(asyncio.Protocol):
    """One connection to a next hop. `connect` first.

    progress: called whenever the peer has said something whole, or taken something: one octet a
        second is no progress.
    """

    def __init__(
        self,
        hop: NextHop,
        loop: asyncio.AbstractEventLoop,
        progress: Callable[[], None],
        resolver: Resolver,
    ) -> None:
        self.hop = hop
        self._progress = progress
        self._resolver = resolver
        self.inbox = Inbox(loop)
        self.tls = ""
        self.name = f"{hop.host}:{hop.port}"
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._room = asyncio.Event()
        self._room.set()

    # --- asyncio.Protocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        assert isinstance(transport, asyncio.Transport)
        _keep_alive(transport.get_extra_info("socket"))
        self._attach(transport)

    def data_received(self, data: bytes) -> None:
        """The peer speaks."""
        self.inbox.feed(data)

    def eof_received(self) -> None:
        """The peer has closed; the transport closes as well."""
        self.inbox.end(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Closed, by either side."""
        self.inbox.end(error)
        self._room.set()

    def pause_writing(self) -> None:
        """The peer takes no more for now."""
        self._room.clear()

    def resume_writing(self) -> None:
        """The peer takes more."""
        self._progress()
        self._room.set()

    # --- for the client ----------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Open, and the peer has not spoken unasked (a 421 before it closes, for one)."""
        return self.inbox.ended is None and not self.inbox.buffer

    @property
    def peer_certificate(self) -> bytes:
        """DER of the certificate that the peer has shown; empty without TLS."""
        secured = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        return b"" if secured is None else secured.getpeercert(binary_form=True) or b""

    async def connect(self) -> None:
        """Open the TCP connection. Raises WireError."""
        hop = self.hop
        try:
            async with asyncio.timeout(hop.timeouts.connect):
                await self._connect_to_any(await self._resolver.addresses(hop.host))
        except TimeoutError:
            raise WireError(f"{self.name}: no connection in time", "4.4.1") from None
        except socket.gaierror as error:
            text = f"{self.name}: cannot look up its address: {error.strerror}"
            raise WireError(text, "4.4.3") from error
        except UnicodeError as error:  # from the IDNA codec
            raise WireError(f"{self.name}: not a host name", "4.4.3") from error
        except OSError as error:
            words = error.strerror or str(error)
            raise WireError(f"{self.name}: cannot connect: {words}", "4.4.1") from error

    async def _connect_to_any(self, addresses: Sequence[Address]) -> None:
        """Raises the OSError of the last one tried."""
        fault: OSError = OSError("its name has no address")
        for address, family in addresses:
            try:
                await self._loop.create_connection(
                    lambda: self, address, self.hop.port, family=family
                )
            except OSError as error:
                fault = error
            else:
                return
        raise fault

    def send(self, data: bytes) -> None:
        """Write something short."""
        if self._transport is None or self.inbox.ended is not None:
            raise self._lost()
        self._transport.write(data)

    async def send_mail(self, data: bytes, end: bytes, before_end: Callable[[], None]) -> None:
        """Write something long and its end, at the pace of the peer. Raises WireError.

        When it raises, `end` was not handed over: the last slice is not waited for.
        before_end: called right before that slice.
        """
        last = max(0, len(data) - 1) // _SLICE * _SLICE
        for start in range(0, last, _SLICE):
            await self._wait_for_room()
            self.send(data[start : start + _SLICE])
        await self._wait_for_room()
        before_end()
        self.send(data[last:] + end)

    async def _wait_for_room(self) -> None:
        if self._room.is_set():
            return
        try:
            async with asyncio.timeout(self.hop.timeouts.data):
                await self._room.wait()
        except TimeoutError:
            raise WireError(f"{self.name}: the peer stopped taking data") from None
        if self.inbox.ended is not None:
            raise self._lost()

    async def reply(self, seconds: float) -> Reply:
        """The next reply. Raises WireError: none in time, connection lost, or not SMTP."""
        buffer = self.inbox.buffer
        lines: list[str] = []
        code = b""
        taken = 0
        deadline: asyncio.TimerHandle | None = None
        try:
            while True:
                end = buffer.find(b"\n")
                if end > _LINE_LIMIT or (end < 0 and len(buffer) > _LINE_LIMIT):
                    raise WireError(f"{self.name}: reply line of absurd length", "4.5.0")
                if end < 0:
                    if deadline is None:
                        deadline = self._loop.call_later(seconds, self._too_late)
                    try:
                        await self.inbox.more()
                    except TimeoutError:
                        raise WireError(f"{self.name}: no reply in time") from None
                    except (OSError, EOFError):
                        raise self._lost() from None
                    continue
                match = _REPLY_LINE.match(bytes(buffer[:end]).removesuffix(b"\r"))
                del buffer[: end + 1]
                taken += end
                if match is None or (code and match[1] != code):
                    raise WireError(f"{self.name}: the peer's reply is not SMTP", "4.5.0")
                if taken > _REPLY_LIMIT:
                    raise WireError(f"{self.name}: reply of absurd length", "4.5.0")
                code = match[1]
                lines.append(_NOT_PRINTABLE.sub("?", (match[3] or b"").decode("utf-8", "replace")))
                if match[2] != b"-":
                    self._progress()
                    return _reply(int(code), lines)
        finally:
            if deadline is not None:
                deadline.cancel()

    async def start_tls(self) -> None:
        """The handshake, after the peer's 220. Raises TlsError."""
        # What the peer, or somebody between, has said ahead of TLS is not to be believed
        # afterwards (the client's side of CVE-2011-0411).
        self.inbox.clear()
        assert self._transport is not None
        demand = self.hop.tls
        try:
            context = _context(self.hop.ca_file if demand is TlsDemand.VERIFIED else None)
            transport = await self._loop.start_tls(
                self._transport,
                self,
                context,
                server_hostname=self.hop.tls_name or self.hop.host,
                ssl_handshake_timeout=self.hop.timeouts.connect,
            )
            if transport is None:
                raise ConnectionResetError("closed during the handshake")
        except ssl.SSLCertVerificationError as error:
            self.inbox.end(error)
            raise TlsError(
                f"{self.name}: certificate not trusted: {error.verify_message}", "4.7.5"
            ) from error
        except (OSError, ValueError) as error:
            # ValueError: a name that can stand in no certificate.
            self.inbox.end(OSError("TLS failed"))
            words = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            raise TlsError(f"{self.name}: TLS handshake failed: {words}", "4.7.5") from error
        self._attach(transport)
        cipher = transport.get_extra_info("cipher") or ("",)
        self.tls = f"{transport.get_extra_info('ssl_object').version()} {cipher[0]}"
        if demand is TlsDemand.VERIFIED:
            self.tls += " verified"

    def close(self) -> None:
        """Close without a word."""
        self.inbox.end(None)
        if self._transport is not None:
            self._transport.abort()

    def quit(self) -> None:
        """Say QUIT and close; the answer is not waited for."""
        transport = self._transport
        if transport is None or self.inbox.ended is not None:
            self.close()
            return
        self.inbox.end(None)
        transport.write(b"QUIT\r\n")
        transport.close()

    def _attach(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.inbox.attach(transport)
        peername = transport.get_extra_info("peername")
        if peername:
            self.name = f"{self.hop.host}[{peername[0]}]:{self.hop.port}"

    def _too_late(self) -> None:
        self.inbox.end(TimeoutError())

    def _lost(self) -> WireError:
        return WireError(f"{self.name}: connection lost")


def _keep_alive(connection: socket.socket) -> None:
    """Notice within a minute and a quarter that the peer's machine is gone, or was started anew:
    the wait for a reply may be ten times as long, and nothing is sent meanwhile that would tell.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, 15),
        (socket.TCP_KEEPINTVL, 15),
        (socket.TCP_KEEPCNT, 4),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _reply(code: int, lines: list[str]) -> Reply:
    status = ""
    match = _ENHANCED.match(lines[0])
    # RFC 2034 §4: the class is that of the code, or it is no enhanced code.
    if match is not None and match[1] == str(code)[0]:
        status = match[0].rstrip()
        lines = [line.removeprefix(status).lstrip() for line in lines]
    return Reply(code, status, tuple(lines))


def _context(ca_file: str | None) -> ssl.SSLContext:
    """Client context; with `ca_file` the peer is checked against it, without it is not at all."""
    if ca_file is None:
        return _unverified()
    # Loading a file of CAs costs milliseconds, and a new one must be seen without a restart.
    return _verified(ca_file, Path(ca_file).stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _verified(ca_file: str, _modified: int) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks chain and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(ca_file)
    return context


@lru_cache(maxsize=1)
def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
