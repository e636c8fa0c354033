"""The part of a session in which the other side proves who it is: AUTH, XCLIENT, certificates."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import ssl
from dataclasses import replace

import structlog

from gateway.errors import Refusal
from gateway.mail import Identity, Peer
from gateway.smtp import replies, xclient
from gateway.smtp.dialogue import Dialogue
from gateway.smtp.intake import House
from gateway.smtp.sasl import MECHANISMS, Credentials, Exchange, SaslFault

# RFC 4954 §4: of an AUTH line and of a response, CRLF included.
AUTH_LIMIT = 12_288

# RFC 4954 §3 adds this to MAIL, for its AUTH parameter.
MAIL_AUTH_LENGTH = 500

# Wrong passwords on one connection; the throttle counts beyond it.
_TRIES = 3

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._:\[\]-]")


class Proving(Dialogue):
    """Knows who the peer is said to be, and by whom."""

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(house, loop)
        self._peer: Peer | None = None  # None: nobody has said EHLO
        self._identity: Identity | None = None
        self._wrong = 0
        # What XCLIENT said. _front: address, port and relay entry of the machine itself.
        self._front: tuple[str, int, str] | None = None
        self._told_helo = ""
        self._told_esmtp: bool | None = None

    # --- for the verbs of the session -----------------------------------------------------------

    def _introduce(self, helo: str, *, esmtp: bool) -> None:
        front_ip, _, via = self._front or ("", 0, "")
        self._peer = Peer(
            ip=self.ip,
            port=self.client_port,
            helo=self._told_helo or helo,
            tls=self.tls,
            relay=self.relay or "",
            identity=self._identity,
            via=via,
            via_ip=front_ip,
            esmtp=esmtp if self._told_esmtp is None else self._told_esmtp,
        )

    def _offers(self) -> list[str]:
        """What EHLO announces of this, for this peer."""
        proofs = self.house.proofs
        if proofs is None:
            return []
        offers = []
        if proofs.offers_auth and self.tls and not self._logged_in():
            offers.append(f"AUTH {' '.join(MECHANISMS)}")
        if proofs.trusts_xclient(self._own_relay()):
            offers.append(f"XCLIENT {' '.join(xclient.ATTRIBUTES)}")
        return offers

    def _hidden(self) -> set[str]:
        """Verbs that this peer need not know of."""
        return {"AUTH", "XCLIENT"} - {offer.partition(" ")[0] for offer in self._offers()}

    def _auth_offered(self) -> bool:
        return self.house.proofs is not None and self.house.proofs.offers_auth

    def _secured(self) -> None:
        """TLS is up: forget all that was proved in clear, where anybody could have said it."""
        if self._front is not None:
            self.ip, self.client_port, self.relay = self._front
        self._front, self._told_helo, self._told_esmtp = None, "", None
        self._peer = self._identity = None
        proofs = self.house.proofs
        if proofs is None or self.wire is None:
            return
        session = self.wire.get_extra_info("ssl_object")
        der = session.getpeercert(binary_form=True)
        # Without verification a certificate is a claim of whoever copied it.
        if der and session.context.verify_mode is not ssl.CERT_NONE:
            try:
                self._identity = proofs.of_certificate(der, self.house.clock())
            except Exception as error:  # noqa: BLE001
                # Not told: nobody has asked, and a reply now would be taken for that to EHLO.
                self._report(error)

    # --- AUTH (RFC 4954) ------------------------------------------------------------------------

    async def _auth(self, argument: str) -> None:
        proofs = self.house.proofs
        name, _, initial = argument.partition(" ")
        mechanism = MECHANISMS.get(name.upper())
        if proofs is None or not proofs.offers_auth:
            self.complain(replies.UNKNOWN_COMMAND)
        elif not self.tls:
            self.complain(replies.AUTH_NEEDS_TLS)
        elif self._peer is None or not self._peer.esmtp:
            self.complain(replies.NEED_HELLO)
        elif self.in_transaction:
            self.complain(replies.AUTH_IN_MAIL)
        elif self._logged_in():
            self.complain(replies.AUTH_TWICE)
        elif not name or " " in initial:
            self.complain(replies.AUTH_SYNTAX)
        elif mechanism is None:
            self.complain(replies.AUTH_UNKNOWN)
        else:
            credentials = await self._exchange(mechanism(), initial)
            if credentials is not None:
                await self._log_in(credentials)

    def _logged_in(self) -> bool:
        """By AUTH or XCLIENT; a certificate may still be followed by AUTH."""
        return self._identity is not None and self._identity.method != "client-certificate"

    async def _exchange(self, exchange: Exchange, initial: str) -> Credentials | None:
        """Challenges and responses to their end; None: a fault, which was answered."""
        try:
            challenge = next(exchange)
            response = _decoded(initial.encode()) if initial else None
            while True:
                if response is None:
                    response = await self._response(challenge)
                challenge = exchange.send(response)
                response = None
        except StopIteration as end:
            found: Credentials = end.value
            return found
        except SaslFault:
            self.complain(replies.AUTH_INVALID)
            self._failed()
        except Refusal as refusal:
            self.complain(self.answer(refusal))
        finally:
            exchange.close()
        return None

    async def _response(self, challenge: bytes) -> bytes:
        """Raises Refusal for a line that is none, and for "*" (RFC 4954 §4: cancelled)."""
        await self.push(f"334 {base64.b64encode(challenge).decode('ascii')}")
        line = await self._read_line()
        if line is None or len(line) > AUTH_LIMIT:
            raise replies.refusal(replies.AUTH_LINE_TOO_LONG)
        if not line.endswith(b"\r\n"):
            raise replies.refusal(replies.BAD_LINE_END)
        if line == b"*\r\n":
            raise replies.refusal(replies.AUTH_CANCELLED)
        return _decoded(line[:-2])

    async def _log_in(self, credentials: Credentials) -> None:
        proofs, peer = self.house.proofs, self._peer
        assert proofs is not None
        assert peer is not None
        self.accepting = True  # the client waits for us: it is not idle
        try:
            identity = await proofs.log_in(credentials, self.ip, self.house.clock())
        except Exception as error:  # noqa: BLE001  # a Refusal, or a fault of ours
            self.say(self.answer(error))
            if isinstance(error, Refusal) and error.code == 535:
                self._failed()
        else:
            self._identity = identity
            self._peer = replace(peer, identity=identity)
            self.say(replies.AUTH_DONE)
        finally:
            self.accepting = False
            self.transaction_over()

    def _failed(self) -> None:
        self._wrong += 1
        if self._wrong >= _TRIES:
            self.say(replies.TOO_MANY_ERRORS)
            self.ending = True

    # --- XCLIENT (Postfix XCLIENT_README) ---------------------------------------------------------

    async def _xclient(self, argument: str) -> None:
        proofs = self.house.proofs
        own = self._own_relay()
        if proofs is None:
            self.complain(replies.UNKNOWN_COMMAND)
        elif not proofs.trusts_xclient(own):
            self.complain(replies.XCLIENT_FORBIDDEN)
        elif self.in_transaction:
            self.complain(replies.XCLIENT_IN_MAIL)
        else:
            try:
                says = xclient.parse(argument)
            except ValueError:
                self.complain(replies.XCLIENT_SYNTAX)
                return
            # Until all of it is known to be right, nobody is let in.
            self._peer = None
            front = self._front or (self.ip, self.client_port, own)
            try:
                await self._speak_for(says, front)
            except Exception as error:  # noqa: BLE001  # a Refusal, or a fault of ours
                self._identity, self.relay = None, ""
                self.say(self.answer(error))
                return
            if self.relay is None:
                self.say(replies.NO_SERVICE)
            else:
                self.say(replies.READY.format(hostname=self.settings.hostname))

    async def _speak_for(self, says: xclient.FrontSays, front: tuple[str, int, str]) -> None:
        """Take over what the front end says. Nothing of its own rights goes to its client."""
        proofs = self.house.proofs
        assert proofs is not None
        first = self._front is None
        self._front = front
        if first or says.ip is not None:
            # Another client: what was said of the one before is over.
            self._identity, self._told_helo, self._told_esmtp = None, "", None
            self.relay = ""
        if says.ip is not None:
            self.ip = says.ip or front[0]
            self.client_port = says.port or 0
            if says.ip:
                self.relay = self.house.intake.admit(says.ip)
        if says.helo is not None:
            self._told_helo = harmless(says.helo)
        if says.esmtp is not None:
            self._told_esmtp = says.esmtp
        if says.login is not None:
            self._identity = None
            if says.login:
                self._identity = await proofs.of_login(says.login)
                self.relay = self.relay or ""
        structlog.get_logger().info(
            "xclient",
            relay=front[2],
            ip=self.ip,
            login=self._identity.name if self._identity else "",
        )

    def _own_relay(self) -> str:
        """The relay entry of the machine itself, whatever it says of its client."""
        return self._front[2] if self._front is not None else self.relay or ""


def _decoded(text: bytes) -> bytes:
    """Base64 as RFC 4954 §4 wants it; "=" is an empty initial response. Raises Refusal."""
    if text == b"=":
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise replies.refusal(replies.AUTH_BASE64) from None


def harmless(name: str) -> str:
    """A name that a peer gives: it goes into a Received field, where nothing may end one."""
    return _NOT_IN_NAMES.sub("?", name)[:255]
