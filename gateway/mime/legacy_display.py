"""Parts that repeat protected header fields for mail programs that cannot read them there. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.mime.entity import Field, Message
from gateway.mime.parameters import content_type
from gateway.mime.parts import find_parts, head

_DEPTH = 10  # main parts lie in mixed, related and alternative: no mail program goes deeper


def legacy_displays(payload: Message, parameter: str, value: bytes) -> tuple[str, ...]:
    """Numbers of the main text parts with that parameter ("" is the root). Never raises.

    For RFC 9788 (§4.5.3.1) the parameter stands on the main part itself, whose first lines repeat
    the fields; its predecessor has a part of its own, which is the first of a multipart/mixed.
    """
    return tuple(
        number
        for number, fields in _main_parts(payload.fields, bytes(payload.body), "", 0)
        if content_type(fields).parameters.get(parameter, b"").lower() == value
    )


def _main_parts(
    fields: tuple[Field, ...], body: bytes, number: str, depth: int
) -> Iterator[tuple[str, tuple[Field, ...]]]:
    """Text parts that a mail program shows as the mail itself."""
    kind = content_type(fields)
    if kind.main == "text":
        yield number, fields
        return
    boundary = kind.parameters.get("boundary", b"")
    if kind.main != "multipart" or not boundary or depth >= _DEPTH:
        return
    spans = find_parts(body, 0, len(body), boundary).spans
    if kind.sub != "alternative":
        spans = spans[:1]
    for index, (start, end) in enumerate(spans[:20], 1):
        inner, at = head(body, start, end)
        child = f"{number}.{index}" if number else str(index)
        yield from _main_parts(inner, body[at:end], child, depth + 1)
