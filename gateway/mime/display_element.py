"""Legacy display elements (RFC 9788 §5.2.2: text/plain, §5.2.3: text/html), written. Pure.

Where a field is not shown outside, programs that do not know RFC 9788 would show it nowhere. So its
text is repeated in the first lines of the mail, marked so that others leave it away.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from gateway.mime import transfer
from gateway.mime.canonical import Transformation
from gateway.mime.entity import Field, Message, closed
from gateway.mime.mark import marked
from gateway.mime.parameters import ContentType, content_type, transfer_encoding
from gateway.mime.parts import find_parts, head
from gateway.mime.words import decode_words

PARAMETER = "hp-legacy-display"

_DEPTH, _PARTS = 10, 20  # as those look who read it
_LINE = 900  # characters of a value: lines of a mail have an end (RFC 5322 §2.1.1)
_PLAIN = ("7bit", "8bit", "binary")
# Charsets in which ASCII is ASCII: octets can be put in front without a look at what follows.
_ASCII_BASED = re.compile(
    r"(?:us-)?ascii|utf-8|iso-8859-\d{1,2}|(?:windows-|cp)125\d|koi8-[ru]|gb18030|gbk|gb2312|big5"
    r"|euc-(?:jp|kr)|shift_jis"
)
# A tag that is not in a comment, a script or a style. Each alternative runs to the end of the text
# where its own end is missing, so no place is looked at twice.
_PLACE = re.compile(
    rb"""<(?:
        !--.*?(?:-->|\Z)
      | (?:script|style|title)(?=[\s/>]).*?(?:</(?:script|style|title)(?=[\s/>])|\Z)
      | (?:(body)|(/head)|(html))(?=[\s/>])(?:[^>"']|"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z))*+
        (?:>|\Z)
    )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


class _Leaf(NamedTuple):
    fields: tuple[Field, ...]
    body: bytes


def with_display_element(
    message: Message, names: Sequence[str]
) -> tuple[Message, tuple[Transformation, ...]]:
    """The mail with the fields of these names (lower case) repeated in its main text parts.

    Main parts are the root, the first part of a multipart, all parts of an alternative (RFC 9787
    §7.1): text/plain and text/html, not attachments. Their other octets stay where their transfer
    encoding allows it. A part in a charset that is not based on ASCII, or in an encoding that is
    not known, stays as it is; so does everything that is signed. Nothing to repeat: the message
    itself.
    """
    lines = tuple(
        f"{field.name.title()}: {value}"
        for field in message.fields
        if field.name in names and (value := _one_line(field))
    )
    if not lines:
        return message, ()
    done: list[Transformation] = []
    found = _part(message.fields, bytes(message.body), "", lines, 0, done)
    if found is None:
        return message, ()
    return replace(message, fields=found.fields, body=memoryview(found.body)), tuple(done)


def _one_line(field: Field) -> str:
    text = " ".join(decode_words(field.value).split())[:_LINE]
    return "".join(char for char in text if char.isprintable())


def _part(
    fields: tuple[Field, ...],
    body: bytes,
    number: str,
    lines: Sequence[str],
    depth: int,
    done: list[Transformation],
) -> _Leaf | None:
    """The part with the element, or None where it stays as it is."""
    kind = content_type(fields)
    if kind.main == "text" and kind.sub in ("plain", "html") and not _is_attachment(fields):
        new = _text(fields, body, kind, lines)
        if new is not None:
            old, now = (
                (_Leaf(fields, body), new) if depth else (_content(fields, body), _content(*new))
            )
            done.append(Transformation(number, "text", PARAMETER, _sha256(*old), _sha256(*now)))
        return new
    boundary = kind.parameters.get("boundary", b"")
    wide = kind.main == "multipart" and kind.sub not in ("signed", "encrypted", "report")
    if not wide or not boundary or depth >= _DEPTH:
        return None
    if transfer_encoding(fields) not in _PLAIN:
        return None
    spans = find_parts(body, 0, len(body), boundary).spans
    pieces: list[bytes] = []
    at = 0
    for index, (start, end) in enumerate(spans[: _PARTS if kind.sub == "alternative" else 1], 1):
        inner, begin = head(body, start, end)
        child = f"{number}.{index}" if number else str(index)
        changed = _part(inner, body[begin:end], child, lines, depth + 1, done)
        if changed is not None:
            pieces += (body[at:start], _joined(*changed))
            at = end
    return _Leaf(fields, b"".join((*pieces, body[at:]))) if pieces else None


def _is_attachment(fields: tuple[Field, ...]) -> bool:
    return any(
        field.name == "content-disposition" and field.value.lower().startswith(b"attachment")
        for field in fields
    )


def _text(
    fields: tuple[Field, ...], body: bytes, kind: ContentType, lines: Sequence[str]
) -> _Leaf | None:
    charset = kind.parameters.get("charset", b"us-ascii").decode("ascii", "replace").lower()
    encoding = transfer_encoding(fields)
    known = encoding in (*_PLAIN, "base64", "quoted-printable")
    labelled = _labelled(fields)
    if labelled is None or not known or not _ASCII_BASED.fullmatch(charset):
        return None
    if kind.sub == "html":
        escaped = "".join(f"<pre>{html.escape(line, quote=False)}</pre>\r\n" for line in lines)
        element = f'<div class="header-protection-legacy-display">\r\n{escaped}</div>\r\n'
        # Numbers of characters are ASCII in every charset.
        octets = element.encode("ascii", "xmlcharrefreplace")
    else:
        text = "".join(f"{line}\r\n" for line in lines) + "\r\n"
        octets = _encoded(text, charset)
    return _put(labelled, body, encoding, octets, markup=kind.sub == "html")


def _put(
    fields: tuple[Field, ...], body: bytes, encoding: str, element: bytes, *, markup: bool
) -> _Leaf:
    """The element in front of the text, or in it where a browser shows it."""
    if encoding == "base64":
        content = transfer.decode_base64(body)
        at = _place(content) if markup else 0
        whole = content[:at] + element + content[at:]
        return _Leaf(fields, transfer.encode_base64(whole).removesuffix(b"\r\n"))
    if encoding == "quoted-printable" and markup:
        content = transfer.decode(body, encoding)
        at = _place(content)
        whole = content[:at] + element + content[at:]
        return _Leaf(fields, transfer.encode_quoted_printable(whole))
    if encoding == "quoted-printable":  # it ends in a line end: what follows keeps its octets
        return _Leaf(fields, transfer.encode_quoted_printable(element) + body)
    if encoding == "7bit" and not element.isascii():
        label = Field(
            b"Content-Transfer-Encoding: quoted-printable\r\n", "content-transfer-encoding"
        )
        kept = tuple(field for field in fields if field.name != label.name)
        return _Leaf((*kept, label), transfer.encode_quoted_printable(element + body))
    at = _place(body) if markup else 0
    return _Leaf(fields, body[:at] + element + body[at:])


def _labelled(fields: tuple[Field, ...]) -> tuple[Field, ...] | None:
    """With the parameter in the Content-Type; None where that is not safe."""
    kinds = [field for field in fields if field.name == "content-type"]
    if not kinds:
        made = f'Content-Type: text/plain; {PARAMETER}="1"\r\n'.encode()
        return (*fields, Field(made, "content-type"))
    label = marked(kinds[0], PARAMETER, "1")
    if label is None or len(kinds) > 1:
        return None
    return tuple(label if field is kinds[0] else field for field in fields)


def _encoded(text: str, charset: str) -> bytes:
    """In the charset of the part, or without accents and the like: the part keeps its charset."""
    try:
        return text.encode(charset)
    except (UnicodeEncodeError, LookupError):
        return unicodedata.normalize("NFKD", text).encode("ascii", "ignore")


def _place(content: bytes) -> int:
    """Behind <body …>, else behind </head> or <html …>, else at the beginning."""
    place = 0
    for match in _PLACE.finditer(content):
        if match[1]:
            return match.end()
        if match[2] or (match[3] and not place):
            place = match.end()
    return place


def _joined(fields: tuple[Field, ...], body: bytes) -> bytes:
    return b"".join((*(closed(field.raw) for field in fields), b"\r\n", body))


def _content(fields: tuple[Field, ...], body: bytes) -> _Leaf:
    """Of the root only its Content fields are part of the entity."""
    return _Leaf(tuple(field for field in fields if field.name.startswith("content-")), body)


def _sha256(fields: tuple[Field, ...], body: bytes) -> str:
    return hashlib.sha256(_joined(fields, body)).hexdigest()
