"""Twists of names and of name constraints (RFC 5280 §4.2.1.10)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.judges.paths.model import World, name
from tests.judges.paths.twist import Dice, Twist, intermediates

_MAILS = [
    "marie@a.example", "marie@b.example", "marie@sub.a.example", "Marie@A.Example",
    "paul@a.example", "marie@xa.example",
]  # fmt: skip
_MAIL_TREES = [
    "a.example", ".a.example", "marie@a.example", "b.example", "example", ".example",
    "MARIE@a.example", "A.EXAMPLE",
]  # fmt: skip
_HOSTS = ["a.example", "www.a.example", "b.example", "xa.example"]
_HOST_TREES = ["a.example", "b.example", "example", "www.a.example"]
_URIS = ["https://a.example/x", "https://www.a.example/", "ldap://b.example/cn=x"]
_URI_TREES = ["a.example", ".a.example", "b.example"]
_IPS = ["192.0.2.1", "198.51.100.7", "2001:db8::1"]
_NETS = ["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32", "192.0.0.0/8"]
_ORGANISATION = [(NameOID.COUNTRY_NAME, "FR"), (NameOID.ORGANIZATION_NAME, "Sceau Tests")]


def more_names(world: World, dice: Dice) -> str:
    """The leaf is also other things."""
    world.leaf.names += [_name(dice) for _ in range(dice.rng.randint(1, 3))]
    return "more-names"


def other_address(world: World, dice: Dice) -> str:
    kept = [one for one in world.leaf.names if not isinstance(one, x509.RFC822Name)]
    world.leaf.names = [*kept, _mail(dice.rng.choice(_MAILS))]
    return "other-address"


def no_san(world: World, dice: Dice) -> str:
    """The address stands in the subject alone, as it did before there was a subjectAltName."""
    world.leaf.names = []
    world.leaf.subject_rdns.append((NameOID.EMAIL_ADDRESS, dice.rng.choice(_MAILS)))
    return "address-in-subject"


def both_places(world: World, dice: Dice) -> str:
    world.leaf.subject_rdns.append((NameOID.EMAIL_ADDRESS, dice.rng.choice(_MAILS)))
    return "address-in-both"


def constraints(world: World, dice: Dice) -> str:
    """Random subtrees on a random CA below the anchor."""
    if not intermediates(world):
        return ""
    cert = dice.rng.choice(intermediates(world))
    trees = [_tree(world, dice) for _ in range(dice.rng.randint(1, 3))]
    if dice.chance(0.6):
        cert.permitted += trees
    else:
        cert.excluded += trees
    return "name-constraints"


def mail_constraint(world: World, dice: Dice) -> str:
    """What a ministry's sub-CA has."""
    if not intermediates(world):
        return ""
    cert = dice.rng.choice(intermediates(world))
    tree = _mail(dice.rng.choice(_MAIL_TREES))
    (cert.permitted if dice.chance(0.6) else cert.excluded).append(tree)
    return "name-constraints"


def constraints_of_root(world: World, dice: Dice) -> str:
    trees = [_tree(world, dice)]
    if dice.chance(0.6):
        world.chain[0].permitted += trees
    else:
        world.chain[0].excluded += trees
    return "root-name-constraints"


def directory_constraint(world: World, dice: Dice) -> str:
    """The organisation, the right one or not; CAs below are in it."""
    if not intermediates(world):
        return ""
    cert = dice.rng.choice(intermediates(world))
    rdns = list(_ORGANISATION)
    if dice.chance(0.3):
        rdns[1] = (NameOID.ORGANIZATION_NAME, "Another")
    if dice.chance(0.2):
        rdns[1] = (NameOID.ORGANIZATION_NAME, "sceau TESTS")
    tree = x509.DirectoryName(name(rdns))
    (cert.permitted if dice.chance(0.6) else cert.excluded).append(tree)
    return "name-constraints"


def _mail(text: str) -> x509.RFC822Name:
    return x509.RFC822Name._init_without_validation(text)


def _name(dice: Dice) -> x509.GeneralName:
    kind = dice.rng.choice(["mail", "host", "uri", "ip", "directory"])
    if kind == "mail":
        return _mail(dice.rng.choice(_MAILS))
    if kind == "host":
        return x509.DNSName(dice.rng.choice(_HOSTS))
    if kind == "uri":
        return x509.UniformResourceIdentifier(dice.rng.choice(_URIS))
    if kind == "ip":
        return x509.IPAddress(ip_address(dice.rng.choice(_IPS)))
    organisation = dice.rng.choice(["Sceau Tests", "Another"])
    return x509.DirectoryName(
        name([(NameOID.COUNTRY_NAME, "FR"), (NameOID.ORGANIZATION_NAME, organisation)])
    )


def _tree(world: World, dice: Dice) -> x509.GeneralName:
    kind = dice.rng.choice(["mail", "mail", "host", "uri", "ip", "directory"])
    if kind == "mail":
        return _mail(dice.rng.choice(_MAIL_TREES))
    if kind == "host":
        return x509.DNSName(dice.rng.choice(_HOST_TREES))
    if kind == "uri":
        world.traits.add("uri-tree")
        return x509.UniformResourceIdentifier(dice.rng.choice(_URI_TREES))
    if kind == "ip":
        return x509.IPAddress(ip_network(dice.rng.choice(_NETS)))
    return x509.DirectoryName(name(list(_ORGANISATION)))


TWISTS: list[tuple[Twist, int]] = [
    (more_names, 4), (other_address, 3), (no_san, 2), (both_places, 2), (constraints, 8),
    (mail_constraint, 5), (constraints_of_root, 1), (directory_constraint, 4),
]  # fmt: skip
