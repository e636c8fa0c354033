"""DER written from parts (X.690 §10). Pure."""

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
