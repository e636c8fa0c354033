"""The lower half of a session: bytes, lines, replies, time limits, TLS. No SMTP verbs here.

aiosmtpd gives the protocol object. Its own reading of commands answers 500 to our faults,
cancels the handler when a client leaves, and lets time run out while a mail is coming in.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import ssl
import traceback
from typing import Any

import structlog
from aiosmtpd.smtp import SMTP

from gateway.database.room import is_full, reason_of
from gateway.errors import Refusal
from gateway.smtp import replies
from gateway.smtp.intake import House
from gateway.smtp.stream import Inbox

# Without a line end in so much, it is not SMTP that comes; ten times that ends the connection.
_GARBAGE_LIMIT = 64 * 1024

# So much more of a mail is a sign that its client gets on.
_MOVED = 16 * 1024

# Replies kept back for pipelined commands before the other connections get their turn.
_BATCH = 64


class Dialogue(SMTP):
    """Reads command lines and hands them to `obey`, which a subclass has."""

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        settings = house.settings
        super().__init__(
            None,
            data_size_limit=settings.max_size,
            enable_SMTPUTF8=True,
            hostname=settings.hostname,
            timeout=settings.timeout,
            loop=loop,
        )
        self.house = house
        self.settings = settings
        self.inbox = Inbox(loop)
        # Written to directly: the stock _writer stays with the connection in clear, and closes
        # it, TLS and all, when it is replaced and collected (Python 3.13).
        self.wire: asyncio.Transport | None = None
        self._room = asyncio.Event()
        self._room.set()
        self.ip = ""
        self.client_port = 0
        self.tls = ""
        self.relay: str | None = None
        self.accepting = False  # the client waits for us, not we for it
        self.ending = False
        self._handshaking = False
        self._out: list[str] = []
        self.taken = 0  # mails answered 250
        self._errors = 0
        self._fruitless = 0  # commands since the last mail that was taken
        self.unwelcome = False
        self.mute = True
        self._heard = self._begun = self._moved = loop.time()
        self._since_moved = 0

    def __dir__(self) -> list[str]:
        # aiosmtpd looks here for its verbs, with every new connection (0.3 ms): it shall find
        # none, so that no stock verb (AUTH in clear among them) can ever be reached.
        return []

    # --- for the subclass ----------------------------------------------------------------

    async def obey(self, line: bytes) -> None:
        """Do what a line without its line end says."""
        raise NotImplementedError

    @property
    def in_transaction(self) -> bool:
        """Whether a mail is on its way, from MAIL to the reply after the dot."""
        raise NotImplementedError

    def say(self, reply: str) -> None:
        """Answer. Replies to pipelined commands leave together (RFC 2920 §3.2)."""
        self._out.append(reply)

    def complain(self, reply: str) -> None:
        """Answer a protocol error, and count it. What the intake refuses is not one."""
        self._errors += 1
        self._out.append(reply)

    async def push(self, status: str | bytes) -> None:
        """Answer at once."""
        self._out.append(status if isinstance(status, str) else status.decode("ascii"))
        await self._flush()

    def answer(self, error: BaseException, **about: str) -> str:
        """The reply for an error, which is logged; one that is a fault of ours with its id.

        about: whose mail it was, for the log: sender, recipient.
        """
        if replies.speaks_for_itself(error):
            assert isinstance(error, Refusal)
            structlog.get_logger().info(
                "refused",
                code=error.code,
                status=error.status,
                reason=error.text,
                ip=self.ip,
                relay=self.relay,
                **about,
            )
            return replies.reply_for(error, "")
        return replies.reply_for(error, self._report(error))

    def _report(self, error: BaseException) -> str:
        incident = secrets.token_hex(5)
        if is_full(error):
            structlog.get_logger().error(
                "storage_full", incident=incident, ip=self.ip, reason=reason_of(error)
            )
            return incident
        # Text, not exc_info: some renderers print local variables, and one of them is the mail.
        trace = "".join(traceback.format_exception(error))
        structlog.get_logger().error(
            "smtp_internal_error", incident=incident, ip=self.ip, trace=trace
        )
        return incident

    def transaction_over(self) -> None:
        """A mail was taken or refused: the time limit for the next one starts."""
        self._begun = self._heard = self._moved = self.loop.time()

    # --- what the event loop calls -------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the dialogue."""
        assert isinstance(transport, asyncio.Transport)
        self.wire = transport
        self.inbox.attach(transport)
        peername = transport.get_extra_info("peername") or ("", 0)
        self.ip, self.client_port = _plain_ip(peername[0]), peername[1]
        super().connection_made(transport)  # starts _handle_client as a task

    def data_received(self, data: bytes) -> None:
        """Bytes came, and with them a sign of life."""
        self._heard = self.loop.time()
        self._since_moved += len(data)
        if self._since_moved > _MOVED:
            self._moved, self._since_moved = self._heard, 0
        self.inbox.feed(data)

    def eof_received(self) -> bool:
        """The client sends no more. What it sent in full is still answered, as Postfix does."""
        self.inbox.end(None)
        return not self.tls  # a TLS connection cannot stay half open

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone. The task ends by itself at its next read or write.

        The stock method cancels the task: for a client that leaves after the dot, that tore
        `accept` apart between the archive and the queue.
        """
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        self.inbox.end(error)
        self.wire = self.transport = None
        self._room.set()
        asyncio.StreamReaderProtocol.connection_lost(self, error)

    def pause_writing(self) -> None:
        """The client does not read our replies: it gets no more before it does."""
        self._room.clear()

    def resume_writing(self) -> None:
        """It reads again."""
        self._room.set()

    # --- time limits and the end ---------------------------------------------------------

    def _reset_timeout(self, duration: float | None = None) -> None:
        # Called by the stock connection_made; from there on the timer arms itself again: one
        # timer for the life of the connection, not one for each chunk.
        limits = self.settings.timeout, self.settings.transaction_timeout
        self._timeout_handle = self.loop.call_later(duration or min(limits), self._look_at_clock)

    def _look_at_clock(self) -> None:
        now = self.loop.time()
        silence = self._heard + self.settings.timeout - now
        whole = self._begun + self.settings.transaction_timeout - now
        if self.accepting:
            self._reset_timeout(self.settings.timeout)
        elif silence > 0 and whole > 0:
            self._reset_timeout(min(silence, whole))
        else:
            self.hang_up(replies.TIMEOUT if silence <= 0 else replies.TOO_SLOW)

    def hang_up(self, reply: str) -> None:
        """Say `reply` and close, from outside the dialogue."""
        self.ending = True
        self.inbox.end(None)
        transport = self.wire
        if transport is None or transport.is_closing():
            return
        if not self._handshaking:
            transport.write(reply.encode("ascii") + b"\r\n")
        if self._handshaking or transport.get_write_buffer_size():
            transport.abort()  # it does not read: closing would wait for it
        else:
            transport.close()

    def idle(self, now: float) -> float:
        """Seconds since the client got on: with a whole command, or with some kB of its mail."""
        return now - self._moved

    def stop(self) -> None:
        """The listener stops: an idle client hears so at once, another after its mail."""
        if not self.in_transaction:
            self.hang_up(replies.SHUTTING_DOWN)

    def cut(self) -> None:
        """The listener's patience is over."""
        self.ending = True
        self.inbox.end(None)
        if self.wire is not None:
            self.wire.abort()

    # --- the dialogue --------------------------------------------------------------------

    async def _handle_client(self) -> None:
        # In every line of this task and of those it starts: what was said to whom can be followed
        # from the connection to the archive id, which stands in all later lines of a mail.
        structlog.contextvars.bind_contextvars(session=secrets.token_hex(5))
        begun = self.loop.time()
        try:
            if await self._greet():
                await self._converse()
        except (OSError, EOFError):
            pass  # the client left or was cut off: an unfinished mail is forgotten
        except Exception as error:  # noqa: BLE001  # logged, and the connection ends
            self._report(error)
        finally:
            self.house.left(self)
            if self.relay is not None:
                structlog.get_logger().info(
                    "disconnected",
                    ip=self.ip,
                    mails=self.taken,
                    errors=self._errors,
                    seconds=round(self.loop.time() - begun, 3),
                )
            if self.wire is not None:
                self.wire.close()

    async def _greet(self) -> bool:
        if turned_away := self.house.arrived(self):
            structlog.get_logger().info("smtp_turned_away", ip=self.ip, reply=turned_away)
            await self.push(turned_away)
            return False
        try:
            self.relay = self.house.intake.admit(self.ip)
        except Exception as error:  # noqa: BLE001  # every fault of ours is a 4xx
            # The fault is ours and passes: not 554.
            await self.push(replies.CANNOT_SERVE.format(incident=self._report(error)))
            return False
        if self.relay is None:
            structlog.get_logger().info("smtp_peer_refused", ip=self.ip)
            self.unwelcome = True
            await self.push(replies.NO_SERVICE)
        else:
            structlog.get_logger().info(
                "connected", ip=self.ip, port=self.client_port, relay=self.relay
            )
            await self.push(replies.READY.format(hostname=self.settings.hostname))
        return True

    async def _converse(self) -> None:
        while not self.ending:
            line = await self._read_line()
            self._moved, self.mute = self._heard, False
            try:
                await self._understand(line)
            except Refusal as refusal:
                self.complain(self.answer(refusal))
            except (OSError, EOFError):
                raise
            except Exception as error:  # noqa: BLE001  # every fault of ours is a 4xx
                self.say(self.answer(error))
            if self._errors >= self.settings.max_errors and not self.ending:
                self.say(replies.TOO_MANY_ERRORS)
                self.ending = True
            elif self._fruitless >= self.settings.max_idle_commands and not self.ending:
                self.say(replies.TOO_MANY_COMMANDS)
                self.ending = True
            elif self.house.stopping and not self.in_transaction and not self.ending:
                self.say(replies.SHUTTING_DOWN)
                self.ending = True
            if len(self._out) >= _BATCH:
                await self._flush()
                await asyncio.sleep(0)
        await self._flush()

    async def _understand(self, line: bytes | None) -> None:
        if line is None:
            self.complain(replies.LINE_TOO_LONG)
        elif not line.endswith(b"\r\n"):
            self.complain(replies.BAD_LINE_END)
        else:
            await self.obey(line[:-2])

    async def _read_line(self) -> bytes | None:
        """A line with its line end; None for one of absurd length. Flushes before it waits."""
        buffer = self.inbox.buffer
        searched = dropped = 0
        while (end := buffer.find(b"\n", searched)) < 0:
            searched = len(buffer)
            if searched > _GARBAGE_LIMIT:
                dropped += searched
                if dropped > 10 * _GARBAGE_LIMIT:
                    self.hang_up(replies.TOO_MANY_ERRORS)
                buffer.clear()
                searched = 0
            await self._flush()
            await self.inbox.more()
        line = None if dropped else bytes(buffer[: end + 1])
        del buffer[: end + 1]
        return line

    async def _flush(self) -> None:
        if not self._out:
            return
        data = ("\r\n".join(self._out) + "\r\n").encode("ascii")
        self._out.clear()
        if self.wire is None:
            raise ConnectionResetError("connection lost")
        self.wire.write(data)
        await self._room.wait()

    async def secure(self, context: ssl.SSLContext) -> None:
        """Turn the connection to TLS, as the server. Raises OSError when that fails."""
        # Whatever came in one segment with STARTTLS was not protected: an attacker may have
        # put it there, to be obeyed as if it came over TLS (CVE-2024-34083, CVE-2011-0411).
        self.inbox.clear()
        if self.wire is None:
            raise ConnectionResetError("connection lost")
        self._handshaking = True
        try:
            transport = await self.loop.start_tls(
                self.wire,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self.settings.timeout,
            )
            if transport is None:  # the connection went away during the handshake
                raise ConnectionResetError("connection lost")
        except OSError as error:
            # Not connection_lost by itself: asyncio tells nobody of a failed handshake.
            self.connection_lost(error)
            structlog.get_logger().info("smtp_tls_failed", ip=self.ip, reason=_reason(error))
            raise
        finally:
            self._handshaking = False
        self.wire = self.transport = transport
        self.inbox.attach(transport)
        cipher = transport.get_extra_info("cipher") or ("",)
        self.tls = f"{transport.get_extra_info('ssl_object').version()} {cipher[0]}"


def _plain_ip(text: str) -> str:
    try:
        ip: Any = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def _reason(error: OSError) -> str:
    return (error.reason or "TLS") if isinstance(error, ssl.SSLError) else type(error).__name__
