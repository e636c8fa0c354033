"""MAIL and RCPT: paths and parameters, parsed as RFC 5321 writes them. Pure.

Paths are taken strictly: what is accepted here is later put between angle brackets again on
another connection, and is compared with what certificates say.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from functools import lru_cache

from gateway.mail import RcptOptions
from gateway.smtp import replies
from gateway.smtp.notify import envid, notify, orcpt, ret

# RFC 5321 §4.5.3.1.1 to .3, in octets.
LOCAL_PART_LIMIT = 64
DOMAIN_LIMIT = 255
PATH_LIMIT = 256  # with the angle brackets
LABEL_LIMIT = 63  # RFC 1035 §2.3.4

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
# RFC 6531 §3.3 adds all of UTF-8 beyond ASCII; C1 controls, line and paragraph separators and
# bidirectional overrides would only serve to show an address as another.
_UTF8 = (
    r"\u00a1-\u061b\u061d-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\ud7ff"
    r"\ue000-\ufefe\uff00-\U0010ffff"
)
_LOCAL_PART = re.compile(
    rf"[{_ATEXT}{_UTF8}]+(?:\.[{_ATEXT}{_UTF8}]+)*\Z"
    rf'|"(?:[\x20\x21\x23-\x5b\x5d-\x7e{_UTF8}]|\\[\x20-\x7e])*"\Z'
)
# The underscore is not in RFC 5321, but in host names of the field, and harms nobody.
_LABEL = rf"[A-Za-z0-9_{_UTF8}](?:[A-Za-z0-9_\-{_UTF8}]*[A-Za-z0-9_{_UTF8}])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_SOURCE_ROUTE = re.compile(rf"@{_LABEL}(?:\.{_LABEL})*(?:,@{_LABEL}(?:\.{_LABEL})*)*:")

# RFC 5321 §4.1.2: esmtp-keyword ["=" esmtp-value]
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9\-]*)(?:=([\x21-\x3c\x3e-\x7e]+))?\Z")
# RFC 6531 §3.3 lets UTF-8 into values; of ours only ORCPT has a use for it (RFC 6533 §3).
_PARAMETER_UTF8 = re.compile(rf"([A-Za-z0-9][A-Za-z0-9\-]*)(?:=([\x21-\x3c\x3e-\x7e{_UTF8}]+))?\Z")


@lru_cache(maxsize=4096)  # asked three times a mail
def is_mailbox(address: str) -> bool:
    """Whether `address` is a Mailbox (RFC 5321 §4.1.2, with RFC 6531 §3.3): safe in brackets."""
    local, at, domain = address.rpartition("@")
    if not at or not _LOCAL_PART.match(local):
        return False
    if address.isascii():
        sizes = (len(local), len(domain))
    else:
        try:
            sizes = (len(local.encode()), len(domain.encode()))
        except UnicodeEncodeError:  # a lone surrogate
            return False
    if sizes[0] > LOCAL_PART_LIMIT or sizes[1] > DOMAIN_LIMIT or sum(sizes) + 3 > PATH_LIMIT:
        return False
    return _is_literal(domain[1:-1]) if _bracketed(domain) else _is_domain(domain)


def _bracketed(domain: str) -> bool:
    return domain.startswith("[") and domain.endswith("]")


def _is_domain(domain: str) -> bool:
    return _DOMAIN.match(domain) is not None and all(
        len(label.encode()) <= LABEL_LIMIT for label in domain.split(".")
    )


def _is_literal(text: str) -> bool:
    # RFC 5321 §4.1.3; tags other than IPv6 are not registered.
    try:
        if text[:5].lower() == "ipv6:":
            return "%" not in text and bool(ipaddress.IPv6Address(text[5:]))
        return bool(ipaddress.IPv4Address(text))
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class MailCommand:
    """MAIL, understood. kept: parameters that travel on with the mail (BODY, SMTPUTF8, RET,
    ENVID)."""

    address: str
    size: int | None = None
    smtputf8: bool = False
    kept: dict[str, str] = field(default_factory=dict)


def parse_mail(argument: str, *, extended: bool, auth: bool = False) -> MailCommand:
    """What stands after "MAIL ". extended: EHLO was said, not HELO. auth: AUTH is offered.
    Raises Refusal.
    """
    path, rest = _split_path(argument, "FROM:", replies.MAIL_SYNTAX)
    size: int | None = None
    smtputf8 = False
    kept: dict[str, str] = {}
    for name, value in _parameters(rest, extended=extended).items():
        if name == "SIZE":
            size = _size(value)
        elif name == "BODY":
            if value is None or value.upper() not in ("7BIT", "8BITMIME"):
                raise replies.refusal(replies.BAD_BODY)
            kept["BODY"] = value.upper()
        elif name == "SMTPUTF8":
            if value is not None:
                raise replies.refusal(replies.BAD_SMTPUTF8)
            smtputf8 = True
            kept["SMTPUTF8"] = ""
        elif name == "RET":
            kept["RET"] = ret(value)
        elif name == "ENVID":
            kept["ENVID"] = envid(value)
        elif name == "AUTH" and auth:
            # RFC 4954 §5: who wrote it first, as the client says. Nobody is believed that here,
            # which the RFC has treated as AUTH=<>; it is not passed on.
            if value is None:
                raise replies.refusal(replies.BAD_PARAMETER)
        else:
            raise replies.refusal(replies.UNKNOWN_PARAMETER)
    # RFC 5321 §4.5.5: the null reverse-path.
    address = _mailbox(path, replies.BAD_SENDER, smtputf8=smtputf8) if path else ""
    return MailCommand(address, size, smtputf8, kept)


def parse_rcpt(
    argument: str, *, extended: bool, smtputf8: bool, hostname: str
) -> tuple[str, RcptOptions]:
    """The address after "RCPT ", and what is asked for it. smtputf8: MAIL asked for it.

    Raises Refusal.

    "postmaster" alone, which RFC 5321 §4.5.1 demands, becomes postmaster@hostname: no address
    without a domain goes further into the gateway.
    """
    path, rest = _split_path(argument, "TO:", replies.RCPT_SYNTAX)
    asked = {"NOTIFY": "", "ORCPT": ""}
    for name, value in _parameters(rest, extended=extended, smtputf8=smtputf8).items():
        if name == "NOTIFY":
            asked[name] = notify(value)
        elif name == "ORCPT":
            asked[name] = orcpt(value, is_mailbox)
        else:
            raise replies.refusal(replies.UNKNOWN_PARAMETER)
    options = RcptOptions(asked["NOTIFY"], asked["ORCPT"])
    if path.lower() == "postmaster":
        return f"{path}@{hostname}", options
    return _mailbox(path, replies.BAD_RECIPIENT, smtputf8=smtputf8), options


def _split_path(argument: str, keyword: str, syntax: str) -> tuple[str, str]:
    """What stands between the angle brackets, and what comes after them."""
    if argument[: len(keyword)].upper() != keyword:
        raise replies.refusal(syntax)
    # A space after the colon is not in RFC 5321, but common.
    text = argument[len(keyword) :].lstrip(" ")
    if not text.startswith("<"):
        raise replies.refusal(syntax)
    # A ">" may stand in a quoted local part: the path ends at the first one outside quotes.
    quoted = False
    i = 1
    while i < len(text):
        char = text[i]
        if quoted and char == "\\":
            i += 1
        elif char == '"':
            quoted = not quoted
        elif char == ">" and not quoted:
            rest = text[i + 1 :]
            if rest and not rest.startswith(" "):
                raise replies.refusal(syntax)
            return text[1:i], rest
        i += 1
    raise replies.refusal(syntax)


def _mailbox(path: str, bad: str, *, smtputf8: bool) -> str:
    if path.startswith("@") and (route := _SOURCE_ROUTE.match(path)):
        path = path[route.end() :]  # RFC 5321 §4.1.1.3: accepted, stripped, ignored
    if not path.isascii() and not smtputf8:
        raise replies.refusal(replies.NEED_SMTPUTF8)
    if not is_mailbox(path):
        raise replies.refusal(bad)
    return path


def _parameters(text: str, *, extended: bool, smtputf8: bool = False) -> dict[str, str | None]:
    # Not split(): that also takes the blanks of all scripts, which may stand inside a value.
    words = [word for word in text.split(" ") if word]
    if words and not extended:  # RFC 5321 §4.1.1.11: none exist without EHLO
        raise replies.refusal(replies.UNKNOWN_PARAMETER)
    found: dict[str, str | None] = {}
    for word in words:
        match = (_PARAMETER_UTF8 if smtputf8 else _PARAMETER).match(word)
        if match is None:
            raise replies.refusal(replies.BAD_PARAMETER)
        name = match[1].upper()
        if name in found:
            raise replies.refusal(replies.PARAMETER_TWICE)
        found[name] = match[2]
    return found


def _size(value: str | None) -> int:
    # RFC 1870 §4: 1 to 20 digits; isdecimal() alone would let other scripts' digits through.
    if value is None or not (value.isascii() and value.isdecimal() and len(value) <= 20):
        raise replies.refusal(replies.BAD_SIZE)
    return int(value)
