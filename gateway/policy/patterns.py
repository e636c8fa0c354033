"""Patterns for addresses, as rules write them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a rule says of a sender or a recipient.

    text: "a@b.example" (this address), "@b.example" (this domain), "*.b.example" (every domain
    below it, not itself), "*" (every address). Addresses and domains in canonical form
    (`pki.addresses.canonical`).
    """

    text: str

    def matches(self, address: str) -> bool:
        """address: canonical, or "" for a sender without one, whom only "*" matches."""
        pattern = self.text
        if pattern == "*":
            return True
        if pattern.startswith("@"):
            # The domain is what follows the last @: a quoted local part may hold one itself.
            return address[address.rfind("@") :] == pattern if address else False
        if pattern.startswith("*."):
            return address.rpartition("@")[2].endswith(pattern[1:])
        return address == pattern

    def covers(self, other: Pattern) -> bool:
        """Whether every address that `other` matches is matched by this one."""
        if self == other or self.text == "*":
            return True
        if other.text == "*":
            return False
        if other.text.startswith(("*.", "@")):
            return self.text.startswith("*.") and other.text.endswith(self.text[1:])
        return self.matches(other.text)
