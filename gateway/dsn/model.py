"""What a notice is made from: what happened, to which recipients, to which mail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from pki.errors import Problem


class Event(Enum):
    """What a sender is told of. A notice speaks of one of them."""

    FAILED = "failed"  # given up
    DELAYED = "delayed"  # still being tried
    HELD = "held"  # waits for a person: "delayed" for programs
    RELAYED = "relayed"  # gone to a server that reports nothing

    @property
    def action(self) -> str:
        """RFC 3464 §2.3.3."""
        return "delayed" if self is Event.HELD else self.value

    @property
    def keyword(self) -> str:
        """The word of NOTIFY (RFC 3461 §4.1) that asks for it."""
        return _KEYWORDS[self]


_KEYWORDS = {
    Event.FAILED: "FAILURE",
    Event.DELAYED: "DELAY",
    Event.HELD: "DELAY",
    Event.RELAYED: "SUCCESS",
}


@dataclass(frozen=True, slots=True)
class Report:
    """One recipient.

    status: enhanced code (RFC 3463). said: "550 5.1.1 no such user" (the peer's words, with its
        code), or ours about the connection, or "". reason: ours about the mail.
    remote_mta: the peer's name, or "". last_attempt: aware; None where nothing was tried.
    orcpt: original recipient as the client gave it, or "".
    until: aware; when an open one will be given up, None where never.
    expired: he is given up because time is over.
    """

    address: str
    status: str
    said: str = ""
    reason: Problem | None = None
    remote_mta: str = ""
    last_attempt: datetime | None = None
    orcpt: str = ""
    until: datetime | None = None
    expired: bool = False


@dataclass(frozen=True, slots=True)
class About:
    """The mail a notice speaks of.

    archive_id: what an administrator looks up. raw: as it came. sender: its reverse-path.
    envid: as the client gave it, or "". received_from: what the client called itself, or "".
    secret: it had to be encrypted: nothing of its body may leave in clear, and of its header only
        what identifies it. headers_only: RET=HDRS. smtputf8: it came with SMTPUTF8, so whoever
        gets the notice knows RFC 6533.
    """

    archive_id: str
    raw: bytes
    sender: str
    arrival: datetime
    envid: str = ""
    received_from: str = ""
    secret: bool = True
    headers_only: bool = False
    smtputf8: bool = False
