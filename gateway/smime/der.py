"""DER written from parts (X.690 §10)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

Octets = bytes | bytearray | memoryview

INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x02, 0x03, 0x04, 0x05, 0x06
UTC_TIME, GENERALIZED_TIME, SEQUENCE, SET = 0x17, 0x18, 0x30, 0x31


def header(tag: int, length: int) -> bytes:
    """Identifier octet and definite length."""
    if length < 0x80:
        return bytes((tag, length))
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big")


def element(tag: int, *parts: Octets) -> bytes:
    """One element whose content is the parts one after the other."""
    return b"".join((header(tag, sum(map(len, parts))), *parts))


def sequence(*parts: Octets) -> bytes:
    """SEQUENCE of finished elements."""
    return element(SEQUENCE, *parts)


def set_of(elements: Iterable[bytes], tag: int = SET) -> bytes:
    """SET OF in the order that DER demands (X.690 §11.6). tag: for an implicit one."""
    return element(tag, *sorted(elements))


def octets(content: Octets) -> bytes:
    """OCTET STRING."""
    return element(OCTET_STRING, content)


def integer(value: int) -> bytes:
    """INTEGER, zero or positive."""
    return element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


@cache
def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER. Cached: the engine names a fixed few."""
    first, second, *rest = map(int, dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        content += bytes(reversed(groups))
    return element(OID, content)


def algorithm(dotted: str, *parameters: bytes) -> bytes:
    """AlgorithmIdentifier (RFC 5280 §4.1.1.2)."""
    return sequence(oid(dotted), *parameters)


def children(data: bytes, at: int = 0) -> list[tuple[int, int, int]]:
    """Elements inside the constructed one that starts at data[at], as (tag, start, end) each.

    start is the identifier octet. For DER that a parser has accepted before (our own and checked
    certificates); raises ValueError where it does not fit.
    """
    _, start, end = _read(data, at, len(data))
    found = []
    while start < end:
        tag, _, stop = _read(data, start, end)
        found.append((tag, start, stop))
        start = stop
    return found


def _read(data: bytes, at: int, limit: int) -> tuple[int, int, int]:
    """Tag, start of the content and end of the element at data[at]."""
    if at + 2 > limit:
        raise ValueError(f"an element is cut off at octet {at}")
    tag, length = data[at], data[at + 1]
    start = at + 2
    if length & 0x80:
        size = length & 0x7F
        if not 0 < size <= 4 or start + size > limit:
            raise ValueError(f"a length at octet {at} is not allowed")
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if tag & 0x1F == 0x1F or start + length > limit:
        raise ValueError(f"an element at octet {at} does not fit")
    return tag, start, start + length
