"""The trace field that every server puts in front of a mail (RFC 5321 §4.4)."""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime
from functools import lru_cache

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,253}[A-Za-z0-9])?")
_LITERAL = re.compile(r"\[[A-Za-z0-9:.]{1,60}\]")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,200}")
_PROTOCOL = re.compile(r"[A-Z0-9]{1,20}")
_TLS = re.compile(r"[A-Za-z0-9_.: -]{1,100}")


def received_field(
    *, helo: str, ip: str, by: str, protocol: str, identity: str, moment: datetime, tls: str = ""
) -> bytes:
    """A Received field, folded, with its final CRLF.

    helo: what the peer called itself; it is the peer's text, and anything but a host name or an
        address literal is written as "unknown", so that it cannot add lines, comments or clauses.
    ip: address of the peer. by: our host name. protocol: "ESMTP", "ESMTPS", "ESMTPSA"… (RFC 3848).
    identity: archive id. moment: aware. tls: "TLSv1.3 TLS_AES_256_GCM_SHA384" or "".
    No `for` clause: it would show a blind recipient to the others.
    Raises ValueError where a value of ours (by, protocol, identity, ip, moment) does not fit.
    """
    for name, value, pattern in (
        ("by", by, _DOMAIN),
        ("protocol", protocol, _PROTOCOL),
        ("identity", identity, _ATOM),
    ):
        if not pattern.fullmatch(value):
            raise ValueError(f"Received: {name} {value!r} is not allowed there")
    literal = _literal(ip)
    peer = helo if _DOMAIN.fullmatch(helo) or _LITERAL.fullmatch(helo) else "unknown"
    secured = f" ({tls})" if _TLS.fullmatch(tls) else ""
    return (
        f"Received: from {peer} ({literal})\r\n"
        f"\tby {by} with {protocol}{secured}\r\n"
        f"\tid {identity}; {date_time(moment)}\r\n"
    ).encode("ascii")


@lru_cache(maxsize=1024)  # few hosts hand in many mails
def _literal(ip: str) -> str:
    """RFC 5321 §4.1.3. Raises ValueError."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    return f"[{'IPv6:' if address.version == 6 else ''}{address}]"


def protocol(*, esmtp: bool, tls: bool, authenticated: bool, smtputf8: bool) -> str:
    """The name after "with" (RFC 3848; RFC 6531 §4.3). authenticated: by SMTP AUTH, nothing else.

    esmtp: EHLO was said; without it there is neither TLS nor AUTH, and none is told.
    """
    if not esmtp:
        return "SMTP"
    name = "UTF8SMTP" if smtputf8 else "ESMTP"
    return name + ("S" if tls else "") + ("A" if authenticated else "")


def date_time(moment: datetime) -> str:
    """`moment` (aware) as RFC 5322 §3.3 writes it. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a moment without time zone cannot be written into a mail")
    # Not strftime: its day and month names follow the locale.
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    time = f"{moment.hour:02}:{moment.minute:02}:{moment.second:02}"
    zone = "+0000" if moment.tzinfo is UTC else f"{moment:%z}"
    return f"{day}, {moment.day} {month} {moment.year:04} {time} {zone}"
