"""A mail taken apart into header fields and body without changing an octet (RFC 5322 §2.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

# A CRLF that no white space follows ends a field; any other CRLF is a fold (RFC 5322 §2.2.3).
_FIELD_END = re.compile(rb"\r\n(?![ \t])")
# ftext of RFC 5322 §3.6.8: printable ASCII without the colon.
_NAME = re.compile(rb"([!-9;-~]++)[ \t]*+:")

# A header of 1 MB in the shortest lines that anybody writes, and 25 MB of objects. Fifty MB of "a:"
# are twelve million fields: 2 GB, and an intake that answers nobody for 20 s.
FIELD_LIMIT = 120_000


class Field(NamedTuple):
    """One header field.

    raw: its octets with folds and the final CRLF (absent only where the mail ends without one).
    name: in lower case; "" for a line that is not a field at all.
    """

    raw: bytes
    name: str

    @property
    def value(self) -> bytes:
        """What follows the colon, unfolded (CRLFs taken out), outer white space removed.

        The whole line where there is no name.
        """
        text = self.raw if not self.name else self.raw[self.raw.index(b":") + 1 :]
        return text.replace(b"\r\n", b"").strip(b" \t")


@dataclass(frozen=True, slots=True)
class Message:
    """A mail (or a MIME part) taken apart. `raw` stays the truth; the rest points into it.

    body: what follows the empty line; empty where there is no empty line.
    """

    raw: bytes
    fields: tuple[Field, ...]
    body: memoryview

    def all(self, name: str) -> list[Field]:
        """Fields of that name (lower case) in the order they came."""
        return [field for field in self.fields if field.name == name]


def split(raw: bytes) -> Message:
    """Take a mail apart. Never raises; lines end at CRLF and nowhere else.

    - The first empty line ends the header. Without one, everything is header and the body empty.
    - A mail that begins with an empty line has no fields.
    - Lines that are no field (no colon, a name with forbidden octets, a first line that begins
      with white space, an mbox "From " line) become a `Field` with the name "", in their place.
      They do not end the header: software that believes they do would see another mail, which is
      why `headers.from_addresses` refuses mails that have one.
    - What follows FIELD_LIMIT fields becomes one such `Field`, whatever it is.
    - White space between name and colon (RFC 5322 §4.5) belongs to the name's field.
    """
    if raw.startswith(b"\r\n"):
        return Message(raw, (), memoryview(raw)[2:])
    end = raw.find(b"\r\n\r\n")
    header_end = len(raw) if end < 0 else end + 2
    body = memoryview(raw)[header_end + 2 :]
    lines = _FIELD_END.split(raw[:header_end], FIELD_LIMIT)
    last = lines.pop()
    fields = [Field(line + b"\r\n", _name(line)) for line in lines]
    if last:
        fields.append(Field(last, _name(last) if len(fields) < FIELD_LIMIT else ""))
    return Message(raw, tuple(fields), body)


def _name(line: bytes) -> str:
    match = _NAME.match(line)
    return match[1].lower().decode("ascii") if match else ""


def content_entity(message: Message) -> bytes:
    """The MIME entity inside a mail: its Content-* fields as they came, CRLF, its body (I6).

    Octet for octet and in the order of the mail: this is what gets signed or encrypted.
    - Without any Content-* field the entity begins with the empty line, which makes it
      text/plain in US-ASCII for every reader (RFC 2045 §5.2), as the mail was.
    - Without a body it ends after the empty line.
    - Lines that are no field stay outside, with the other fields.
    """
    parts: list[bytes | memoryview] = [
        closed(field.raw) for field in message.fields if field.name.startswith("content-")
    ]
    parts += (b"\r\n", message.body)
    return b"".join(parts)


def closed(raw: bytes) -> bytes:
    """The octets of a field with its CRLF, also where the mail ended without one."""
    return raw if raw.endswith(b"\r\n") else raw + b"\r\n"


def with_crlf(raw: bytes) -> bytes:
    """A mail from a file: if its first line ends in a bare LF, as files on Unix do, every line
    gets CRLF. A mail that begins with CRLF stays as it is, whatever follows.
    """
    first = raw.find(b"\n")
    if first < 0 or raw[:first].endswith(b"\r"):
        return raw
    return re.sub(rb"\r?\n", b"\r\n", raw)
