"""A change to one element of a CMS structure, with the lengths around it made right again.

Blind changes of octets seldom get past the first length that no longer fits.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from gateway.smime import cms
from pki import ber
from pki import der_writing as der
from pki.ber import Element
from pki.errors import StructureRefused

Blind = Callable[[bytes], bytes]
"""Changes octets without knowing what they are."""

_TAGS = (0x02, 0x03, 0x04, 0x05, 0x06, 0x13, 0x17, 0x18, 0x24, 0x30, 0x31, 0x80, 0xA0, 0xA1, 0xA2)


def mutated(data: bytes, seed: int, blind: Blind) -> bytes:
    """One change. The CMS is the whole input or, behind a mail header, all of the body."""
    chance = random.Random(seed)
    at = 0 if data[:1] == b"\x30" else data.find(b"\r\n\r\n") + 4
    if data[at : at + 1] != b"\x30" or chance.random() < 0.1:
        return blind(data)
    try:
        root = cms.read(data[at:])
    except StructureRefused:
        return blind(data)
    elements = _all(root)
    target = chance.choice(elements)
    new = _changed(target, elements, chance, blind)
    return data[:at] + _written(root, target, new)


def _all(root: Element) -> list[Element]:
    found = [root]
    for element in found:  # grows while it runs
        found += element.children
    return found


def _changed(
    target: Element, elements: list[Element], chance: random.Random, blind: Blind
) -> bytes:
    """What stands in place of the target; nothing where it is left out."""
    match chance.randrange(7):
        case 0:
            return b""
        case 1:
            return target.raw * chance.choice((2, 2, 2, 40))
        case 2:
            return chance.choice(elements).raw
        case 3:
            return _element(chance.choice(_TAGS), target.content)
        case 4 if target.tag & ber.CONSTRUCTED:  # with an indefinite length
            return bytes((target.tag, 0x80)) + target.content + b"\0\0"
        case 5 if target.children:
            children = [child.raw for child in target.children]
            chance.shuffle(children)
            return _element(target.tag, b"".join(children))
        case _:
            return _element(target.tag, blind(target.content))


def _written(element: Element, target: Element, new: bytes) -> bytes:
    """The element with all its lengths, `new` in place of the target."""
    if element is target:
        return new
    if not element.start <= target.start < element.end:
        return element.raw
    return _element(
        element.tag, b"".join(_written(child, target, new) for child in element.children)
    )


def _element(tag: int, content: bytes) -> bytes:
    return der.element(tag, content)
