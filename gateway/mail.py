"""What travels through the gateway: one submission, as it came."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is, and how it was proved; what he may send as is `senders.rights`' matter.

    method: "auth-file", "auth-ldap", "client-certificate" or "xclient".
    name: login as the back-end writes it (canonical), or name of the [[clients]] entry.
    addresses: his own addresses, canonical, as the back-end or the certificate gives them.
    groups: lower-case names of the groups he was in when he proved who he is.
    certificate: SHA-256 of the client certificate, or "".
    """

    method: str
    name: str
    addresses: tuple[str, ...] = ()
    groups: frozenset[str] = frozenset()
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of an SMTP connection, and how it was proved who it is.

    ip, port: of the client; where a listed relay said XCLIENT, of the client it speaks for.
    relay: name of the relay entry that covers `ip`, "" where none does.
    identity: what was proved beyond the network, or None.
    via, via_ip: relay entry and address of the machine that said XCLIENT, or "".
    esmtp: EHLO was said, not HELO.
    """

    ip: str
    port: int
    helo: str
    tls: str = ""  # "TLSv1.3 TLS_AES_256_GCM_SHA384", or "" for a connection in clear
    relay: str = ""
    identity: Identity | None = None
    via: str = ""
    via_ip: str = ""
    esmtp: bool = True


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
