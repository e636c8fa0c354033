"""Twists of the chain itself: lengths, dates, usages, signatures, key identifiers, detours."""

from __future__ import annotations

from copy import copy

from cryptography import x509

from tests.judges.paths.model import DAY, NOW, Cert, CrlSpec, World
from tests.judges.paths.twist import Dice, Twist, below_root, ca_name, intermediates

_UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
_HARMLESS = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.4"), b"\x05\x00")


def path_length(world: World, dice: Dice) -> str:
    for cert in dice.rng.sample(world.authorities, k=min(2, len(world.authorities))):
        cert.path_length = dice.rng.randint(0, 4)
    return "root-path-length" if world.chain[0].path_length is not None else "path-length"


def path_length_of_root(world: World, dice: Dice) -> str:
    world.chain[0].path_length = dice.rng.randint(0, len(world.chain))
    return "root-path-length"


def not_a_ca(world: World, dice: Dice) -> str:
    if not intermediates(world):
        return ""
    dice.rng.choice(intermediates(world)).ca = dice.rng.choice([False, None])
    return "not-a-ca"


def ca_as_leaf(world: World, dice: Dice) -> str:
    world.leaf.ca, world.leaf.usage = True, None
    return "leaf-is-ca"


def no_constraints_leaf(world: World, dice: Dice) -> str:
    world.leaf.ca = None
    return "leaf-without-basic-constraints"


def ca_usage(world: World, dice: Dice) -> str:
    cert = dice.rng.choice(world.authorities)
    cert.usage = dice.rng.choice(
        [None, ("key_cert_sign",), ("crl_sign",), ("digital_signature",), ("key_cert_sign",)]
    )
    return "root-usage" if cert is world.chain[0] else "ca-usage"


def dates(world: World, dice: Dice) -> str:
    cert = dice.rng.choice(below_root(world))
    if dice.chance(0.5):
        cert.end = NOW - dice.rng.choice([1, 300, 3600 * 24]) * DAY / 86400
    else:
        cert.start = NOW + dice.rng.choice([1, 300, 3600 * 24]) * DAY / 86400
    return "dates"


def dates_of_root(world: World, dice: Dice) -> str:
    world.chain[0].end = NOW - DAY
    return "root-expired"


def edge_of_time(world: World, dice: Dice) -> str:
    cert = dice.rng.choice(below_root(world))
    if dice.chance(0.5):
        cert.end = NOW
    else:
        cert.start = NOW
    return "edge-of-time"


def critical(world: World, dice: Dice) -> str:
    cert = dice.rng.choice(world.chain)
    cert.extra.append((_UNKNOWN, True))
    return "root-critical" if cert is world.chain[0] else "critical"


def not_critical(world: World, dice: Dice) -> str:
    dice.rng.choice(world.chain).extra.append((_HARMLESS, False))
    return "unknown-not-critical"


def broken_signature(world: World, dice: Dice) -> str:
    dice.rng.choice(below_root(world)).broken = True
    return "broken-signature"


def strange_signature(world: World, dice: Dice) -> str:
    dice.rng.choice(below_root(world)).made_by = dice.pool.draw()
    return "strange-signature"


def old_digest(world: World, dice: Dice) -> str:
    dice.rng.choice(below_root(world)).digest = "sha224"
    return "sha224"


def short_key(world: World, dice: Dice) -> str:
    dice.rng.choice(below_root(world)).key = dice.pool.draw("rsa1024")
    return "rsa1024"


def pss(world: World, dice: Dice) -> str:
    cert = dice.rng.choice(below_root(world))
    cert.pss = True
    return "pss"


def no_identifiers(world: World, dice: Dice) -> str:
    cert = dice.rng.choice(world.chain)
    cert.skid = False
    if dice.chance(0.5):
        cert.akid = b""
    return "no-key-identifiers"


def wrong_akid(world: World, dice: Dice) -> str:
    dice.rng.choice(below_root(world)).akid = bytes(range(20))
    return "wrong-akid"


def wrong_issuer_name(world: World, dice: Dice) -> str:
    cert = dice.rng.choice(below_root(world))
    cert.issuer_rdns = [*cert.issuer.subject_rdns[:-1], (x509.NameOID.COMMON_NAME, "Nobody")]  # type: ignore[union-attr]
    return "wrong-issuer-name"


def issuer_name_written_otherwise(world: World, dice: Dice) -> str:
    """The same name to RFC 5280 §7.1: other case, more blanks."""
    cert = dice.rng.choice(below_root(world))
    assert cert.issuer is not None
    cert.issuer_rdns = [
        (oid, text if oid == x509.NameOID.COUNTRY_NAME else text.upper().replace(" ", "  "))
        for oid, text in cert.issuer.subject_rdns
    ]
    return "name-case"


def missing(world: World, dice: Dice) -> str:
    """An intermediate that nobody has: what it issued hangs in the air."""
    if not intermediates(world):
        return ""
    world.chain.remove(dice.rng.choice(intermediates(world)))
    return "missing-intermediate"


def untrusted(world: World, dice: Dice) -> str:
    other = _root(dice, "Other Root")
    world.apart.append(other)
    world.anchors = [other]
    return "other-anchor"


def second_anchor(world: World, dice: Dice) -> str:
    other = _root(dice, "Other Root")
    world.apart.append(other)
    world.anchors.insert(dice.rng.randint(0, 1), other)
    return "two-anchors"


def homonym_anchor(world: World, dice: Dice) -> str:
    """An anchor with the same name and another key, as after a roll-over."""
    other = _root(dice, "Other Root")
    other.subject_rdns = list(world.chain[0].subject_rdns)
    world.apart.append(other)
    world.anchors.insert(dice.rng.randint(0, 1), other)
    return "homonym-anchor"


def anchor_below(world: World, dice: Dice) -> str:
    """An intermediate is the anchor: its own constraints are nobody's business above it."""
    if not intermediates(world):
        return ""
    world.anchors = [dice.rng.choice(intermediates(world))]
    return "anchor-below-root"


def self_issued(world: World, dice: Dice) -> str:
    """A CA's certificate for its own next key (RFC 5280 §3.2): it does not count as a step."""
    at = dice.rng.randint(1, len(world.chain) - 1)
    above, below = world.chain[at - 1], world.chain[at]
    rolled = Cert(list(above.subject_rdns), dice.pool.draw(), dice.number(), above)
    rolled.policies = None if below.policies is None else list(below.policies)
    rolled.crls = [CrlSpec()]
    below.issuer = rolled
    world.chain.insert(at, rolled)
    return "self-issued"


def decoy(world: World, dice: Dice) -> str:
    """Another certificate of an intermediate's name: other key, expired, or a dead end."""
    if not intermediates(world):
        return ""
    real = dice.rng.choice(intermediates(world))
    fake = copy(real)
    fake.serial, fake.crls, fake.extra = dice.number(), [], []
    kind = dice.rng.choice(["key", "expired", "not-a-ca", "constrained", "short"])
    if kind == "key":
        fake.key = dice.pool.draw()
    elif kind == "expired":
        fake.end = NOW - DAY
    elif kind == "not-a-ca":
        fake.ca = False
    elif kind == "constrained":
        fake.permitted = [x509.RFC822Name("nowhere.example")]
    else:
        fake.path_length = 0
    world.apart.append(fake)
    return f"decoy-{kind}"


def cross(world: World, dice: Dice) -> str:
    """A root that is not trusted certified one of ours; perhaps that way alone is open."""
    if not intermediates(world):
        return ""
    real = dice.rng.choice(intermediates(world))
    other = _root(dice, "Other Root")
    crossed = copy(real)
    crossed.issuer, crossed.serial, crossed.crls, crossed.extra = other, dice.number(), [], []
    world.apart += [other, crossed]
    if dice.chance(0.5):
        world.anchors.append(other)
        return "cross-trusted"
    return "cross-untrusted"


def loop(world: World, dice: Dice) -> str:
    """Two CAs certify each other."""
    if len(intermediates(world)) < 2:
        return ""
    upper, lower = sorted(dice.rng.sample(range(1, len(world.chain) - 1), 2))
    back = copy(world.chain[upper])
    back.issuer, back.serial, back.crls = world.chain[lower], dice.number(), []
    world.apart.append(back)
    return "loop"


def _root(dice: Dice, text: str) -> Cert:
    made = Cert(ca_name(text), dice.pool.draw(), dice.number())  # type: ignore[arg-type]
    made.crls = [CrlSpec()]
    return made


TWISTS: list[tuple[Twist, int]] = [
    (path_length, 4), (path_length_of_root, 1), (not_a_ca, 2), (ca_as_leaf, 1),
    (no_constraints_leaf, 1), (ca_usage, 3), (dates, 3), (dates_of_root, 1), (edge_of_time, 1),
    (critical, 2), (not_critical, 1), (broken_signature, 2), (strange_signature, 2),
    (old_digest, 1), (short_key, 1), (pss, 1), (no_identifiers, 2), (wrong_akid, 1),
    (wrong_issuer_name, 1), (issuer_name_written_otherwise, 1), (missing, 1), (untrusted, 1),
    (second_anchor, 1), (homonym_anchor, 1), (anchor_below, 1), (self_issued, 4), (decoy, 4),
    (cross, 4), (loop, 2),
]  # fmt: skip
