"""Entities that must survive a 7-bit relay, because they are signed in clear (RFC 8551 §3.1).

Only what would be changed on the way is touched: leaves get a transfer encoding, labels follow.
Other parts keep their octets.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gateway.errors import SceauError
from gateway.mime import transfer
from gateway.mime.entity import Field, closed
from gateway.mime.parameters import ContentType, content_type, transfer_encoding
from gateway.mime.parts import find_parts, head

DEPTH_LIMIT = 100  # nested parts, as Postfix
_LINE_LIMIT = 998  # RFC 5322 §2.1.1, without CRLF
_WIDE = frozenset({"8bit", "binary"})
_ENCODED = frozenset({"base64", "quoted-printable"})
_PLAIN = _WIDE | {"7bit"}
# Stripped spaces and ">From " in mbox files (RFC 8551 §3.1.3, the text of its example).
_FRAGILE = (b" \r\n", b"\t\r\n", b"\r\nFrom ")


class CannotConvert(SceauError):
    """A part would have to be changed that must not be. An opaque signature can be used instead.

    part: its number as in `Transformation`.
    """

    def __init__(self, part: str, template: str) -> None:
        self.part = part
        super().__init__(template, facts={"part": part or "0"})


@dataclass(frozen=True, slots=True)
class Transformation:
    """What was done to one part whose own octets changed (not only those of parts inside it).

    part: "1.2" is the second part inside the first one inside the root; "" is the root.
    before, after: its transfer encoding.
    sha256_before, sha256_after: hex, of the whole part (fields, empty line, body).
    """

    part: str
    before: str
    after: str
    sha256_before: str
    sha256_after: str


def to_7bit(entity: bytes) -> tuple[bytes, tuple[Transformation, ...]]:
    """The entity in a form that no relay has a reason to change, and what was changed for that.

    Leaves with 8-bit octets, NUL or lines over 998, and leaves not in base64 with white space at
    the end of lines or "From " at their start, are encoded: quoted-printable where most of it is
    ASCII text, else base64. Labels "8bit" and "binary" go where nothing needs them any more: relays
    convert by label. An entity that needs nothing comes back as the same object.

    Raises CannotConvert where a multipart/signed or /encrypted, a part's fields or a message/…
    part that allows no encoding has 8-bit octets or long lines, and beyond 100 nested parts.
    """
    done: list[Transformation] = []
    changed = _part(entity, 0, len(entity), "", False, ContentType(), done)
    return (entity if changed is None else changed), tuple(done)


def _part(
    data: bytes,
    start: int,
    end: int,
    number: str,
    frozen: bool,
    default: ContentType,
    done: list[Transformation],
) -> bytes | None:
    """The part data[start:end] made safe, or None if it may stay as it is.

    frozen: inside something that is signed or encrypted already.
    """
    if number.count(".") >= DEPTH_LIMIT:
        raise CannotConvert(number, "part {part} is nested too deeply")
    fields, body = head(data, start, end)
    if not _travels(data, start, body):
        raise CannotConvert(number, "the header of part {part} has 8-bit octets or long lines")
    kind = content_type(fields, default)
    encoding = transfer_encoding(fields)
    boundary = kind.parameters.get("boundary", b"")
    if kind.main == "multipart" and boundary and encoding in _PLAIN:
        frozen = frozen or kind.sub in ("signed", "encrypted")
        inner = _multipart(data, body, end, boundary, number, frozen, kind, done)
    elif (kind.main, kind.sub) == ("message", "rfc822") and encoding in _PLAIN:
        inner = _part(data, body, end, _child(number, 1), frozen, ContentType(), done)
    else:
        return _leaf(data, (start, body, end), number, frozen, (kind, encoding, fields), done)
    if encoding in _WIDE and not frozen:
        content = data[body:end] if inner is None else inner
        return _record(data, (start, end), number, encoding, "7bit", fields, content, done)
    return None if inner is None else data[start:body] + inner


def _multipart(
    data: bytes,
    start: int,
    end: int,
    boundary: bytes,
    number: str,
    frozen: bool,
    kind: ContentType,
    done: list[Transformation],
) -> bytes | None:
    parts = find_parts(data, start, end, boundary)
    for outside in parts.outside:
        if not _travels(data, *outside):
            raise CannotConvert(number, "the text around the parts of part {part} is not 7-bit")
    default = ContentType("message", "rfc822") if kind.sub == "digest" else ContentType()
    pieces: list[bytes] = []
    at = start
    for index, (part_start, part_end) in enumerate(parts.spans, 1):
        new = _part(data, part_start, part_end, _child(number, index), frozen, default, done)
        if new is not None:
            pieces += (data[at:part_start], new)
            at = part_end
    if not pieces:
        return None
    pieces.append(data[at:end])
    return b"".join(pieces)


def _leaf(
    data: bytes,
    span: tuple[int, int, int],
    number: str,
    frozen: bool,
    what: tuple[ContentType, str, tuple[Field, ...]],
    done: list[Transformation],
) -> bytes | None:
    start, body, end = span
    kind, encoding, fields = what
    travels = _travels(data, body, end)
    if frozen:
        if not travels:
            raise CannotConvert(number, "part {part} is signed or encrypted and is not 7-bit")
        return None
    fragile = encoding != "base64" and _is_fragile(data, start, body, end)
    if travels and not fragile:
        if encoding in _WIDE:
            content = data[body:end]
            return _record(data, (start, end), number, encoding, "7bit", fields, content, done)
        return None
    # RFC 2046 §5.2: message/… allows no encoding but for the kinds of RFC 6532 (message/global…).
    if kind.main == "message" and not kind.sub.startswith("global"):
        raise CannotConvert(number, "part {part} is of a type that allows no transfer encoding")
    if kind.main == "multipart" or encoding not in _PLAIN | _ENCODED:
        raise CannotConvert(number, "part {part} has a transfer encoding that cannot be replaced")
    content = transfer.decode(data[body:end], encoding)
    after = "quoted-printable" if kind.main == "text" and _mostly_text(content) else "base64"
    if after == "base64":
        encoded = transfer.encode_base64(content).removesuffix(b"\r\n")
    else:
        encoded = transfer.encode_quoted_printable(content)
    return _record(data, (start, end), number, encoding, after, fields, encoded, done)


def _record(
    data: bytes,
    span: tuple[int, int],
    number: str,
    before: str,
    after: str,
    fields: tuple[Field, ...],
    body: bytes,
    done: list[Transformation],
) -> bytes:
    label = b"Content-Transfer-Encoding: " + after.encode() + b"\r\n"
    names = [field.name for field in fields]
    pieces = [
        label if field.name == "content-transfer-encoding" else closed(field.raw)
        for field in fields
    ]
    if "content-transfer-encoding" not in names:
        pieces.append(label)
    new = b"".join((*pieces, b"\r\n", body))
    old = hashlib.sha256(memoryview(data)[span[0] : span[1]]).hexdigest()
    done.append(Transformation(number, before, after, old, hashlib.sha256(new).hexdigest()))
    return new


def _child(number: str, index: int) -> str:
    return f"{number}.{index}" if number else str(index)


def _mostly_text(content: bytes) -> bool:
    """Whether quoted-printable is readable and not much longer than base64 would be."""
    sample = content[:65536]
    odd = len(sample.translate(None, bytes(range(32, 127)) + b"\t\r\n"))
    lines = content.count(b"\r\n")
    bare = content.count(b"\n") != lines or content.count(b"\r") != lines
    return not bare and b"\0" not in sample and odd * 6 <= len(sample)


def _is_fragile(data: bytes, start: int, body: int, end: int) -> bool:
    # From the CRLF before the body on, so that its first line counts as a line, too.
    line = max(start, body - 2)
    return (
        any(data.find(mark, line, end) >= 0 for mark in _FRAGILE)
        or data.endswith((b" ", b"\t"), body, end)
    )  # fmt: skip


def _travels(data: bytes, start: int, end: int) -> bool:
    """Whether data[start:end] is 7-bit (RFC 2045 §2.7): no NUL, no octet over 127, no long line."""
    if not data[start:end].isascii() or data.find(b"\0", start, end) >= 0:
        return False
    while end - start > _LINE_LIMIT:
        # The last line end within reach: every line before it is shorter still.
        newline = data.rfind(b"\n", start, start + _LINE_LIMIT + 2)
        if newline < 0:
            return False
        start = newline + 1
    return True
