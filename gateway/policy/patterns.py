"""Patterns for addresses, as rules write them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a rule says of a sender or a recipient.

    text: "a@b.example" (this address), "@b.example" (this domain), "*.b.example" (every domain
    below it, not itself), "*" (every address). Addresses and domains in canonical form
    (`pki.addresses.canonical`).
    of: name of the list it comes from, "" for one that stands in the rule itself.
    """

    text: str
    of: str = field(default="", compare=False)

    def matches(self, address: str) -> bool:
        """address: canonical, or "" for a sender without one, whom only "*" matches."""
        return AddressSet((self,)).has(address)

    def covers(self, other: Pattern) -> bool:
        """Whether every address that `other` matches is matched by this one."""
        return AddressSet((self,)).covers(AddressSet((other,)))


class AddressSet:
    """All addresses that one of some patterns matches; asking costs the same however many."""

    __slots__ = ("below", "domains", "every", "exact", "patterns")

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self.patterns = tuple(patterns)
        texts = [pattern.text for pattern in self.patterns]
        self.every = "*" in texts
        self.domains = frozenset(text[1:] for text in texts if text.startswith("@"))
        self.below = tuple(text[1:] for text in texts if text.startswith("*."))
        self.exact = frozenset(t for t in texts if t != "*" and not t.startswith(("@", "*.")))

    def has(self, address: str) -> bool:
        """address: canonical, or "" for none."""
        if self.every:
            return True
        if not address:
            return False
        # The domain is what follows the last @: a quoted local part may hold one itself.
        domain = address[address.rfind("@") + 1 :]
        return domain in self.domains or address in self.exact or domain.endswith(self.below)

    def covers(self, other: AddressSet) -> bool:
        """Whether every address of `other` is in this set. Never True where it is not so."""
        if self.every:
            return True
        return (
            not other.every
            and all(self.has(address) for address in other.exact)
            and all(self._has_domain(domain) for domain in other.domains)
            and all(suffix.endswith(self.below) for suffix in other.below)
        )

    def meets(self, other: AddressSet) -> bool:
        """Whether an address may be in both. Never False where one is."""
        if self.every or other.every:
            return True
        return (
            any(other.has(address) for address in self.exact)
            or any(self.has(address) for address in other.exact)
            or any(other._has_domain(domain) for domain in self.domains)
            or any(self._has_domain(domain) for domain in other.domains)
            or any(mine.endswith(other.below) for mine in self.below)
            or any(theirs.endswith(self.below) for theirs in other.below)
        )

    def _has_domain(self, domain: str) -> bool:
        return domain in self.domains or domain.endswith(self.below)

    @property
    def words(self) -> tuple[str, ...]:
        """As a rule writes them: a list by its name, once."""
        words = (f"list:{one.of}" if one.of else one.text for one in self.patterns)
        return tuple(dict.fromkeys(words))
