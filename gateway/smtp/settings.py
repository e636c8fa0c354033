"""What a listener is told: addresses, limits, time limits."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """One listening port. Sizes in octets, times in seconds.

    hostname: the name this gateway greets with; must be ASCII.
    port: 0 takes a free one; `Listener.port` says which.
    tls: server context for STARTTLS, or None: then STARTTLS is neither offered nor taken.
    require_tls: mail only over TLS (530 5.7.0 before STARTTLS, RFC 3207 §4).
    max_size: largest mail, counted as RFC 1870 §3 does (without doubled dots).
    max_line: longest line of a mail without its CRLF; far above RFC 5321 §4.5.3.1.6, because
        what leaves again is transfer-encoded anyway.
    max_recipients: RFC 5321 §4.5.3.1.8 wants at least 100.
    max_connections: at the same time, of this listener in this process.
    max_connections_per_address: of these, from one address.
    max_idle_commands: commands that bring no mail, refused senders and recipients among them,
        from one mail that was taken to the next, before 421.
    max_errors: protocol errors (not refusals) before 421 and the end of the connection.
    timeout: seconds of silence; every chunk that comes starts it anew.
    transaction_timeout: from connection or last mail to the end of the next mail, however
        steadily the client drips (slow-loris).
    reuse_port: SO_REUSEPORT, for several processes with a socket each.
    """

    hostname: str
    address: str = "127.0.0.1"
    port: int = 25
    tls: ssl.SSLContext | None = None
    require_tls: bool = False
    max_size: int = 50_000_000
    max_line: int = 1_000_000
    max_recipients: int = 1_000
    max_connections: int = 500
    max_connections_per_address: int = 500
    max_idle_commands: int = 1_000
    max_errors: int = 20
    timeout: float = 300.0
    transaction_timeout: float = 3_600.0
    reuse_port: bool = False
