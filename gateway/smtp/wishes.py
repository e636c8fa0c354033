"""What the sender asked of notices, on its way to the next hop (RFC 3461 §5.2.1). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.mail import NOTHING_ASKED, RcptOptions
from gateway.smtp.notify import seven_bit, typed_address


@dataclass(frozen=True, slots=True)
class Wishes:
    """Parameters for a next hop that announces DSN.

    ret: "FULL", "HDRS" or "". envid: as the client gave it, or "". What was not asked is not said
    either (RFC 3461 §5.2.1 a to c): the default of the last server counts then, not ours.
    recipients: by address.
    """

    ret: str = ""
    envid: str = ""
    recipients: Mapping[str, RcptOptions] = field(default_factory=dict)

    def of_mail(self) -> str:
        """What follows the path in MAIL."""
        return (f" RET={self.ret}" if self.ret else "") + (
            f" ENVID={self.envid}" if self.envid else ""
        )

    def of_recipient(self, address: str) -> str:
        """What follows the path in RCPT. Without an original recipient it is this address (§5.2.1
        d): every server behind us may rewrite it, and then the sender would not know it again.
        """
        asked = self.recipients.get(address, NOTHING_ASKED)
        original = seven_bit(asked.orcpt) if asked.orcpt else typed_address(address)
        return (f" NOTIFY={asked.notify}" if asked.notify else "") + f" ORCPT={original}"


NO_WISHES = Wishes()
