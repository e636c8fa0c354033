"""What all CMS structures are made of (RFC 5652), read from the BER of strangers. Pure.

Every structure passes `pki.ber.read` and nothing else: no library's parser sees octets from
outside. What is read stays a view into the message; certificates are left as DER.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.smime import algorithms
from pki import ber
from pki import der_writing as der
from pki.ber import Element
from pki.errors import StructureRefused

MAX_DEPTH, MAX_ELEMENTS = 32, 200_000

CONTEXT = 0x80
CONSTRUCTED = 0xA0  # [0] EXPLICIT, or IMPLICIT of something constructed


@dataclass(frozen=True, slots=True)
class ContentInfo:
    """RFC 5652 §3. type: dotted. content: what is inside the [0]."""

    type: str
    content: Element


@dataclass(frozen=True, slots=True)
class Algorithm:
    """AlgorithmIdentifier (RFC 5280 §4.1.1.2). oid: dotted. parameters: None where absent."""

    oid: str
    parameters: Element | None

    @property
    def plain(self) -> bool:
        """Whether its parameters say nothing: absent, or NULL (RFC 5754 §2 has both)."""
        return self.parameters is None or self.parameters.raw == b"\x05\x00"


@dataclass(frozen=True, slots=True)
class IssuerAndSerial:
    """RFC 5652 §10.2.4. issuer: the Name as it stands, DER or not. serial: may be negative."""

    issuer: bytes
    serial: int


@dataclass(frozen=True, slots=True)
class KeyIdentifier:
    """subjectKeyIdentifier (RFC 5652 §5.3, §6.2.1)."""

    value: bytes


Identifier = IssuerAndSerial | KeyIdentifier


def read(data: bytes) -> Element:
    """One BER element, scanned and bounded. Raises StructureRefused."""
    return ber.read(data, max_depth=MAX_DEPTH, max_elements=MAX_ELEMENTS)


# In a ContentInfo, and in its [0] a SignedData: its certificates [0] and CRLs [1].
_INSIDE = (ber.SEQUENCE, CONSTRUCTED, ber.SEQUENCE)
_WHOLE = frozenset({(*_INSIDE, CONSTRUCTED), (*_INSIDE, CONSTRUCTED | 1)})
_SIGNED_DATA = der.oid(algorithms.SIGNED_DATA)


def content_info(data: bytes) -> ContentInfo:
    """The outermost structure of a CMS file or S/MIME part. Raises StructureRefused.

    Certificates and CRLs in it are not taken apart: most certificates are known already, and they
    are half of a mail's elements; CRLs have hundreds of thousands. Who wants one reads it then.
    """
    # Who says so where it is none gets a structure that is not as it must be.
    whole = _WHOLE if _SIGNED_DATA in data[:32] else frozenset()
    try:
        info = ber.read(data, max_depth=MAX_DEPTH, max_elements=MAX_ELEMENTS, whole=whole).expect(
            ber.SEQUENCE
        )
        explicit = info[1].expect(CONSTRUCTED)
        if len(info.children) != 2 or len(explicit.children) != 1:
            raise refused("a ContentInfo has more parts than it may have")
        return ContentInfo(ber.dotted(info[0]), explicit[0])
    except StructureRefused:
        raise
    except ValueError as error:
        raise unreadable(error) from None


def algorithm(element: Element, tag: int = ber.SEQUENCE) -> Algorithm:
    """An AlgorithmIdentifier. tag: for an implicit one. Raises ValueError."""
    parts = element.expect(tag).children
    if not 1 <= len(parts) <= 2:
        raise refused("an AlgorithmIdentifier has one or two parts")
    return Algorithm(ber.dotted(parts[0]), parts[1] if len(parts) == 2 else None)


def integer(element: Element) -> int:
    """An INTEGER. Raises ValueError."""
    content = element.expect(ber.INTEGER).content
    if not content:
        raise refused("an integer has no octets")
    return int.from_bytes(content, "big", signed=True)


def octets(element: Element, tag: int = ber.OCTET_STRING) -> bytes:
    """Value of an OCTET STRING, in one piece or in several (X.690 §8.7.3), nested too.

    tag: for an implicit one, as it is when primitive. Raises ValueError.
    """
    if element.tag == tag:
        return element.content
    if element.tag != tag | ber.CONSTRUCTED:
        raise element.unexpected()
    pieces: list[bytes] = []
    waiting = list(reversed(element.children))
    while waiting:  # a loop: the sender chooses the depth, within the bounds of `read`
        piece = waiting.pop()
        if piece.tag == ber.OCTET_STRING | ber.CONSTRUCTED:
            waiting += reversed(piece.children)
        else:
            pieces.append(piece.expect(ber.OCTET_STRING).content)
    return b"".join(pieces)


def issuer_and_serial(element: Element) -> IssuerAndSerial:
    """IssuerAndSerialNumber. Raises ValueError."""
    if len(element.expect(ber.SEQUENCE).children) != 2:
        raise refused("an IssuerAndSerialNumber has two parts")
    return IssuerAndSerial(element[0].expect(ber.SEQUENCE).raw, integer(element[1]))


def identifier(element: Element) -> Identifier:
    """SignerIdentifier, RecipientIdentifier: the one or the other. Raises ValueError."""
    if element.tag in (CONTEXT, CONTEXT | ber.CONSTRUCTED):
        return KeyIdentifier(octets(element, CONTEXT))
    return issuer_and_serial(element)


def refused(reason: str) -> StructureRefused:
    """That this is no CMS structure which can be read, and why: `reason` has no places."""
    return StructureRefused("structure.asn1", "not a CMS structure that can be read: " + reason)


def unreadable(error: ValueError) -> StructureRefused:
    """The same of what a reader of a part says."""
    return StructureRefused(
        "structure.asn1", "not a CMS structure that can be read: {reason}", reason=str(error)[:200]
    )
