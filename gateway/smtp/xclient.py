"""XCLIENT: what a listed front end says of its client (Postfix XCLIENT_README). Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from gateway.smtp.notify import decode_xtext, is_xtext

# Those that are understood, in the order EHLO names them. DESTADDR and DESTPORT say which of the
# front end's own addresses was called: read, and of no consequence here.
ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")

_UNKNOWN = ("[UNAVAILABLE]", "[TEMPUNAVAIL]")


@dataclass(frozen=True, slots=True)
class FrontSays:
    """One XCLIENT. None: the attribute was not given; "": it was given as unavailable."""

    ip: str | None = None
    port: int | None = None
    helo: str | None = None
    esmtp: bool | None = None
    login: str | None = None


def parse(argument: str) -> FrontSays:
    """What stands after "XCLIENT ". Raises ValueError for anything that is not as it should be."""
    given: dict[str, str] = {}
    for word in argument.split(" "):
        name, equals, value = word.partition("=")
        name = name.upper()
        if not equals or name not in ATTRIBUTES:
            raise ValueError("an attribute that is not known")
        if name in given:
            raise ValueError("an attribute given twice")
        given[name] = "" if value.upper() in _UNKNOWN else xtext(value)
    if not given:
        raise ValueError("no attribute")
    return FrontSays(
        ip=_ip(given.get("ADDR")),
        port=_port(given.get("PORT")),
        helo=given.get("HELO"),
        esmtp=_esmtp(given.get("PROTO")),
        login=given.get("LOGIN"),
    )


def xtext(value: str) -> str:
    """Decode xtext (RFC 3461 §4), as UTF-8. Raises ValueError; also for control characters, which
    would travel on into names and log lines.
    """
    if value and not is_xtext(value):
        raise ValueError("not xtext")
    text = decode_xtext(value).encode("latin-1").decode("utf-8")
    if not text.isprintable():
        raise ValueError("control characters")
    return text


def _ip(value: str | None) -> str | None:
    if not value:
        return value
    text = value[5:] if value[:5].upper() == "IPV6:" else value
    address = ipaddress.ip_address(text)
    if "%" in text:
        raise ValueError("a zone")
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _port(value: str | None) -> int | None:
    if not value:
        return None
    if not (value.isascii() and value.isdigit()) or int(value) > 65535:
        raise ValueError("not a port")
    return int(value)


def _esmtp(value: str | None) -> bool | None:
    if not value:
        return None
    if value.upper() not in ("SMTP", "ESMTP"):
        raise ValueError("not a protocol")
    return value.upper() == "ESMTP"
