"""What a guarded function is, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """value: plain data as JSON has it. octets: what came out beside it, an opened mail, say."""

    value: Mapping[str, Any]
    octets: bytes | bytearray = field(default=b"", repr=False)


class Parcel:
    """A message that is let go once it is on its way.

    A worker has its own copy: whoever waits for what it says of a mail of 100 MB need not hold the
    mail, too.
    """

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def __len__(self) -> int:
        return len(self._octets)

    def hand_over(self) -> bytes:
        """The octets, which are not here any more from now on."""
        octets, self._octets = self._octets, b""
        return octets


# Message, and what is to be known about it (plain data); gives an Answer. Pure, and it lets
# MemoryError and RecursionError pass.
Function = Callable[[bytes, Mapping[str, Any]], Answer]
