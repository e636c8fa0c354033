"""What full-text search knows of a mail: its words, wherever a reader would see them.

Lenient where `headers` is strict: a mail that nobody can read properly must still be found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from gateway.mime import addresses, charsets, transfer
from gateway.mime.dates import read_date
from gateway.mime.entity import Field
from gateway.mime.lines import all_crlf
from gateway.mime.markup import text_of
from gateway.mime.parameters import (
    ContentType,
    content_type,
    parameters,
    text_parameter,
    transfer_encoding,
)
from gateway.mime.parts import find_parts, head
from gateway.mime.words import decode_words

BODY_LIMIT = 5_000_000  # characters of text kept
DEPTH_LIMIT = 50  # nested parts looked into
PART_LIMIT = 5_000  # parts looked at
NAME_LIMIT = 1_000  # attachment names, and senders and recipients each 20 times that
_LINE_LIMIT = 255  # characters of one attachment name
_HTML_LIMIT = 2_000_000  # octets of HTML looked at

_LINE_END = re.compile(rb"\r\n?|\n")
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"@]{1,64}@[^\s<>()\[\],;:\"@]{1,255}")
_SENDER_FIELDS = ("from", "sender", "reply-to", "resent-from", "resent-sender")
_RECIPIENT_FIELDS = ("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc")


@dataclass(frozen=True, slots=True)
class Extracted:
    """The words of a mail. senders, recipients: addr-specs; date: of the Date field, aware."""

    subject: str
    senders: tuple[str, ...]
    recipients: tuple[str, ...]
    body: str
    attachment_names: tuple[str, ...]
    date: datetime | None


def extract(raw: bytes) -> Extracted:
    """Read a mail for the index. Never raises; bounded in time, depth, parts and output.

    The body is the text of every text/plain and text/html part, also of attached mails (with
    their subjects): a text shown only by some readers must not hide from a search. Octets that
    are not what their charset says are read as UTF-8 or Windows-1252.
    """
    if not all_crlf(raw) and raw.count(b"\n") != raw.count(b"\r\n"):
        raw = _LINE_END.sub(b"\r\n", raw)
    fields, body = head(raw, 0, len(raw))
    gathered = _Gathered()
    _walk(raw, fields, body, gathered)
    return Extracted(
        subject=_first(fields, "subject"),
        senders=tuple(_addresses(fields, _SENDER_FIELDS)),
        recipients=tuple(_addresses(fields, _RECIPIENT_FIELDS)),
        body="\n".join(gathered.texts),
        attachment_names=tuple(gathered.names),
        date=next((read_date(item.value) for item in fields if item.name == "date"), None),
    )


@dataclass(slots=True)
class _Gathered:
    texts: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    room: int = BODY_LIMIT
    html_room: int = _HTML_LIMIT

    def add(self, text: str) -> None:
        text = text[: self.room].strip()
        if text:
            self.texts.append(text)
            self.room -= len(text)


def _walk(data: bytes, fields: tuple[Field, ...], body: int, gathered: _Gathered) -> None:
    """Depth first with a stack of our own: nesting is the sender's choice, recursion is not.

    fields, body: of the root, which has been taken apart already.
    """
    stack = [(0, len(data), 0, ContentType())]
    seen = 0
    while stack and seen < PART_LIMIT and gathered.room > 0:
        start, end, depth, default = stack.pop()
        if seen:
            fields, body = head(data, start, end)
        seen += 1
        kind = content_type(fields, default)
        encoding = transfer_encoding(fields)
        boundary = kind.parameters.get("boundary", b"")
        _name(fields, kind, gathered)
        if kind.main == "multipart" and boundary and depth < DEPTH_LIMIT:
            inner = ContentType("message", "rfc822") if kind.sub == "digest" else ContentType()
            spans = find_parts(data, body, end, boundary).spans[: PART_LIMIT - seen]
            stack += [(*span, depth + 1, inner) for span in reversed(spans)]
        elif (kind.main, kind.sub) in (("message", "rfc822"), ("message", "global")):
            if depth < DEPTH_LIMIT and encoding not in ("base64", "quoted-printable"):
                gathered.add(_first(head(data, body, end)[0], "subject"))
                stack.append((body, end, depth + 1, ContentType()))
        elif kind.main == "text":
            # Up to four octets a character, and a transfer encoding on top: more there is no
            # room for.
            _text(data[body : min(end, body + gathered.room * 6)], kind, encoding, gathered)


def _text(data: bytes, kind: ContentType, encoding: str, gathered: _Gathered) -> None:
    content = transfer.decode(data, encoding)[: gathered.room * 4]
    charset = kind.parameters.get("charset", b"").decode("ascii", "replace")
    if kind.sub == "html":
        content = content[: gathered.html_room]
        gathered.html_room -= len(content)
        gathered.add(text_of(charsets.decode(content, charset)))
    else:
        gathered.add(charsets.decode(content, charset))


def _name(fields: Iterable[Field], kind: ContentType, gathered: _Gathered) -> None:
    name = ""
    for item in fields:
        if item.name == "content-disposition":
            name = name or text_parameter(parameters(item.value), "filename")
    name = (name or text_parameter(kind.parameters, "name"))[:_LINE_LIMIT].strip()
    if name and len(gathered.names) < NAME_LIMIT:
        gathered.names.append(name)


def _first(fields: Iterable[Field], name: str) -> str:
    return next((decode_words(item.value) for item in fields if item.name == name), "")[:10_000]


def _addresses(fields: Iterable[Field], names: tuple[str, ...]) -> list[str]:
    found: dict[str, None] = {}
    for item in fields:
        if item.name in names:
            try:
                found.update(dict.fromkeys(addresses.parse(item.value)))
            except addresses.Malformed:
                found.update(dict.fromkeys(_ADDRESS.findall(decode_words(item.value))))
    return list(found)[: NAME_LIMIT * 20]
