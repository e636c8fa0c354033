"""BER of strangers, read into a tree in one bounded pass (X.690 §8). Pure.

No library sees a structure of a mail or a directory before it has passed here: libraries recurse
as deep as the sender likes, and take seconds for an object identifier of 200 kB (threat F13).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from pki.errors import StructureRefused

INTEGER, OCTET_STRING, OID, SEQUENCE, SET = 0x02, 0x04, 0x06, 0x30, 0x31
CONSTRUCTED = 0x20

MAX_DEPTH = 24
MAX_ELEMENTS = 10_000
MAX_OID = 64  # octets


class Element:
    """One element; the children of a constructed one are read already.

    tag: the identifier octet. start: where it stands in `data`. body to stop: where the content
    lies. definite: whether the length is, as DER demands.
    """

    __slots__ = ("body", "children", "data", "definite", "end", "start", "stop", "tag")

    # A mail has hundreds of these: written out, because every call counts.
    def __init__(
        self,
        data: bytes,
        tag: int,
        start: int,
        body: int,
        end: int,
        definite: bool,
        children: Sequence[Element],
    ) -> None:
        self.data = data
        self.tag = tag
        self.start = start
        self.body = body
        self.stop = self.end = end
        self.definite = definite
        self.children = children

    @property
    def raw(self) -> bytes:
        """All octets of the element."""
        return self.data[self.start : self.end]

    @property
    def content(self) -> bytes:
        """The octets behind the length."""
        return self.data[self.body : self.stop]

    def __iter__(self) -> Iterator[Element]:
        return iter(self.children)

    def __getitem__(self, number: int) -> Element:
        """A child. Raises StructureRefused where there is none."""
        if not 0 <= number < len(self.children):
            raise _at("structure.asn1", "an element is missing in that at octet {at}", self.start)
        return self.children[number]

    def expect(self, tag: int) -> Element:
        """Itself. Raises StructureRefused if it is something else."""
        if self.tag != tag:
            raise self.unexpected()
        return self

    def unexpected(self) -> StructureRefused:
        """That it is not what must stand here, and where it is."""
        return _at(
            "structure.asn1", "the element at octet {at} is not of the expected kind", self.start
        )


def read(
    data: bytes,
    *,
    max_depth: int = MAX_DEPTH,
    max_elements: int = MAX_ELEMENTS,
    whole: frozenset[tuple[int, ...]] = frozenset(),
) -> Element:
    """Exactly one element, within the limits of depth and number.

    whole: rows of tags from the outermost inwards, all equally long. An element right below such a
    row is only measured, where its length is definite: its octets are there, and no children.

    Raises StructureRefused, a ValueError, which says what is wrong at which octet.
    """
    tops: list[Element] = []
    siblings, limit = tops, len(data)  # where the next element belongs, and must end
    around: list[tuple[Element, list[Element], int]] = []  # the open elements, and that of each
    below = max(map(len, whole), default=-1)
    at = count = 0
    while True:
        if at + 2 > limit:
            raise _at("structure.truncated", "the structure is cut off at octet {at}", at)
        tag, length, body = data[at], data[at + 1], at + 2
        if tag & 0x1F == 0x1F:  # none of CMS, X.509 and LDAP is so high
            raise _at("structure.tag", "an impossible tag at octet {at}", at)
        definite = length != 0x80
        if length < 0x80:
            end = body + length
        elif definite:
            length &= 0x7F
            if length > 4 or body + length > limit:
                raise _at("structure.length", "an impossible length at octet {at}", at)
            body += length
            end = body + int.from_bytes(data[body - length : body], "big")
        else:
            end = limit  # as far as it may go
        if end > limit:
            raise _at(
                "structure.truncated",
                "cut off at octet {limit}: what begins at octet {at} should end at octet {end}",
                at, limit=limit, end=end,
            )  # fmt: skip
        count += 1
        if count > max_elements:
            raise StructureRefused(
                "limits.elements", "more than {limit} ASN.1 elements", limit=max_elements
            )
        if tag & CONSTRUCTED and not (
            len(around) == below and definite and tuple(one.tag for one, _, _ in around) in whole
        ):
            if len(around) == max_depth:
                raise _at(
                    "limits.depth", "ASN.1 nested more than {limit} deep at octet {at}",
                    at, limit=max_depth,
                )  # fmt: skip
            children: list[Element] = []
            one = Element(data, tag, at, body, end, definite, children)
            siblings.append(one)
            around.append((one, siblings, limit))
            siblings, limit, at = children, end, body
        else:
            if not definite:
                raise _at(
                    "structure.length", "a primitive element without length at octet {at}", at
                )
            if tag == OID and end - body > MAX_OID:
                raise _at(
                    "limits.oid", "an object identifier of {size} octets at octet {at}",
                    at, size=end - body,
                )  # fmt: skip
            siblings.append(Element(data, tag, at, body, end, True, ()))
            at = end
        while around:
            one = around[-1][0]
            if not one.definite:
                if at + 2 > limit or data[at] or data[at + 1]:
                    break
                one.stop, one.end = at, at + 2  # end-of-contents
                at += 2
            elif at != limit:
                break
            _, siblings, limit = around.pop()
        else:
            break
    if at != len(data):
        raise StructureRefused(
            "structure.trailing", "{count} octets after the end of the structure",
            count=len(data) - at,
        )  # fmt: skip
    return tops[0]


def _at(code: str, template: str, at: int, **facts: object) -> StructureRefused:
    return StructureRefused(code, template, at=at, **facts)


def octets(element: Element) -> bytes:
    """Value of an OCTET STRING in one piece or in several (X.690 §8.7). Raises ValueError."""
    if element.tag == OCTET_STRING | CONSTRUCTED:
        return b"".join(each.expect(OCTET_STRING).content for each in element)
    return element.expect(OCTET_STRING).content


def dotted(element: Element) -> str:
    """An OBJECT IDENTIFIER in digits (X.690 §8.19). Raises ValueError."""
    return _dotted(element.expect(OID).content)


# The same few come again and again; `read` lets none pass that is long.
@lru_cache(maxsize=1024)
def _dotted(content: bytes) -> str:
    if not content or content[-1] & 0x80:
        raise ValueError("an object identifier is cut short")
    arcs, value = [], 0
    for octet in content:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))
