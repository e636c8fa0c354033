"""Twists of certificate policies: sets, mappings, constraints, what the caller asks."""

from __future__ import annotations

from tests.judges.paths.model import World
from tests.judges.paths.twist import Dice, Twist, below_root, intermediates

ANY = "2.5.29.32.0"
POLICIES = [f"1.3.6.1.4.1.99999.2.{n}" for n in range(1, 5)]


def start(world: World, dice: Dice) -> None:
    """One policy along the whole chain, with company here and there."""
    common = dice.rng.choice(POLICIES)
    for cert in below_root(world):
        cert.policies = sorted({common, *dice.rng.sample(POLICIES, k=dice.rng.randint(0, 2))})
        if dice.chance(0.2):
            cert.policies.append(ANY)


def other_set(world: World, dice: Dice) -> str:
    cert = dice.rng.choice(below_root(world))
    cert.policies = dice.rng.sample([*POLICIES, ANY], k=dice.rng.randint(1, 3))
    return "policy-set"


def any_only(world: World, dice: Dice) -> str:
    dice.rng.choice(below_root(world)).policies = [ANY]
    return "any-policy"


def none_at_all(world: World, dice: Dice) -> str:
    dice.rng.choice(below_root(world)).policies = None
    return "no-policies"


def mapping(world: World, dice: Dice) -> str:
    if not intermediates(world):
        return ""
    cert = dice.rng.choice(intermediates(world))
    pairs = {tuple(dice.rng.sample(POLICIES, k=2)) for _ in range(dice.rng.randint(1, 3))}
    cert.mappings = sorted(pairs)  # type: ignore[arg-type]
    cert.policies = sorted({*(cert.policies or []), *(one for one, _ in pairs)})
    if dice.chance(0.7):  # what is issued below speaks of the policies that were mapped to
        for below in world.chain[world.chain.index(cert) + 1 :]:
            below.policies = sorted({*(below.policies or []), *(other for _, other in pairs)})
    return "mapping"


def mapping_of_any(world: World, dice: Dice) -> str:
    if not intermediates(world):
        return ""
    cert = dice.rng.choice(intermediates(world))
    pair = [ANY, dice.rng.choice(POLICIES)]
    dice.rng.shuffle(pair)
    cert.mappings = [(pair[0], pair[1])]
    cert.policies = sorted({*(cert.policies or []), pair[0]})
    return "mapping-of-any"


def constraints(world: World, dice: Dice) -> str:
    cert = dice.rng.choice(below_root(world))
    if dice.chance(0.6):
        cert.explicit = dice.rng.randint(0, 3)
    if dice.chance(0.5) or cert.explicit is None:
        cert.inhibit_mapping = dice.rng.randint(0, 3)
    return "policy-constraints"


def inhibit_any(world: World, dice: Dice) -> str:
    dice.rng.choice(below_root(world)).inhibit_any = dice.rng.randint(0, 3)
    return "inhibit-any"


def constraints_of_root(world: World, dice: Dice) -> str:
    world.chain[0].explicit = dice.rng.randint(0, 2)
    return "root-policy-constraints"


def asked(world: World, dice: Dice) -> str:
    """What the relying party wants (RFC 5280 §6.1.1 (c), (e)–(g)); for mail it asks nothing."""
    if world.purpose is not None:
        return ""
    if dice.chance(0.7):
        world.acceptable = set(dice.rng.sample(POLICIES, k=dice.rng.randint(1, 2)))
    world.require_explicit = dice.chance(0.6)
    world.inhibit_mapping = dice.chance(0.3)
    world.inhibit_any = dice.chance(0.3)
    return "policy-inputs"


TWISTS: list[tuple[Twist, int]] = [
    (other_set, 4), (any_only, 3), (none_at_all, 2), (mapping, 6), (mapping_of_any, 1),
    (constraints, 5), (inhibit_any, 4), (constraints_of_root, 1), (asked, 6),
]  # fmt: skip
