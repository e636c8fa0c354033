"""Where mail is delivered to, and what became of it there, recipient by recipient."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from gateway.errors import SceauError


class TlsDemand(Enum):
    """What a delivery asks of the connection."""

    NONE = "none"  # in clear; STARTTLS is not even tried
    OPPORTUNISTIC = "opportunistic"  # encrypted if it works, without any check of the peer
    VERIFIED = "verified"  # encrypted to the named host under a named CA, or not at all


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for the peer (RFC 5321 §4.5.3.2)."""

    connect: float = 30.0  # TCP, and the TLS handshake
    greeting: float = 300.0
    command: float = 300.0
    data: float = 180.0  # for each block of the mail to be taken by the peer
    dot: float = 600.0  # after the final dot; shorter waits make duplicates (RFC 1047)


@dataclass(frozen=True, slots=True)
class NextHop:
    """A next hop. Connections are reused between deliveries with an equal NextHop.

    host: name or IP address. tls_name: the name its certificate must bear; "" means `host`.
    ca_file: PEM file of the CAs trusted for VERIFIED.
    ehlo_name: what this gateway calls itself.
    Raises SceauError: VERIFIED without ca_file (no roots are trusted unless named), or a name
    that cannot be said.
    """

    host: str
    port: int = 25
    tls: TlsDemand = TlsDemand.OPPORTUNISTIC
    ca_file: str | None = None
    ehlo_name: str = "localhost"
    timeouts: Timeouts = field(default_factory=Timeouts)
    tls_name: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9.:\[\]_-]+", self.ehlo_name):
            raise SceauError(
                "{name} is not a name to say EHLO with",
                hint="use the full host name of this gateway, in ASCII",
                facts={"name": repr(self.ehlo_name)},
            )
        if self.tls is TlsDemand.VERIFIED and not self.ca_file:
            raise SceauError(
                "next hop {host}: verified TLS needs the CAs that may vouch for it",
                hint="name a PEM file of CA certificates as ca_file",
                facts={"host": self.host},
            )


class Result(Enum):
    """What became of one recipient."""

    DELIVERED = "delivered"  # the next hop took responsibility (RFC 5321 §6.1)
    TEMPORARY = "temporary"  # try again later
    PERMANENT = "permanent"  # trying again would not help


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipient of one delivery.

    code: reply code of the peer; 0 where it was decided here or nothing was said.
    status: enhanced code (RFC 3463), the peer's or ours; never empty.
    text: the peer's words (printable ASCII, one line) or ours.
    host: "name[ip]:port" of the peer, or "name:port" where no connection was made.
    tls: "TLSv1.3 TLS_AES_256_GCM_SHA384", with " verified" where the peer was; "" in clear.
    queued_as: the peer's own id of the mail, if it gave one.
    uncertain: the final dot was sent and no reply came: the peer may have the mail.
    said: the peer's reply in full, with its codes as it gave them; "" where it gave none.
    dsn: the peer was told what the sender asked of notices, and will see to it (RFC 3461 §5.2.1).
    """

    address: str
    result: Result
    code: int
    status: str
    text: str
    host: str
    tls: str = ""
    queued_as: str = ""
    uncertain: bool = False
    said: str = ""
    dsn: bool = False

    @property
    def reached(self) -> bool:
        """Whether the peer has greeted us: `host` then has its address."""
        return "]:" in self.host
