"""One SMTP connection."""

from __future__ import annotations

from typing import Protocol

from gateway.mail import Peer, Submission


class Intake(Protocol):
    """What the session asks of the gateway. All but `accept` must answer at once (no I/O)."""

    def admit(self, ip: str) -> str | None:
        """Name of the relay entry that covers this network; None: nobody vouches for it."""
        ...

    def sender(self, peer: Peer, mail_from: str, size: int | None) -> None:
        """MAIL: may it send? size: what SIZE= announced (RFC 1870). Raises Refusal."""
        ...

    def recipient(self, peer: Peer, mail_from: str, rcpt_to: str) -> None:
        """RCPT: is this recipient taken? Raises Refusal."""
        ...

    async def accept(self, submission: Submission) -> str:
        """Take responsibility for the mail; the archive id, once it is committed durably (I1).

        Runs to its end even when the client is gone. Raises Refusal; anything else is 451.
        """
        ...
