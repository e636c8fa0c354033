"""Texts as people compare them, and patterns with a star: all in linear time.

A rule that looks for a mark must find it however it is typed: capitals, accents, full-width
brackets, an invisible hyphen inside. What a pattern can cost is bounded: there is no back-tracking,
so nobody can hold up the gateway with a long subject (ReDoS).
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from gateway.mime.normal import each_normal

# Marks on letters, and what is not seen at all (zero width, soft hyphen, direction).
_DROPPED = frozenset({"Mn", "Me", "Cf"})
_TYPOGRAPHY = str.maketrans(
    {**dict.fromkeys("‘’ʼ′", "'"), **dict.fromkeys("“”«»„", '"'), **dict.fromkeys("‐‑‒–—−", "-")}
)


def fold(text: str) -> str:
    """Without case, accents, invisible characters, typography; white space is one blank."""
    if not text.isascii():
        # The marks are dropped, so nobody needs them in order: to order them is not linear.
        decomposed = each_normal("NFKD", each_normal("NFKD", text).casefold())
        text = "".join(c for c in decomposed if unicodedata.category(c) not in _DROPPED)
        text = text.translate(_TYPOGRAPHY)
    return " ".join(text.casefold().split())


@dataclass(frozen=True, slots=True)
class Glob:
    """A text in which "*" stands for any text, also none. text: folded."""

    text: str

    def matches(self, folded: str) -> bool:
        """Whether the whole of a folded text fits."""
        first, *rest = self.text.split("*")
        if not rest:
            return folded == first
        *middle, last = rest
        if len(folded) < len(first) + len(last):
            return False
        if not (folded.startswith(first) and folded.endswith(last)):
            return False
        at, end = len(first), len(folded) - len(last)
        for part in middle:
            # Leftmost is as good as any other: what follows has the most room then.
            found = folded.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True

    def covers(self, other: Glob) -> bool:
        """Whether all that `other` matches is matched. Never True where it is not so."""
        if self == other or (self.text and not self.text.strip("*")):
            return True
        return "*" not in other.text and self.matches(other.text)
