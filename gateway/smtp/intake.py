"""What a session needs from others: the gateway's judgement, and what its listener shares."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, Protocol

from gateway.mail import Peer, Submission
from gateway.smtp.proofs import Proofs
from gateway.smtp.room import Room
from gateway.smtp.settings import ListenSettings


class Intake(Protocol):
    """What the session asks of the gateway. All but `accept` must answer at once (no I/O).

    Each may raise Refusal, which becomes its own reply; any other exception becomes 451 with an
    id that stands in the log.
    """

    def admit(self, ip: str) -> str | None:
        """Name of the relay entry that covers this network; "": none does, but whoever is there
        may prove who he is; None: nobody vouches for it.

        The last gets 554 5.7.1 in place of the greeting: Postfix then keeps the mail
        and says why in its queue, while 550 at MAIL would bounce it for an oversight.
        """
        ...

    def sender(self, peer: Peer, mail_from: str, size: int | None) -> None:
        """MAIL: may it send? size: what SIZE= announced (RFC 1870). Raises Refusal."""
        ...

    def recipient(self, peer: Peer, mail_from: str, rcpt_to: str) -> None:
        """RCPT: is this recipient taken? Raises Refusal."""
        ...

    async def accept(self, submission: Submission) -> str:
        """Take responsibility for the mail; the archive id, once it is committed durably (I1).

        Runs to its end even when the client is gone. Raises Refusal.
        """
        ...


class House(Protocol):
    """What the sessions of one listener share (`listener.py` implements it)."""

    @property
    def settings(self) -> ListenSettings:
        """Limits."""
        ...

    @property
    def intake(self) -> Intake:
        """The gateway's judgement."""
        ...

    @property
    def proofs(self) -> Proofs | None:
        """The judgement of identities; None: a relay's network is the only proof there is."""
        ...

    @property
    def stopping(self) -> bool:
        """No new transaction may begin."""
        ...

    def clock(self) -> datetime:
        """The time, aware UTC."""
        ...

    def arrived(self, session: Any) -> str:
        """A connection was made; the reply that turns it away, or ""."""
        ...

    def left(self, session: Any) -> None:
        """The task of a session has ended."""
        ...

    @property
    def room(self) -> Room:
        """Room in memory for large mails."""
        ...

    def keep(self, task: asyncio.Task[str]) -> None:
        """Hold on to an `accept` until it has ended, whatever becomes of its session."""
        ...
