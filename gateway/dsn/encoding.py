"""The forms in which words stand in a notice."""

from __future__ import annotations

import binascii
import re
from datetime import UTC, datetime

from gateway.mime.received import date_time

_LINE_END = re.compile(rb"\r\n|\r|\n")
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]+")

# RFC 5322 §2.1.1, without CRLF.
LINE_LIMIT = 998
_LINE_SHOULD = 78


def one_line(text: str) -> str:
    """Printable ASCII, one line, of bounded length: nothing in it can forge a field."""
    return _NOT_PRINTABLE.sub("?", " ".join(text.split()))[:900]


def one_line_for_people(text: str) -> str:
    """The same with the letters of all scripts; what only steers their display becomes "?"."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))[:900]


def folded(line: str) -> str:
    """A header field in lines of 78 characters, where blanks allow that (RFC 5322 §2.2.3)."""
    lines = []
    while len(line) > _LINE_SHOULD:
        at = line.rfind(" ", line.find(" ") + 1, _LINE_SHOULD + 1)
        if at <= 0:
            at = line.find(" ", _LINE_SHOULD)
        if at <= 0 or not line[:at].strip():
            break
        lines.append(line[:at])
        line = line[at:]
    return "\r\n".join([*lines, line])


def date(moment: datetime) -> str:
    """RFC 5322 §3.3, in UTC: all times of a notice can be compared."""
    return date_time(moment.astimezone(UTC))


def words(text: str) -> str:
    """A header value; RFC 2047 where it is not ASCII (each encoded word has at most 75 octets)."""
    if text.isascii():
        return text
    found: list[str] = []
    chunk = ""
    for char in text:
        if len((chunk + char).encode()) > 42:
            found.append(chunk)
            chunk = ""
        chunk += char
    found.append(chunk)
    return "\r\n ".join(
        f"=?utf-8?b?{binascii.b2a_base64(word.encode(), newline=False).decode()}?="
        for word in found
    )


def quoted_printable(data: bytes) -> bytes:
    """RFC 2045 §6.7, as text; every line end becomes CRLF."""
    # b2a_qp of a whole text guesses the line end from the first one it sees: line by line it
    # cannot be fooled.
    lines = _LINE_END.split(data)
    return b"\r\n".join(binascii.b2a_qp(line).replace(b"=\n", b"=\r\n") for line in lines)


def is_seven_bit(data: bytes) -> bool:
    """Whether it can stand in a mail as it is (RFC 2045 §2.7)."""
    if not data.isascii() or b"\0" in data or data.count(b"\r\n") != data.count(b"\n"):
        return False
    if data.count(b"\r") != data.count(b"\n"):
        return False
    return all(len(line) <= LINE_LIMIT for line in data.split(b"\r\n"))
