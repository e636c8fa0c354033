"""What a session asks when somebody wants to prove who he is."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from gateway.mail import Identity
from gateway.smtp.sasl import Credentials


class Proofs(Protocol):
    """The gateway's judgement of identities. Each method but `trusts_xclient` may raise Refusal."""

    @property
    def offers_auth(self) -> bool:
        """Whether somebody could log in at all: then AUTH is offered, over TLS."""
        ...

    async def log_in(self, credentials: Credentials, ip: str, moment: datetime) -> Identity:
        """AUTH: whose name and password these are. The one place that may ask the network."""
        ...

    def of_certificate(self, der: bytes, moment: datetime) -> Identity | None:
        """The owner of a client certificate that the TLS handshake has verified; None: nobody
        known. At once, no network.
        """
        ...

    def trusts_xclient(self, relay: str) -> bool:
        """Whether the machines of this relay entry may say for whom they speak (XCLIENT)."""
        ...

    async def of_login(self, login: str) -> Identity:
        """XCLIENT LOGIN: the identity of somebody whom a trusted front end has let in."""
        ...
