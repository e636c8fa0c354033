"""What every twist gets: the world, the dice, the keys."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.x509.oid import NameOID

from tests.judges.paths.keys import Pool
from tests.judges.paths.model import Cert, World

Rdns = list[tuple[object, str]]


@dataclass
class Dice:
    """One case's source of chance, and of what must be different within it."""

    rng: random.Random
    pool: Pool
    serial: int = 1000

    def number(self) -> int:
        """A serial number that nobody else in this case has."""
        self.serial += self.rng.randint(1, 200)
        return self.serial

    def chance(self, share: float) -> bool:
        return self.rng.random() < share


# Changes the world and says in one word what was done; "" where it does not apply.
Twist = Callable[[World, Dice], str]


def ca_name(text: str) -> list[tuple[object, str]]:
    """C=FR, O=Sceau Tests, CN=…"""
    return [
        (NameOID.COUNTRY_NAME, "FR"),
        (NameOID.ORGANIZATION_NAME, "Sceau Tests"),
        (NameOID.COMMON_NAME, text),
    ]


def below_root(world: World) -> list[Cert]:
    """All certificates of the chain but the anchor's."""
    return world.chain[1:]


def intermediates(world: World) -> list[Cert]:
    return world.chain[1:-1]
