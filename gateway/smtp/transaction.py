"""The client's dialogue: greeting, and one mail from MAIL to the reply after the dot."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from gateway.smtp.data import double_dots, unsafe_octets
from gateway.smtp.lookup import Resolver
from gateway.smtp.nexthop import NextHop, Outcome, Result, TlsDemand
from gateway.smtp.syntax import is_mailbox
from gateway.smtp.wire import Reply, Wire, WireError
from gateway.smtp.wishes import NO_WISHES, Wishes

# Postfix: "250 2.0.0 Ok: queued as 4F1C2", Exim: "250 OK id=1abc"
_QUEUED_AS = re.compile(r"(?:queued as |\bid=)([A-Za-z0-9.@_-]{1,100})")


_NO_SMTPUTF8 = ("5.6.7", "the mail needs SMTPUTF8, which the next hop does not offer")


class Stale(Exception):  # a fact that leads to a second try, not an error
    """A reused connection ended before the peer took anything of the mail."""


@dataclass(frozen=True, slots=True)
class Mail:
    """What is to be delivered (see `Deliverer.deliver`)."""

    mail_from: str
    recipients: tuple[str, ...]
    data: bytes
    eight_bit: bool
    smtputf8: bool
    on_dot_sent: Callable[[], None] | None
    before_dot: Callable[[], None]
    wishes: Wishes = NO_WISHES


class Greeted(Wire):
    """A connection on which EHLO was answered."""

    extensions: dict[str, str]


async def greet(
    hop: NextHop,
    progress: Callable[[], None],
    *,
    allow_tls: bool,
    resolver: Resolver | None = None,
) -> Greeted:
    """Connect, hear the greeting, say EHLO, and STARTTLS as the hop demands.

    progress: see `Wire`. resolver: shared with others who connect, None for whoever is alone.
    allow_tls: False leaves STARTTLS out (never for VERIFIED).
    Raises WireError, TlsError.
    """
    wire = Greeted(hop, asyncio.get_running_loop(), progress, resolver or Resolver())
    try:
        await wire.connect()
        greeting = await wire.reply(hop.timeouts.greeting)
        if greeting.code != 220:
            raise _refused_us(wire, greeting)
        await _hello(wire)
        if hop.tls is not TlsDemand.NONE and allow_tls:
            await _negotiate_tls(wire)
    except BaseException:
        wire.close()
        raise
    return wire


async def _hello(wire: Greeted) -> None:
    seconds = wire.hop.timeouts.command
    wire.send(f"EHLO {wire.hop.ehlo_name}\r\n".encode("ascii"))
    reply = await wire.reply(seconds)
    wire.extensions = {}
    if reply.code == 250:
        for line in reply.lines[1:]:
            name, _, value = line.partition(" ")
            wire.extensions[name.upper()] = value
        return
    if reply.code == 421:
        raise _refused_us(wire, reply)
    # RFC 5321 §4.1.4: a server of old knows HELO alone.
    wire.send(f"HELO {wire.hop.ehlo_name}\r\n".encode("ascii"))
    reply = await wire.reply(seconds)
    if reply.code != 250:
        raise _refused_us(wire, reply)


async def _negotiate_tls(wire: Greeted) -> None:
    demanded = wire.hop.tls is TlsDemand.VERIFIED
    if "STARTTLS" not in wire.extensions:
        if demanded:
            raise WireError(
                f"{wire.name}: verified TLS is demanded, but the peer does not offer STARTTLS "
                "(or somebody on the way removed the offer)",
                "4.7.4",
            )
        return
    wire.send(b"STARTTLS\r\n")
    reply = await wire.reply(wire.hop.timeouts.command)
    if reply.code == 220:
        await wire.start_tls()
        # RFC 3207 §4.2: what was said before TLS is forgotten.
        await _hello(wire)
    elif demanded:
        raise WireError(
            f"{wire.name}: verified TLS is demanded, but STARTTLS was refused: {reply.text}",
            "4.7.4",
        )


def _refused_us(wire: Wire, reply: Reply) -> WireError:
    # A 5xx here is about the connection, not about the mail: it is tried again, as Postfix does.
    status = "4" + reply.status[1:] if reply.status else "4.3.2"
    return WireError(f"{wire.name}: refused to talk to us: {reply.text}", status, reply.code)


def refuse_here(mail: Mail, hop: NextHop) -> list[Outcome]:
    """Outcomes for a mail that must not go out at all; [] if it may."""
    host = f"{hop.host}:{hop.port}"
    if mail.mail_from and not is_mailbox(mail.mail_from):
        return _all(mail, "5.1.7", "the sender's address cannot be used in SMTP", host)
    if unsafe_octets(mail.data):
        # A server behind may take a bare CR or LF for the end of a line, and a line with a dot
        # for the end of the mail: what follows would then be a mail of the author's making.
        text = "the mail has a bare CR, a bare LF or a NUL and cannot be sent over SMTP"
        return _all(mail, "5.6.0", text, host)
    return []


def _all(mail: Mail, status: str, text: str, host: str, tls: str = "") -> list[Outcome]:
    return [
        Outcome(address, Result.PERMANENT, 0, status, text, host, tls)
        for address in mail.recipients
    ]


class Transaction:
    """One mail on one connection. `reusable` afterwards: the connection can take another."""

    def __init__(self, wire: Greeted, mail: Mail, *, reused: bool) -> None:
        self.reusable = True
        self._wire = wire
        self._mail = mail
        self._reused = reused
        self._heard = False  # the peer has said something about this mail
        self._dot_sent = False
        self._dsn = "DSN" in wire.extensions
        self._outcomes: dict[int, Outcome] = {}  # by position in recipients
        self._taken: list[int] = []  # recipients the peer said 250 to

    async def run(self) -> list[Outcome]:
        """Outcomes in the order of recipients. Raises Stale."""
        if lacking := self._lacking():
            return _all(self._mail, *lacking, self._wire.name, self._wire.tls)
        for i, address in enumerate(self._mail.recipients):
            # What cannot stand in angle brackets never reaches the wire: a CR, LF, space or ">"
            # in an address would be a command or a parameter (GHSA-v3q9-hj7j-63hq).
            if not is_mailbox(address):
                text = "the address cannot be used in SMTP"
                self._settle(i, Result.PERMANENT, 0, "5.1.3", text)
            elif not address.isascii() and "SMTPUTF8" not in self._wire.extensions:
                self._settle(i, Result.PERMANENT, 0, *_NO_SMTPUTF8)
        try:
            if len(self._outcomes) < len(self._mail.recipients):
                await self._dialogue()
        except WireError as error:
            self.reusable = False
            if self._reused and not self._heard and not self._dot_sent:
                raise Stale from error
            for i in self._open():
                self._settle(i, Result.TEMPORARY, error.code, error.status, str(error))
        return [self._outcomes[i] for i in range(len(self._mail.recipients))]

    def _lacking(self) -> tuple[str, str] | None:
        """What this mail needs and the peer does not have."""
        mail, offered = self._mail, self._wire.extensions
        if (mail.smtputf8 or not mail.mail_from.isascii()) and "SMTPUTF8" not in offered:
            return _NO_SMTPUTF8
        if mail.eight_bit and "8BITMIME" not in offered:
            return "5.6.3", "the mail has 8-bit data, and the next hop does not offer 8BITMIME"
        limit = offered.get("SIZE", "")
        if limit.isdecimal() and 0 < int(limit) < len(mail.data):
            return "5.3.4", f"the mail exceeds the next hop's size limit of {limit} octets"
        return None

    async def _dialogue(self) -> None:
        commands = [self._mail_command()]
        addressed = self._open()
        commands += [self._rcpt_command(self._mail.recipients[i]) for i in addressed]
        if "PIPELINING" in self._wire.extensions:
            # RFC 2920 §3.1: DATA ends the group, the mail waits for the 354.
            self._wire.send(b"".join(commands) + b"DATA\r\n")
            accepted = self._hear_sender(await self._hear())
            for i in addressed:
                self._hear_recipient(i, await self._hear())
            data_reply = await self._hear()
        else:
            self._wire.send(commands[0])
            accepted = self._hear_sender(await self._hear())
            for i, command in zip(addressed if accepted else (), commands[1:], strict=False):
                self._wire.send(command)
                self._hear_recipient(i, await self._hear())
            if not accepted or not self._taken:
                await self._reset()
                return
            self._wire.send(b"DATA\r\n")
            data_reply = await self._hear()
        if data_reply.code < 400 and data_reply.code != 354:
            # 250 to DATA: nothing was sent, so nothing may count as delivered.
            raise WireError(f"{self._wire.name}: the peer's reply is not SMTP", "4.5.0")
        if data_reply.code != 354:
            for i in self._open():
                self._settle_by(i, data_reply)
            await self._reset()
        elif self._taken:
            await self._send_mail()
        elif not accepted:
            self.reusable = False  # 354 without a sender: where this peer stands nobody knows
        else:
            # RFC 2920 §3.1: 354 although nobody is left to get it; an empty mail goes nowhere.
            self._wire.send(b".\r\n")
            await self._hear()

    def _mail_command(self) -> bytes:
        mail, offered = self._mail, self._wire.extensions
        command = f"MAIL FROM:<{mail.mail_from}>"
        if "SIZE" in offered:
            command += f" SIZE={len(mail.data)}"
        if mail.eight_bit:
            command += " BODY=8BITMIME"
        if mail.smtputf8 or not command.isascii() or not all(map(str.isascii, mail.recipients)):
            command += " SMTPUTF8"
        if self._dsn:
            command += mail.wishes.of_mail()
        return command.encode() + b"\r\n"

    def _rcpt_command(self, address: str) -> bytes:
        wishes = self._mail.wishes.of_recipient(address) if self._dsn else ""
        return f"RCPT TO:<{address}>{wishes}\r\n".encode()

    async def _hear(self) -> Reply:
        reply = await self._wire.reply(self._wire.hop.timeouts.command)
        if reply.code == 421 and not self._heard:
            # The peer ends an idle connection just now.
            raise WireError(f"{self._wire.name}: {reply.text}", reply.status or "4.3.2", 421)
        self._heard = True
        return reply

    def _hear_sender(self, reply: Reply) -> bool:
        if 200 <= reply.code <= 299:
            return True
        for i in self._open():
            self._settle_by(i, reply)
        return False

    def _hear_recipient(self, i: int, reply: Reply) -> None:
        if i in self._outcomes:  # MAIL was refused, and that is the reason that counts
            return
        if 200 <= reply.code <= 299:
            self._taken.append(i)
        else:
            self._settle_by(i, reply)

    async def _send_mail(self) -> None:
        wire = self._wire
        try:
            await wire.send_mail(double_dots(self._mail.data), b".\r\n", self._mail.before_dot)
        except WireError:
            await self._hear_early()
            raise
        self._dot_sent = True
        if self._mail.on_dot_sent is not None:
            self._mail.on_dot_sent()
        try:
            reply = await wire.reply(wire.hop.timeouts.dot)
            if 300 <= reply.code <= 399:
                raise WireError(f"{wire.name}: the peer's reply is not SMTP", "4.5.0")
        except WireError as error:
            # RFC 5321 §4.5.4.1 and RFC 1047: it may have been taken. Trying again may make a
            # duplicate, not trying again may lose the mail.
            self.reusable = False
            text = f"{error}, after the end of the mail was sent: the peer may have it"
            for i in self._open():
                self._settle(i, Result.TEMPORARY, 0, error.status, text, uncertain=True)
            return
        for i in self._open():
            self._settle_by(i, reply)

    async def _hear_early(self) -> None:
        """The peer gave up in the middle of the mail; if it said why, that is what counts."""
        try:
            reply = await self._wire.reply(0)
        except WireError:
            return
        if reply.code >= 400:
            for i in self._open():
                self._settle_by(i, reply)

    async def _reset(self) -> None:
        """End a transaction that came to nothing, so that the connection can take the next."""
        self._wire.send(b"RSET\r\n")
        reply = await self._wire.reply(self._wire.hop.timeouts.command)
        self.reusable = reply.code == 250

    def _open(self) -> list[int]:
        return [i for i in range(len(self._mail.recipients)) if i not in self._outcomes]

    def _settle_by(self, i: int, reply: Reply) -> None:
        """RFC 5321 §4.2.1: the first digit decides, whatever the rest says."""
        digit = reply.code // 100
        if digit == 2:
            result, status = Result.DELIVERED, "2.0.0"
        elif digit == 5:
            result, status = Result.PERMANENT, "5.0.0"
        else:  # 4yz; 3yz where none may be is trouble with the peer, not with the mail
            result, status = Result.TEMPORARY, "4.0.0"
        if reply.code == 421 or digit == 3:
            self.reusable = False
        self._settle(i, result, reply.code, reply.status or status, reply.text, said=reply.said)

    def _settle(
        self,
        i: int,
        result: Result,
        code: int,
        status: str,
        text: str,
        *,
        uncertain: bool = False,
        said: str = "",
    ) -> None:
        queued = _QUEUED_AS.search(text) if result is Result.DELIVERED else None
        self._outcomes[i] = Outcome(
            self._mail.recipients[i],
            result,
            code,
            status,
            text,
            self._wire.name,
            self._wire.tls,
            queued[1] if queued else "",
            uncertain,
            said,
            self._dsn,
        )
