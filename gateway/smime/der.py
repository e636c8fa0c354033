"""DER written from parts (X.690 §10), and the scan that foreign ASN.1 passes before any parser."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from pki.errors import Problem

Octets = bytes | bytearray | memoryview

INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x02, 0x03, 0x04, 0x05, 0x06
UTC_TIME, GENERALIZED_TIME, SEQUENCE, SET = 0x17, 0x18, 0x30, 0x31


class StructureRefused(ValueError):
    """Foreign ASN.1 that no parser of ours gets to see. problem: why, and at which octet."""

    def __init__(self, code: str, template: str, **facts: object) -> None:
        self.problem = Problem(code, template, {key: str(value) for key, value in facts.items()})
        super().__init__(self.problem.text)


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


def prescan(
    data: bytes, *, max_depth: int = 32, max_oid: int = 64, max_elements: int = 200_000
) -> None:
    """Look over foreign BER or DER in one pass: exactly one element, bounded in every way.

    asn1crypto takes seconds for an object identifier of 200 kB and ends in a RecursionError at
    1,000 nested sequences, so no octet from outside reaches it before this has passed.
    Raises StructureRefused (codes structure.…, limits.…).
    """
    at, size, count = 0, len(data), 0
    ends: list[int] = []  # of the open constructed elements; -1 for indefinite lengths
    limits = [size]  # innermost definite end that counts, beside each of them
    while True:
        while ends and ends[-1] == at:
            ends.pop()
            limits.pop()
        if count and not ends:
            break
        limit = limits[-1]
        tag_at = at
        if at + 2 > limit:
            raise _truncated(at)
        tag = data[at]
        at += 1
        if tag & 0x1F == 0x1F:
            at = _long_tag(data, at, limit)
        if at >= limit:
            raise _truncated(at)
        length = data[at]
        at += 1
        count += 1
        if count > max_elements:
            raise StructureRefused(
                "limits.elements", "more than {limit} ASN.1 elements", limit=max_elements
            )
        if tag == 0 and length == 0 and ends and ends[-1] == -1:
            ends.pop()
            limits.pop()
            continue
        if length == 0x80:
            if not tag & 0x20:
                raise StructureRefused(
                    "structure.length",
                    "a primitive element without length at octet {at}",
                    at=tag_at,
                )
            ends.append(-1)
            limits.append(limit)
        else:
            if length & 0x80:
                octet_count = length & 0x7F
                if octet_count > 8 or at + octet_count > limit:
                    raise StructureRefused(
                        "structure.length", "an impossible length at octet {at}", at=tag_at
                    )
                length = int.from_bytes(data[at : at + octet_count], "big")
                at += octet_count
            if length > limit - at:
                raise _truncated(tag_at)
            if tag == OID and length > max_oid:
                raise StructureRefused(
                    "limits.oid", "an object identifier of {size} octets at octet {at}",
                    size=length, at=tag_at,
                )  # fmt: skip
            if not tag & 0x20:
                at += length
                if not ends:
                    break
                continue
            ends.append(at + length)
            limits.append(at + length)
        if len(ends) > max_depth:
            raise StructureRefused(
                "limits.depth", "ASN.1 nested more than {limit} deep at octet {at}",
                limit=max_depth, at=tag_at,
            )  # fmt: skip
    if at != size:
        raise StructureRefused(
            "structure.trailing", "{count} octets after the end of the structure", count=size - at
        )


def _long_tag(data: bytes, at: int, limit: int) -> int:
    """Skip the further octets of a high tag number; four are more than any standard uses."""
    for _ in range(4):
        if at >= limit:
            raise _truncated(at)
        at += 1
        if not data[at - 1] & 0x80:
            return at
    raise StructureRefused("structure.tag", "an impossible tag before octet {at}", at=at)


def _truncated(at: int) -> StructureRefused:
    return StructureRefused("structure.truncated", "the structure is cut off at octet {at}", at=at)
