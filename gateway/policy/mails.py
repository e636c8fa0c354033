"""What rules can ask of a mail. What is not known says so: it is never taken for "no"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from gateway.mime.entity import Message
from gateway.mime.words import decode_words
from gateway.policy.folding import fold
from pki.errors import Problem

# The groups of an address (names in lower case), or why nobody could tell.
Membership = frozenset[str] | Problem


class Header(Protocol):
    """The header fields of a mail, as far as they are known."""

    def values(self, name: str) -> tuple[str, ...] | None:
        """Folded values of all fields of that name (lower case); None where it is not known."""
        ...


class NoHeader:
    """Nothing is known of the header: at RCPT, or of a mail that may not be opened."""

    def values(self, name: str) -> None:
        """Not known."""


class PartOfHeader:
    """Some fields are known: of a mail whose sealed header fields were opened."""

    def __init__(self, known: Mapping[str, tuple[bytes, ...]]) -> None:
        """known: name in lower case to the values of all fields of that name."""
        self._known = {name: tuple(map(_folded, values)) for name, values in known.items()}

    def values(self, name: str) -> tuple[str, ...] | None:
        """See `Header`."""
        return self._known.get(name)


class WholeHeader:
    """The header of a mail; a field is decoded when a rule first asks for it."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self._folded: dict[str, tuple[str, ...]] = {}

    def values(self, name: str) -> tuple[str, ...]:
        """See `Header`."""
        found = self._folded.get(name)
        if found is None:
            found = tuple(_folded(field.value) for field in self._message.all(name))
            self._folded[name] = found
        return found


def _folded(value: bytes) -> str:
    return fold(decode_words(value))


NO_HEADER = NoHeader()


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail, for all its recipients.

    author: canonical address in From, not the envelope's sender: the latter is not proved, and
        whoever can choose it could choose a rule that lets clear text out. None: not known.
    size: bytes as they came; None: not known.
    moment: when it was accepted, aware; None: not known. Not the time of an attempt: whoever can
        make mail wait (a directory that is cut off) could wait for the hours of a laxer rule.
    groups: by canonical address; an address that is not in it was not asked for.
    """

    author: str | None
    size: int | None = None
    moment: datetime | None = None
    header: Header = NO_HEADER
    groups: Mapping[str, Membership] = field(default_factory=dict)
