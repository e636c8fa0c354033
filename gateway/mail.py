"""What travels through the gateway: one submission, as it came."""

from __future__ import annotations

from collections.abc import Mapping
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
class RcptOptions:
    """What a client asked for one recipient (RFC 3461 §4.1, §4.2).

    notify: "" where nothing was said, "NEVER", or those of SUCCESS, FAILURE and DELAY that were
        named, in this order, joined by commas.
    orcpt: original recipient, "rfc822;bob@example.net", encoded as it was given; "" for none.
    """

    notify: str = ""
    orcpt: str = ""


NOTHING_ASKED = RcptOptions()


@dataclass(frozen=True, slots=True)
class Submission:
    """One mail as the SMTP session took it: envelope, bytes after dot-unstuffing, proof.

    raw: exactly what came after DATA, dots unstuffed, ending in CRLF; never changed again (I6).
    mail_from: reverse-path without angle brackets; "" is the null sender.
    rcpt_to: forward-paths in the order given, duplicates (same octets) removed.
    parameters: ESMTP parameters of MAIL that are kept (BODY, SMTPUTF8, RET, ENVID).
    rcpt_options: by forward-path; those who are not in it were given without any.
    """

    raw: bytes
    mail_from: str
    rcpt_to: tuple[str, ...]
    peer: Peer
    received_at: datetime
    parameters: dict[str, str] = field(default_factory=dict)
    rcpt_options: Mapping[str, RcptOptions] = field(default_factory=dict)
