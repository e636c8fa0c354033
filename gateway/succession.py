"""One seal after the other for a domain: the old one signs until the time of the new one has come.

The new certificate can so be told to partners, and lie ready on all machines, before it signs. What
the old key signed stays valid; a seal that also opens mail keeps doing so. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509

from pki.models import Signer

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Succession:
    """The seals of a domain, with the moment from which each signs, in that order."""

    seals: tuple[tuple[datetime, Signer], ...]

    def at(self, moment: datetime) -> Signer:
        """The one that signs at a moment: the last whose time has come and whose certificate is
        valid then; where none is, the last whose time has come, so that it is seen what is wrong.
        """
        begun = [seal for begins, seal in self.seals if begins <= moment] or [self.seals[0][1]]
        valid = [seal for seal in begun if _valid(seal.certificate, moment)]
        return (valid or begun)[-1]

    @property
    def needed(self) -> tuple[Signer, ...]:
        """Those whose end stops mail: not one that another takes over from before it ends."""
        return tuple(
            seal
            for number, (_, seal) in enumerate(self.seals)
            if not any(
                begins <= _dates(seal.certificate)[1] < _dates(later.certificate)[1]
                for begins, later in self.seals[number + 1 :]
            )
        )


Seals = Mapping[str, Signer | Succession]


def in_force(seals: Seals, domain: str, moment: datetime) -> Signer | None:
    """The seal that signs for a domain at a moment; None where there is none."""
    found = seals.get(domain)
    return found.at(moment) if isinstance(found, Succession) else found


def needed(found: Signer | Succession) -> tuple[Signer, ...]:
    """The seals of a domain whose end stops mail."""
    return found.needed if isinstance(found, Succession) else (found,)


def succeeding(seals: Iterable[tuple[str, datetime | None, Signer]]) -> dict[str, Succession]:
    """By domain. seals: domain, from when it signs (None: ever since), signer."""
    found: dict[str, list[tuple[datetime, Signer]]] = {}
    for domain, begins, seal in seals:
        found.setdefault(domain, []).append((begins or BEGINNING, seal))
    return {
        domain: Succession(tuple(sorted(each, key=lambda one: one[0])))
        for domain, each in found.items()
    }


def _valid(der: bytes, moment: datetime) -> bool:
    begins, ends = _dates(der)
    return begins <= moment <= ends


@lru_cache(maxsize=256)
def _dates(der: bytes) -> tuple[datetime, datetime]:
    certificate = x509.load_der_x509_certificate(der)
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc
