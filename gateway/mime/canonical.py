"""Entities that must survive a 7-bit relay, because they are signed in clear (RFC 8551 §3.1)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import SceauError


class CannotConvert(SceauError):
    """A part would have to be changed that must not be (part: its number, "" is the root)."""

    def __init__(self, part: str, template: str) -> None:
        self.part = part
        self.template = template
        self.facts = {"part": part or "1"}
        super().__init__(template.format(**self.facts))


@dataclass(frozen=True, slots=True)
class Transformation:
    """What was done to one part.

    part: IMAP-like number ("1.2"), "" for the root. before, after: its transfer encoding.
    sha256_before, sha256_after: hex, of the whole part (fields, empty line, body).
    """

    part: str
    before: str
    after: str
    sha256_before: str
    sha256_after: str


def to_7bit(entity: bytes) -> tuple[bytes, tuple[Transformation, ...]]:
    """The entity in a form that no relay has a reason to change, and what was changed for that.

    Raises CannotConvert.
    """
    raise NotImplementedError
