"""CompressedData (RFC 3274), inflated within a limit. Pure."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from gateway.smime import cms
from gateway.smime.algorithms import ZLIB
from gateway.smime.cms import refused, unreadable
from pki import ber
from pki.ber import Element
from pki.errors import StructureRefused

# zlib shrinks zeros 1,028 times: 200 kB become 200 MiB. Text shrinks 3 to 10 times, a mail of
# nothing but white space less than 100 times, so no honest mail meets the limit.
LIMIT = 100 << 20
RATIO = 100
_PIECE = 256 << 10


@dataclass(frozen=True, slots=True)
class Inflated:
    """What was compressed. type: its content type (dotted). content: its octets."""

    type: str
    content: bytes


def read_compressed(content: Element, limit: int | None = None) -> Inflated:
    """Read and inflate a CompressedData, the content of a ContentInfo.

    limit: octets that may come out; otherwise 100 MiB, or 100 × the compressed octets if that is
    more. A structure that would give more is refused before its octets are kept: the memory used
    until then does not grow with what it promises. How many layers may lie in each other is for
    the caller to bound.

    Raises StructureRefused: `structure.asn1`, `structure.compression` (another algorithm than
    zlib), `structure.inflate` (damaged, cut off), `structure.trailing`, `limits.inflated`.
    """
    try:
        type_, deflated = _fields(content)
    except ValueError as error:
        if isinstance(error, StructureRefused):
            raise
        raise unreadable(error) from None
    size = _measure(deflated, max(LIMIT, RATIO * len(deflated)) if limit is None else limit)
    # The size is known and the stream is whole: one allocation, no growing.
    return Inflated(type_, zlib.decompress(deflated, zlib.MAX_WBITS, max(size, 1)))


def _fields(content: Element) -> tuple[str, bytes]:
    """Content type and compressed octets (RFC 3274 §1.1). Raises ValueError."""
    parts = content.expect(ber.SEQUENCE).children
    if len(parts) != 3:
        raise refused("a CompressedData has three parts")
    version, algorithm, encapsulated = parts
    if cms.integer(version) != 0:
        raise refused("a CompressedData has version 0")
    compression = cms.algorithm(algorithm)
    if compression.oid != ZLIB or not compression.plain:
        raise StructureRefused(
            "structure.compression",
            "compressed by an algorithm that is not known here: {algorithm}",
            algorithm=compression.oid,
        )
    if len(encapsulated.expect(ber.SEQUENCE).children) != 2:
        raise refused("a CompressedData has no content")
    explicit = encapsulated[1].expect(cms.CONSTRUCTED)
    if len(explicit.children) != 1:
        raise refused("the content of a CompressedData is not one element")
    return ber.dotted(encapsulated[0]), cms.octets(explicit[0])


def _measure(deflated: bytes, limit: int) -> int:
    """Octets that come out, counted and thrown away. Raises StructureRefused."""
    stream = zlib.decompressobj()
    size = 0
    try:
        for at in range(0, len(deflated), _PIECE):
            waiting = deflated[at : at + _PIECE]
            while waiting and not stream.eof:
                size += len(stream.decompress(waiting, _PIECE))
                waiting = stream.unconsumed_tail
                if size > limit:
                    raise StructureRefused(
                        "limits.inflated", "it inflates to more than {limit} octets", limit=limit
                    )
            if stream.eof:
                behind = len(stream.unused_data) + len(deflated) - min(at + _PIECE, len(deflated))
                if behind:
                    raise StructureRefused(
                        "structure.trailing",
                        "{count} octets after the end of the structure",
                        count=behind,
                    )
                return size
    except zlib.error:
        raise StructureRefused("structure.inflate", "the compressed octets are damaged") from None
    raise StructureRefused("structure.inflate", "the compressed octets are cut off")
