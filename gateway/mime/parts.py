"""Where the parts of a multipart body lie (RFC 2046 §5.1). Offsets only: nothing is copied."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.mime.entity import Field, split

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Parts:
    """Spans of the parts, without the CRLF that belongs to the delimiter after each.

    closed: whether the last delimiter was there; without it the last part runs to the end.
    outside: spans before the first delimiter line and after the last one.
    """

    spans: tuple[Span, ...]
    closed: bool
    outside: tuple[Span, Span]


def head(data: bytes, start: int, end: int) -> tuple[tuple[Field, ...], int]:
    """Fields of the part in data[start:end], and where its body begins."""
    if data.startswith(b"\r\n", start, end):
        return (), start + 2
    stop = data.find(b"\r\n\r\n", start, end)
    if stop < 0:
        return split(data[start:end]).fields, end
    return split(data[start : stop + 2]).fields, stop + 4


def find_parts(data: bytes, start: int, end: int, boundary: bytes) -> Parts:
    """The parts of the body data[start:end]. One pass, whatever the boundary.

    A delimiter line is "--boundary" with nothing but white space after it: a boundary that begins
    with another one's text is not mistaken for it.
    """
    spans: list[Span] = []
    delimiter = b"--" + boundary
    part_start = -1
    before = (start, end)
    at = data.find(delimiter, start, end)
    while at >= 0:
        after = at + len(delimiter)
        if at == start or data.startswith(b"\r\n", at - 2):
            last = data.startswith(b"--", after, end)
            line_end = data.find(b"\r\n", after, end)
            rest = data[after + 2 * last : line_end if line_end >= 0 else end]
            if not rest.strip(b" \t"):
                part_end = max(at - 2, start)
                if part_start >= 0:
                    spans.append((part_start, max(part_end, part_start)))
                else:
                    before = (start, part_end)
                part_start = line_end + 2 if line_end >= 0 else end
                if last:
                    return Parts(tuple(spans), True, (before, (part_start, end)))
        at = data.find(delimiter, after, end)
    if part_start >= 0:
        spans.append((part_start, end))
    return Parts(tuple(spans), False, (before, (end, end)))
