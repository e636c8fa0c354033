"""What travels through the gateway: one submission, as it came."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of an SMTP connection, and how it was proved who it is."""

    ip: str
    port: int
    helo: str
    tls: str = ""  # "TLSv1.3 TLS_AES_256_GCM_SHA384", or "" for a connection in clear
    relay: str = ""  # name of the relay entry that vouches for this network


@dataclass(frozen=True, slots=True)
class Submission:
    """One mail as the SMTP session took it: envelope, bytes after dot-unstuffing, proof.

    raw: exactly what came after DATA, dots unstuffed, ending in CRLF; never changed again (I6).
    mail_from: reverse-path without angle brackets; "" is the null sender.
    rcpt_to: forward-paths in the order given, duplicates (same octets) removed.
    parameters: ESMTP parameters of MAIL that are kept (BODY, SMTPUTF8).
    """

    raw: bytes
    mail_from: str
    rcpt_to: tuple[str, ...]
    peer: Peer
    received_at: datetime
    parameters: dict[str, str] = field(default_factory=dict)
