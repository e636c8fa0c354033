"""SMTP client with connection reuse: one outcome for each recipient, always."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.smtp.nexthop import NextHop, Outcome, Result, Timeouts, TlsDemand

__all__ = ["Deliverer", "NextHop", "Outcome", "Result", "Timeouts", "TlsDemand"]


class Deliverer:
    """Delivers mails, keeping connections open for the next one. One event loop only.

    max_connections_per_hop: further deliveries to that hop wait for their turn.
    idle_seconds: an unused connection gets QUIT after this time.
    """

    def __init__(self, max_connections_per_hop: int = 20, idle_seconds: float = 30.0) -> None:
        raise NotImplementedError

    async def deliver(
        self,
        hop: NextHop,
        mail_from: str,
        recipients: Sequence[str],
        data: bytes,
        *,
        eight_bit: bool,
        smtputf8: bool,
        on_dot_sent: Callable[[], None] | None = None,
    ) -> list[Outcome]:
        """Deliver one mail to `recipients`; outcomes in their order. Never raises for the peer.

        mail_from: "" is the null sender. data: with CRLF line ends, not dot-stuffed.
        eight_bit: the mail has octets over 127; smtputf8: addresses or headers have (RFC 6531).
        on_dot_sent: called once, right after the final dot was handed to the connection and
            before the reply is awaited: from here on the peer may have the mail.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Say QUIT on idle connections; running deliveries end by themselves."""
        raise NotImplementedError
