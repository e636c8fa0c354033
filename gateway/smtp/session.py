"""One SMTP connection: the verbs of RFC 5321, from EHLO to QUIT."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

from gateway.errors import Refusal
from gateway.failpoint import failpoint
from gateway.mail import NOTHING_ASKED, RcptOptions, Submission
from gateway.smtp import replies
from gateway.smtp.data import DataScanner
from gateway.smtp.intake import House, Intake
from gateway.smtp.notify import MAIL_ADDS, RCPT_ADDS, together
from gateway.smtp.proving import AUTH_LIMIT, MAIL_AUTH_LENGTH, Proving, harmless
from gateway.smtp.room import NoRoom, Share
from gateway.smtp.stream import HIGH_WATER
from gateway.smtp.syntax import MailCommand, parse_mail, parse_rcpt

__all__ = ["Intake", "Session"]

# RFC 5321 §4.5.3.1.4, CRLF included.
COMMAND_LIMIT = 512

# Added by RFC 1870 §3 (SIZE), RFC 6152 §2 (BODY), RFC 6531 §3.4 (SMTPUTF8), RFC 3461 §5.4 (DSN).
# A constant: the stock limits belong to the class and grow with each EHLO, for everybody.
LIMITS = {
    "MAIL": COMMAND_LIMIT + 26 + 17 + 10 + MAIL_ADDS,
    "RCPT": COMMAND_LIMIT + RCPT_ADDS,
    "AUTH": AUTH_LIMIT,
    "XCLIENT": 2048,
}

# What may be said before STARTTLS where TLS is demanded (RFC 3207 §4).
BEFORE_TLS = frozenset({"EHLO", "HELO", "NOOP", "QUIT", "RSET", "STARTTLS"})

# What is no way to keep a connection busy for nothing: each is refused, counted, or leads on.
_BRINGS_MAIL = frozenset({"MAIL", "RCPT", "DATA", "AUTH", "STARTTLS", "QUIT"})

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")

# A page that somebody in a trusted network opens lets his browser send this, with a mail in its
# body: a dozen errors, and then the commands of whoever wrote the page. The line with the name of
# the host comes with every request, were the first one too long to be seen.
_HTTP = re.compile(rb"(?:[A-Z]{3,20} \S+ HTTP/\d(?:\.\d)?|host:.*)\Z", re.IGNORECASE)


class Session(Proving):
    """The server's side of one connection. The verbs' methods say or complain, never raise
    anything but Refusal (which counts as a protocol error) and what ends the connection."""

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(house, loop)
        self._verbs: dict[str, Callable[[str], Awaitable[None]]] = {
            "HELO": self._helo,
            "EHLO": self._ehlo,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": self._noop,
            "QUIT": self._quit,
            "VRFY": self._vrfy,
            "EXPN": self._expn,
            "HELP": self._help,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "XCLIENT": self._xclient,
        }
        self._extended = False
        self._may_follow = 0  # commands that may still come after a refusal
        self._share = Share(
            lambda: self.hang_up(replies.TOO_SLOW),
            lambda: self.inbox.ended is not None,
            lambda: len(self.inbox.buffer),
        )
        self._sender: MailCommand | None = None
        self._recipients: dict[str, RcptOptions] = {}  # in order, each once

    @property
    def in_transaction(self) -> bool:
        """Whether a mail is on its way, from MAIL to the reply after the dot."""
        return self._sender is not None

    async def obey(self, line: bytes) -> None:
        """Find the verb, check what holds for all verbs, do it."""
        if _CONTROL.search(line):
            self.complain(replies.BAD_CHARACTERS)
            return
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            self.complain(replies.BAD_CHARACTERS)
            return
        word, _, argument = text.partition(" ")
        verb = word.upper() if word.isascii() else ""  # "ı" would be an I there
        if verb not in self._verbs and _HTTP.match(line):
            self.complain(replies.NOT_HTTP)
            self.ending = True
        elif len(line) + 2 > self._limit(verb):
            self.complain(replies.LINE_TOO_LONG)
        elif verb not in self._verbs:
            self.complain(replies.UNKNOWN_COMMAND)
        elif self.relay is None and verb != "QUIT":
            self.complain(replies.ONLY_QUIT)
        elif self.settings.require_tls and not self.tls and verb not in BEFORE_TLS:
            self.complain(replies.NEED_TLS)
        else:
            if verb not in _BRINGS_MAIL:
                self._fruitless += 1
            await self._verbs[verb](argument.strip(" "))

    def _limit(self, verb: str) -> int:
        more = MAIL_AUTH_LENGTH if verb == "MAIL" and self._auth_offered() else 0
        return LIMITS.get(verb, COMMAND_LIMIT) + more

    # --- who ---------------------------------------------------------------------------------

    async def _helo(self, argument: str) -> None:
        if self._introduced("HELO", argument, extended=False):
            self.say(f"250 {self.settings.hostname}")

    async def _ehlo(self, argument: str) -> None:
        if not self._introduced("EHLO", argument, extended=True):
            return
        self.say(f"250-{self.settings.hostname}")
        self.say("250-PIPELINING")
        self.say(f"250-SIZE {self.settings.max_size}")
        self.say("250-8BITMIME")
        self.say("250-SMTPUTF8")
        self.say("250-DSN")
        self.say("250-ENHANCEDSTATUSCODES")
        if self.settings.tls is not None and not self.tls:
            self.say("250-STARTTLS")
        for offer in self._offers():
            self.say(f"250-{offer}")
        self.say("250 HELP")

    def _introduced(self, verb: str, name: str, *, extended: bool) -> bool:
        self._forget()
        if not name:
            self.complain(replies.NEED_NAME.format(command=verb))
            return False
        self._introduce(harmless(name), esmtp=extended)
        self._extended = extended
        return True

    async def _starttls(self, argument: str) -> None:
        if argument:
            self.complain(replies.NO_ARGUMENT)
        elif self.tls:
            self.complain(replies.TLS_ALREADY)
        elif self.settings.tls is None:
            self.complain(replies.TLS_UNAVAILABLE)
        else:
            # RFC 3207 §4.2: all that was said before is forgotten, the greeting too.
            self._forget()
            self._peer = None
            await self.push(replies.TLS_GO_AHEAD)
            await self.secure(self.settings.tls)
            self._secured()

    # --- a transaction -----------------------------------------------------------------------

    async def _mail(self, argument: str) -> None:
        peer = self._peer
        if peer is None:
            self.complain(replies.NEED_HELLO)
            return
        if self._sender is not None:
            self.complain(replies.NESTED_MAIL)
            return
        mail = parse_mail(argument, extended=self._extended, auth=self._auth_offered())
        if mail.size is not None and mail.size > self.settings.max_size:
            too_large = replies.refusal(replies.TOO_LARGE, limit=self.settings.max_size)
            self.say(self.answer(too_large, sender=mail.address))
            self._refused(too_large)
        elif self._allowed(
            lambda: self.house.intake.sender(peer, mail.address, mail.size), sender=mail.address
        ):
            self._sender = mail
            self._may_follow = 0
            self.say(replies.SENDER_OK)

    async def _rcpt(self, argument: str) -> None:
        mail, peer = self._sender, self._peer
        if mail is None or peer is None:
            self._out_of_order(replies.NEED_MAIL)
            return
        hostname = self.settings.hostname
        address, options = parse_rcpt(
            argument, extended=self._extended, smtputf8=mail.smtputf8, hostname=hostname
        )
        if address in self._recipients:
            self._recipients[address] = together(self._recipients[address], options)
            self.say(replies.RECIPIENT_OK)
        elif len(self._recipients) >= self.settings.max_recipients:
            too_many = replies.refusal(replies.TOO_MANY_RECIPIENTS)
            self.say(self.answer(too_many, sender=mail.address, recipient=address))
        elif self._allowed(
            lambda: self.house.intake.recipient(peer, mail.address, address),
            sender=mail.address,
            recipient=address,
        ):
            self._recipients[address] = options
            self.say(replies.RECIPIENT_OK)

    def _allowed(self, ask: Callable[[], None], **about: str) -> bool:
        """Ask the intake; say its refusal, or 451 if it fails. about: see `answer`."""
        try:
            ask()
        except Exception as error:  # noqa: BLE001  # a Refusal, or a fault of ours
            self.say(self.answer(error, **about))
            self._refused(error)
            return False
        return True

    def _out_of_order(self, reply: str) -> None:
        """Who pipelines (RFC 2920 §3.1) has sent RCPT and DATA before he heard that his MAIL, or
        all his RCPT, were refused: that is no error of his, unless it never ends."""
        if self._may_follow:
            self._may_follow -= 1
            self.say(reply)
        else:
            self.complain(reply)

    def _refused(self, error: Exception) -> None:
        """What is the client's doing brings it nearer to its end; that we are full does not."""
        self._may_follow = self.settings.max_recipients + 1
        self._fruitless += isinstance(error, Refusal) and error.code >= 500

    async def _data(self, argument: str) -> None:
        mail, peer = self._sender, self._peer
        if argument:
            self.complain(replies.NO_ARGUMENT)
        elif mail is None or peer is None:
            self._out_of_order(replies.NEED_MAIL)
        elif not self._recipients:
            self._out_of_order(replies.NEED_RCPT)
        else:
            await self.push(replies.SEND_DATA)
            try:
                raw = await self._read_mail()
                now = self.house.clock()
                to = tuple(self._recipients)
                asked = {a: o for a, o in self._recipients.items() if o != NOTHING_ASKED}
                await self._take(Submission(raw, mail.address, to, peer, now, mail.kept, asked))
            except Refusal as refusal:
                self.say(self.answer(refusal, sender=mail.address))
                self._refused(refusal)
            finally:
                # Taken or refused, the transaction is over (RFC 5321 §4.1.1.4).
                self._forget()
                self.house.room.leave(self._share)
                self.transaction_over()

    async def _read_mail(self) -> bytes:
        scanner = DataScanner(self.settings.max_size, self.settings.max_line)
        buffer = self.inbox.buffer
        while not scanner.scan(buffer):
            if len(buffer) > max(HIGH_WATER, self._share.room):
                try:
                    await self.house.room.enter(self._share, self._expected(len(buffer)))
                    continue  # while we waited, all the rest may have come
                except NoRoom:
                    self.hang_up(replies.TOO_MANY_LARGE)
            await self.inbox.more()
        return scanner.content()

    def _expected(self, size: int) -> int:
        """Octets that the mail may come to: as announced (RFC 1870), if that still holds."""
        said = None if self._sender is None else self._sender.size
        # Doubled dots and the end are not in what was said.
        room = self.settings.max_size if said is None else said + said // 32 + HIGH_WATER
        return max(size, room if size <= room else self.settings.max_size * 4 // 3)

    async def _take(self, submission: Submission) -> None:
        """Hand the mail over and say how it went."""
        task = self.loop.create_task(self._accept(submission))
        self.house.keep(task)
        self.accepting = True
        try:
            # wait() lets the task run on when it is itself cancelled: accept is whole or not
            # at all, whatever the client or the listener does meanwhile.
            await asyncio.wait((task,))
        finally:
            self.accepting = False
        reply = task.result()
        if reply.startswith("250"):
            self.taken += 1
            self._fruitless = 0
            await self.push(reply)
            failpoint("accept.replied")
        else:
            self.say(reply)

    async def _accept(self, submission: Submission) -> str:
        """The reply after the dot, whatever happens."""
        try:
            archive_id = await self.house.intake.accept(submission)
            failpoint("accept.replying")
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
            # A Refusal, or a fault of ours. Cancelled inside: nobody knows whether it was
            # committed, so the client must come again (I2: that is then a second mail).
            return self.answer(error, sender=submission.mail_from)
        return replies.ACCEPTED.format(id=archive_id)

    def _forget(self) -> None:
        self._sender = None
        self._recipients.clear()

    # --- the rest ------------------------------------------------------------------------------

    async def _rset(self, argument: str) -> None:
        if argument:
            self.complain(replies.NO_ARGUMENT)
        else:
            self._forget()
            self.say(replies.DONE)

    async def _quit(self, argument: str) -> None:
        if argument:
            self.complain(replies.NO_ARGUMENT)
        else:
            self.say(replies.BYE)
            self.ending = True

    async def _noop(self, _argument: str) -> None:
        self.say(replies.DONE)

    async def _vrfy(self, argument: str) -> None:
        if argument:
            self.say(replies.CANNOT_VERIFY)  # RFC 5321 §7.3: nobody learns who exists
        else:
            self.complain(replies.NEED_VRFY)

    async def _expn(self, _argument: str) -> None:
        self.complain(replies.NOT_IMPLEMENTED)

    async def _help(self, _argument: str) -> None:
        hidden = self._hidden()
        known = " ".join(verb for verb in self._verbs if verb not in hidden)
        self.say(replies.HELP.format(commands=known))
