"""Finds parts of a certificate or CRL in its bytes without decoding it. Pure.

Used on bytes that a strict parser has already accepted as DER, where it saves copying or
re-encoding megabytes. Raises ValueError on anything that is not definite-length DER.
"""

from __future__ import annotations


def element(data: bytes, offset: int) -> tuple[int, int]:
    """Where the content of the element at `offset` begins, and where the element ends."""
    if offset + 2 > len(data):
        raise ValueError("an element is cut short")
    length = data[offset + 1]
    content = offset + 2
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4:
            raise ValueError("an element has no definite length")
        length = int.from_bytes(data[content : content + count], "big")
        content += count
    end = content + length
    if end > len(data):
        raise ValueError("an element is cut short")
    return content, end


def elements(data: bytes) -> tuple[bytes, ...]:
    """Elements that stand one after the other."""
    found = []
    offset = 0
    while offset < len(data):
        _, end = element(data, offset)
        found.append(data[offset:end])
        offset = end
    return tuple(found)


def length_is_der(data: bytes, offset: int) -> bool:
    """Whether the element at `offset` has its length in the shortest form (X.690 §10.1)."""
    content, end = element(data, offset)
    length = end - content
    count = 0 if length < 0x80 else (length.bit_length() + 7) // 8
    return content - offset - 2 == count


def signed_part(der: bytes) -> bytes:
    """The bytes under the signature: tbsCertificate or tbsCertList (RFC 5280 §4.1, §5.1)."""
    start, _ = element(der, 0)
    _, end = element(der, start)
    return der[start:end]


def algorithms_agree(der: bytes) -> bool:
    """Whether signatureAlgorithm equals the copy under the signature (RFC 5280 §4.1.1.2, §5.1.1.2).

    In tbsCertificate it follows an optional [0] version and the serial number, in tbsCertList an
    optional version.
    """
    start, _ = element(der, 0)
    inner, outer = element(der, start)
    while der[inner] in (0xA0, 0x02):
        inner = element(der, inner)[1]
    return der[inner : element(der, inner)[1]] == der[outer : element(der, outer)[1]]


def extension_value(der: bytes, oid: bytes) -> bytes | None:
    """extnValue of a certificate's extension as it stands there (RFC 5280 §4.1.2.9), or None.

    oid: the whole element. For what a library passes over in an extension that it knows.
    """
    start, _ = element(der, 0)
    at, end = element(der, start)
    while at < end and der[at] != 0xA3:  # extensions
        at = element(der, at)[1]
    if at == end:
        return None
    at, end = element(der, element(der, at)[0])
    while at < end:
        field, behind = element(der, at)
        after_oid = element(der, field)[1]
        if der[field:after_oid] == oid:
            if der[after_oid] == 0x01:  # critical
                after_oid = element(der, after_oid)[1]
            content, last = element(der, after_oid)
            return der[content:last]
        at = behind
    return None


def integer(value: int) -> bytes:
    """An INTEGER as DER writes it, the only way it can appear in DER (X.690 §8.3)."""
    size = (value if value >= 0 else ~value).bit_length() // 8 + 1
    content = value.to_bytes(size, "big", signed=True)
    if len(content) > 127:
        raise ValueError("an integer is too large to be a serial number")
    return bytes((0x02, len(content))) + content


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
