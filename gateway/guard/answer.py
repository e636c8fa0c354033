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


# Message, and what is to be known about it (plain data); gives an Answer. Pure, and it lets
# MemoryError and RecursionError pass.
Function = Callable[[bytes, Mapping[str, Any]], Answer]
