"""The sessions' questions about identities, answered by the parts of this package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from gateway.mail import Identity
from gateway.senders.clients import Clients
from gateway.senders.logins import Logins
from gateway.smtp.sasl import Credentials
from pki.errors import PkiError
from pki.path import Material

log = structlog.get_logger()


@dataclass
class SenderProofs:
    """See `gateway.smtp.proofs.Proofs`.

    material: the CRLs in force. fronts: names of the relay entries that may say XCLIENT.
    """

    logins: Logins
    clients: Clients
    material: Callable[[], Material]
    fronts: frozenset[str]
    offers_auth: bool

    async def log_in(self, credentials: Credentials, ip: str, moment: datetime) -> Identity:
        """Raises Refusal."""
        return await self.logins.check(credentials.login, credentials.password, ip, moment)

    def of_certificate(self, der: bytes, moment: datetime) -> Identity | None:
        """None, and a line in the log, for a certificate that proves nothing here."""
        try:
            identity = self.clients.identify(der, self.material(), moment)
        except PkiError as error:
            log.warning("client_certificate_refused", reason=str(error))
            return None
        log.info("client_certificate", client=identity.name, certificate=identity.certificate)
        return identity

    def trusts_xclient(self, relay: str) -> bool:
        """Whether it is a listed front end."""
        return relay in self.fronts

    async def of_login(self, login: str) -> Identity:
        """Raises Refusal."""
        return await self.logins.named(login)
