"""RET, ENVID, NOTIFY and ORCPT (RFC 3461 §4, RFC 6533 §3): read strictly, written again. Pure.

What is accepted here stands in the header-like fields of notices and in commands to other servers
later: a line end or a blank that came in encoded would be a field or a parameter there.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gateway.mail import RcptOptions
from gateway.smtp import replies

# RFC 3461 §4.4: at most so many characters before they are encoded.
ENVID_LIMIT = 100
# RFC 3461 §4.2: the whole value, encoded.
ORCPT_LIMIT = 500

# What the parameters add to the limit of a command line (RFC 3461 §5.4): " RET=FULL", " ENVID="
# with every character encoded; " NOTIFY=SUCCESS,FAILURE,DELAY", " ORCPT=".
MAIL_ADDS = 9 + 7 + 3 * ENVID_LIMIT
RCPT_ADDS = 29 + 7 + ORCPT_LIMIT

NEVER = "NEVER"
_KEYWORDS = ("SUCCESS", "FAILURE", "DELAY")

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+\Z")
_HEXCHAR = re.compile(r"\+([0-9A-F]{2})")
_NOT_XCHAR = re.compile(r"[^!-*,-<>-~]")
_NOT_PRINTABLE = re.compile(r"[^ -~]")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+\Z")

# RFC 6533 §3, EmbeddedUnicodeChar.
_EMBEDDED = re.compile(
    r"\\x\{(10|20|2B|3D|5C|7F|[01][1-9]|[89A-F][0-9A-F]|[1-9A-F][0-9A-F]{2}"
    r"|[1-9A-CE-F][0-9A-F]{3}|D[0-7][0-9A-F]{2}|[1-9A-F][0-9A-F]{4}|10[0-9A-F]{4})\}"
)
_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~\x80-\U0010ffff]")
_NOT_QCHAR_7BIT = re.compile(r"[^!-*,-<>-\[\]-~]")


# --- reading ------------------------------------------------------------------------------------


def ret(value: str | None) -> str:
    """FULL or HDRS. Raises Refusal."""
    word = (value or "").upper()
    if word not in ("FULL", "HDRS"):
        raise replies.refusal(replies.BAD_RET)
    return word


def envid(value: str | None) -> str:
    """The value as it came, proved to be xtext of printable ASCII. Raises Refusal."""
    if value is None or not is_xtext(value):
        raise replies.refusal(replies.BAD_ENVID)
    text = decode_xtext(value)
    if _NOT_PRINTABLE.search(text) or len(text) > ENVID_LIMIT:
        raise replies.refusal(replies.BAD_ENVID)
    return value


def notify(value: str | None) -> str:
    """NEVER, or the keywords named, in one order, joined by commas. Raises Refusal."""
    words = (value or "").upper().split(",")
    if words == [NEVER]:
        return NEVER
    if len(set(words)) != len(words) or not set(words) <= set(_KEYWORDS):
        raise replies.refusal(replies.BAD_NOTIFY)
    return ",".join(word for word in _KEYWORDS if word in words)


def orcpt(value: str | None, is_mailbox: Callable[[str], bool]) -> str:
    """The value as it came: type, ";", address as xtext, or for "utf-8" as RFC 6533 §3 has it.

    is_mailbox: whether a decoded address of that type is one.
    Raises Refusal.
    """
    kind, semicolon, text = (value or "").partition(";")
    good = False
    if semicolon and _ATOM.match(kind) and len((value or "").encode()) <= ORCPT_LIMIT:
        if kind.lower() == "utf-8":
            good = is_mailbox(_decode_utf8(text))
        else:
            good = is_xtext(text) and not _NOT_PRINTABLE.search(decode_xtext(text))
    if not good:
        raise replies.refusal(replies.BAD_ORCPT)
    return value or ""


def together(one: RcptOptions, other: RcptOptions) -> RcptOptions:
    """The wishes of two RCPT commands for the same address: nothing that either asked is lost."""
    if one.notify == other.notify:
        words = one.notify
    else:
        # Who says nothing hears of failures, and of delays (RFC 3461 §4.1).
        asked = ",".join(each.notify or "FAILURE,DELAY" for each in (one, other)).split(",")
        words = ",".join(word for word in _KEYWORDS if word in asked)
    return RcptOptions(words, one.orcpt or other.orcpt)


# --- what was asked -----------------------------------------------------------------------------


def wants(options: str, keyword: str) -> bool:
    """Whether a report is to be made of a SUCCESS, FAILURE or DELAY. options: `RcptOptions.notify`.

    Who said nothing hears of failures (RFC 3461 §5.2.6 c) and, as our custom, of delays.
    """
    if not options:
        return keyword != "SUCCESS"
    return keyword in options.split(",")


# --- encoding -----------------------------------------------------------------------------------


def is_xtext(text: str) -> bool:
    """Whether it is what RFC 3461 §4 calls xtext, of at least one character."""
    return _XTEXT.match(text) is not None


def decode_xtext(text: str) -> str:
    """RFC 3461 §4: "+" and two hexadecimal digits stand for a character."""
    return _HEXCHAR.sub(lambda match: chr(int(match[1], 16)), text)


def encode_xtext(text: str) -> str:
    """Inverse of `decode_xtext`, for ASCII."""
    return _NOT_XCHAR.sub(lambda match: f"+{ord(match[0]):02X}", text)


def _decode_utf8(text: str) -> str:
    """The address in utf-8-addr-xtext or utf-8-addr-unitext; "" if `text` is neither."""
    if _NOT_QCHAR.search(_EMBEDDED.sub("", text)):
        return ""
    return _EMBEDDED.sub(lambda match: chr(int(match[1], 16)), text)


def _embedded(text: str) -> str:
    """RFC 6533 §3, utf-8-addr-xtext: safe for servers that know no SMTPUTF8."""
    return _NOT_QCHAR_7BIT.sub(lambda match: f"\\x{{{ord(match[0]):X}}}", text)


def typed_address(address: str) -> str:
    """`rfc822;` or `utf-8;` with the address encoded, as ORCPT has it; ASCII."""
    if address.isascii():
        return f"rfc822;{encode_xtext(address)}"
    return f"utf-8;{_embedded(address)}"


def seven_bit(given: str) -> str:
    """An ORCPT value in a form that every server with DSN takes; ASCII."""
    kind, _, text = given.partition(";")
    return given if given.isascii() else f"{kind};{_embedded(_decode_utf8(text))}"


def original_address(given: str) -> tuple[str, str]:
    """Type and decoded address of an ORCPT value."""
    kind, _, text = given.partition(";")
    return kind, _decode_utf8(text) if kind.lower() == "utf-8" else decode_xtext(text)
