"""Content-Type and Content-Disposition with their parameters (RFC 2045 §5.1, RFC 2231)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from gateway.mime import charsets
from gateway.mime.entity import Field
from gateway.mime.words import decode_words

_PARAMETER = re.compile(
    rb';[ \t]*+([^\s=;"()]++)[ \t]*+=[ \t]*+(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]*+))', re.DOTALL
)
_TYPE = re.compile(rb"[ \t]*+([!#-'*+\-.0-9A-Z^_`a-z{|}~]++)/([!#-'*+\-.0-9A-Z^_`a-z{|}~]++)")
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_VALUE_LIMIT = 65536  # octets of a field that are read for parameters


@dataclass(frozen=True, slots=True)
class ContentType:
    """Media type in lower case and parameters (names in lower case, the first of equal ones)."""

    main: str = "text"
    sub: str = "plain"
    parameters: dict[str, bytes] = field(default_factory=dict)


def content_type(fields: Iterable[Field], default: ContentType | None = None) -> ContentType:
    """The media type of a part: of its first Content-Type field.

    Without one `default`, else text/plain; unreadable ones are text/plain (RFC 2045 §5.2).
    """
    for item in fields:
        if item.name == "content-type":
            value = item.value[:_VALUE_LIMIT]
            match = _TYPE.match(value)
            if match is None:
                return ContentType()
            main, sub = (text.decode("ascii").lower() for text in match.groups())
            return ContentType(main, sub, parameters(value))
    return default or ContentType()


def transfer_encoding(fields: Iterable[Field]) -> str:
    """Content-Transfer-Encoding in lower case, "7bit" without one (RFC 2045 §6.1)."""
    for item in fields:
        if item.name == "content-transfer-encoding":
            text = item.value[:80].partition(b"(")[0].strip(b' \t";')
            return text.decode("ascii", "replace").lower() or "7bit"
    return "7bit"


def parameters(value: bytes) -> dict[str, bytes]:
    """Parameters of a field value as octets, quotes and backslashes removed."""
    found: dict[str, bytes] = {}
    for name, quoted, token in _PARAMETER.findall(value[:_VALUE_LIMIT]):
        key = name.decode("ascii", "replace").lower()
        if key not in found:
            found[key] = _ESCAPE.sub(rb"\1", quoted) if b"\\" in quoted else quoted or token
    return found


def text_parameter(values: dict[str, bytes], name: str) -> str:
    """A parameter as text: RFC 2231 (charset, continuations), else RFC 2047 words, else UTF-8."""
    pieces: list[bytes] = []
    charset = ""
    for index in range(len(values)):
        for key, encoded in (
            (f"{name}*{index}*", True),
            (f"{name}*{index}", False),
            (f"{name}*" if index == 0 else "", True),
        ):
            if key in values:
                piece = values[key]
                if encoded:
                    if index == 0 and piece.count(b"'") >= 2:
                        label, _, piece = piece.split(b"'", 2)
                        charset = label.decode("ascii", "replace")
                    piece = unquote_to_bytes(piece)
                pieces.append(piece)
                break
        else:
            break
    if pieces:
        return charsets.decode(b"".join(pieces), charset)
    return decode_words(values.get(name, b""))
