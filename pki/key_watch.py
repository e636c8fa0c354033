"""What the finder does with keys that an address was not seen with before.

Only the keys of certificates that would be used count: a directory full of expired ones is no
change. What a person put into the local store is accepted by that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pki.certificate import ParsedCertificate
from pki.errors import Problem
from pki.recipient_keys import Familiar, KeyChange, Sighting, key_pair
from pki.verdict import Judged


def _accept(_address: str) -> KeyChange:
    return KeyChange.ACCEPT


def _nobody(_sightings: Sequence[Sighting]) -> None:
    return None


@dataclass(frozen=True, slots=True)
class KeyWatch:
    """The rule for an address, and who is told of keys that are new.

    noticed: called by the thread that looked, soon and perhaps several times for one key; it must
    not wait, and must not raise. By default nobody watches.
    """

    rule: Callable[[str], KeyChange] = _accept
    noticed: Callable[[Sequence[Sighting]], None] = _nobody

    def watches(self, address: str) -> bool:
        """Whether anything is to be known of its keys."""
        return self.rule(address) is not KeyChange.ACCEPT

    def sort(self, address: str, usable: Sequence[Judged], known: Mapping[str, Familiar]) -> Sorted:
        """Which of the usable certificates may be used, and which wait for a person."""
        rule = self.rule(address)
        if rule is KeyChange.ACCEPT:
            return Sorted(list(usable))
        before = known.get(address, Familiar())
        found = Sorted(first_use=not before.pairs)
        for one in usable:
            checked = one.certificate
            if key_pair(checked.certificate) in before.pairs:
                found.fit.append(one)
                continue
            cert = ParsedCertificate(checked.der)
            change = None if checked.source.startswith("store (") else before.change(cert, address)
            if change is not None and rule is KeyChange.HOLD:
                found.held.append((one, change))
            else:
                found.fit.append(one)
            found.sightings.append(Sighting(address, cert, checked.source, change))
        return found


UNWATCHED = KeyWatch()


@dataclass(slots=True)
class Sorted:
    """fit: to be used. held: not before a person has accepted the key. sightings: keys not known.

    Of those that fit, the finder reports the one that it chooses.
    """

    fit: list[Judged] = field(default_factory=list)
    held: list[tuple[Judged, Problem]] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    first_use: bool = False

    def to_report(self, chosen: str) -> list[Sighting]:
        """The key that is used, by SHA-256 of its certificate, and those that wait.

        Of an address that was never seen before all keys are as good as the first one.
        """
        if self.first_use:
            return self.sightings
        held = {one.certificate.sha256 for one, _ in self.held}
        return [
            each
            for each in self.sightings
            if each.certificate.sha256 == chosen or each.certificate.sha256 in held
        ]
