"""Case number n of seed s: the same structure every time; keys and signatures are fresh."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.judges.paths import (
    twists_mail,
    twists_names,
    twists_path,
    twists_policies,
    twists_revocation,
)
from tests.judges.paths.keys import Pool
from tests.judges.paths.model import MARIE, Case, Cert, CrlSpec, Mend, World
from tests.judges.paths.sign import case_of
from tests.judges.paths.twist import Dice, Twist, ca_name

# Areas, and how often a twist is taken from each.
_AREAS: list[tuple[list[tuple[Twist, int]], int]] = [
    (twists_path.TWISTS, 5),
    (twists_names.TWISTS, 3),
    (twists_policies.TWISTS, 4),
    (twists_revocation.TWISTS, 5),
]


def cases(seed: int, count: int) -> Iterator[Case]:
    """The first `count` cases of a seed."""
    for number in range(count):
        yield case(seed, number)


def case(seed: int, number: int, mends: tuple[Mend, ...] = ()) -> Case:
    """One case. mends: change it when everything has been done to it, before it is signed."""
    made, rng = world(seed, number)
    for mend in mends:
        mend(made)
    return replace(case_of(made, seed, number, rng.shuffle), mends=mends)


def world(seed: int, number: int) -> tuple[World, random.Random]:
    """The same before anything is signed, and what chance comes from afterwards."""
    rng = random.Random(f"{seed}/{number}")
    dice = Dice(rng, Pool(rng))
    made = _straight(dice)
    areas = list(_AREAS)
    if dice.chance(0.3):
        twists_mail.start(made, dice)
        areas.append((twists_mail.TWISTS, 4))
    if dice.chance(0.5):
        twists_policies.start(made, dice)
    done: set[Twist] = set()
    # Most faults come alone, or nobody could say which of them a judge saw.
    for _ in range(rng.choices([0, 1, 2, 3, 4], [1, 5, 6, 3, 1])[0]):
        (twists,) = rng.choices([area for area, _ in areas], [often for _, often in areas])
        (twist,) = rng.choices([one for one, _ in twists], [often for _, often in twists])
        if twist not in done:
            done.add(twist)
            made.traits.add(twist(made, dice))
    made.traits.discard("")
    return made, rng


def _straight(dice: Dice) -> World:
    """A chain in which everything is right: root, 0 to 5 intermediates, Marie."""
    root = Cert(ca_name("Root"), dice.pool.draw(), dice.number())  # type: ignore[arg-type]
    root.crls = [CrlSpec()]
    chain = [root]
    for step in range(dice.rng.choices([0, 1, 2, 3, 4, 5], [1, 4, 4, 2, 1, 1])[0]):
        made = Cert(ca_name(f"CA {step}"), dice.pool.draw(), dice.number(), chain[-1])  # type: ignore[arg-type]
        made.crls = [CrlSpec()]
        chain.append(made)
    subject = ca_name("Marie")
    subject.insert(2, (NameOID.ORGANIZATIONAL_UNIT_NAME, "People"))
    leaf = Cert(subject, dice.pool.draw(), dice.number(), chain[-1])  # type: ignore[arg-type]
    leaf.ca, leaf.usage = False, ("digital_signature", "key_encipherment")
    leaf.names = [x509.RFC822Name(MARIE)]
    return World([*chain, leaf], anchors=[root])
