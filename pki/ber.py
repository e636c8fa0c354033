"""BER of strangers, read into a tree in one bounded pass (X.690 §8). Pure.

No library sees a value of a directory before it has passed here: libraries recurse as deep as the
sender likes and decode object identifiers of any size (threat F13).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

INTEGER, OCTET_STRING, OID, SEQUENCE, SET = 0x02, 0x04, 0x06, 0x30, 0x31
CONSTRUCTED = 0x20

MAX_DEPTH = 24
MAX_ELEMENTS = 10_000
MAX_OID = 64  # octets


@dataclass(slots=True, eq=False)
class Element:
    """One element; the children of a constructed one are read already.

    tag: the identifier octet. body to stop: where the content lies in `data`. definite: whether
    the length is, as DER demands.
    """

    data: bytes
    tag: int
    start: int
    body: int
    stop: int
    end: int
    definite: bool
    children: list[Element] = field(default_factory=list)

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
        """A child. Raises ValueError where there is none."""
        if not 0 <= number < len(self.children):
            raise ValueError("an element is missing")
        return self.children[number]

    def expect(self, tag: int) -> Element:
        """Itself. Raises ValueError if it is something else."""
        if self.tag != tag:
            raise ValueError("an element is not of the expected kind")
        return self


def read(data: bytes, *, max_depth: int = MAX_DEPTH, max_elements: int = MAX_ELEMENTS) -> Element:
    """Exactly one element, within the limits of depth and number. Raises ValueError."""
    root = _head(data, 0, len(data))
    open_ones = [root] if root.tag & CONSTRUCTED else []
    at = root.body if open_ones else root.end
    count = 1
    while open_ones:
        parent = open_ones[-1]
        if parent.definite and at == parent.end:
            open_ones.pop()
            continue
        if not parent.definite and data[at : at + 2] == b"\0\0":  # end-of-contents
            parent.stop, parent.end = at, at + 2
            at = parent.end
            open_ones.pop()
            continue
        child = _head(data, at, parent.end)
        count += 1
        if count > max_elements:
            raise ValueError("it has too many elements")
        parent.children.append(child)
        if child.tag & CONSTRUCTED:
            if len(open_ones) == max_depth:
                raise ValueError("it is nested too deep")
            open_ones.append(child)
            at = child.body
        else:
            at = child.end
    if at != len(data):
        raise ValueError("there is something behind its end")
    return root


def _head(data: bytes, at: int, limit: int) -> Element:
    """The element at `at`. Where its length is indefinite, `end` is as far as it may go."""
    if at + 2 > limit:
        raise ValueError("an element is cut short")
    tag, length, body = data[at], data[at + 1], at + 2
    if tag & 0x1F == 0x1F:
        raise ValueError("an element has a tag that nothing here uses")
    if length == 0x80:
        if not tag & CONSTRUCTED:
            raise ValueError("an element has no length")
        return Element(data, tag, at, body, limit, limit, definite=False)
    if length > 0x80:
        count = length & 0x7F
        if count > 4 or body + count > limit:
            raise ValueError("an element has an impossible length")
        length = int.from_bytes(data[body : body + count], "big")
        body += count
    if body + length > limit:
        raise ValueError("an element is cut short")
    if tag == OID and length > MAX_OID:
        raise ValueError("an object identifier is too long")
    return Element(data, tag, at, body, body + length, body + length, definite=True)


def octets(element: Element) -> bytes:
    """Value of an OCTET STRING in one piece or in several (X.690 §8.7). Raises ValueError."""
    if element.tag == OCTET_STRING | CONSTRUCTED:
        return b"".join(each.expect(OCTET_STRING).content for each in element)
    return element.expect(OCTET_STRING).content


def dotted(element: Element) -> str:
    """An OBJECT IDENTIFIER in digits (X.690 §8.19). Raises ValueError."""
    content = element.expect(OID).content
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
