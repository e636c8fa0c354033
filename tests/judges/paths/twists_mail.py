"""Twists of what makes a certificate one for mail (RFC 8550 §4.4)."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki.models import Purpose
from tests.judges.paths.model import MARIE, World
from tests.judges.paths.twist import Dice, Twist, intermediates

_MAIL = ExtendedKeyUsageOID.EMAIL_PROTECTION
_USAGES = [
    ("digital_signature",), ("content_commitment",), ("key_encipherment",), ("key_agreement",),
    ("digital_signature", "key_encipherment"), ("data_encipherment",), ("key_cert_sign",), None,
]  # fmt: skip
_EXTENDED = [
    [_MAIL], [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], [ExtendedKeyUsageOID.SERVER_AUTH],
    [ExtendedKeyUsageOID.CLIENT_AUTH, _MAIL], None,
]  # fmt: skip


def start(world: World, dice: Dice) -> None:
    """The certificate is asked for as one to sign with or to encrypt to."""
    world.purpose = dice.rng.choice(list(Purpose))
    world.leaf.extended = [_MAIL]
    needed = ["digital_signature", "content_commitment"]
    if world.purpose is Purpose.ENCRYPT:
        kind = type(world.leaf.key).__name__
        needed = ["key_encipherment" if "RSA" in kind else "key_agreement"]
    world.leaf.usage = (dice.rng.choice(needed),)


def leaf_usage(world: World, dice: Dice) -> str:
    world.leaf.usage = dice.rng.choice(_USAGES)
    return "leaf-usage"


def leaf_extended(world: World, dice: Dice) -> str:
    world.leaf.extended = dice.rng.choice(_EXTENDED)
    if world.leaf.extended == [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]:
        return "leaf-any-eku"
    return "leaf-eku"


def ca_extended(world: World, dice: Dice) -> str:
    if not intermediates(world):
        return ""
    cert = dice.rng.choice(intermediates(world))
    cert.extended = dice.rng.choice(_EXTENDED)
    return "" if cert.extended is None else "ca-eku"


def asked_address(world: World, dice: Dice) -> str:
    """Somebody else's, or hers in another case."""
    world.address = dice.rng.choice(
        ["Marie@A.EXAMPLE", "marie@A.example", "paul@a.example", "marie@sub.a.example"]
    )
    return "asked-address"


def more_addresses(world: World, dice: Dice) -> str:
    world.leaf.names.insert(0, x509.RFC822Name("paul@a.example"))
    assert x509.RFC822Name(MARIE).value == MARIE
    return "two-addresses"


TWISTS: list[tuple[Twist, int]] = [
    (leaf_usage, 4), (leaf_extended, 4), (ca_extended, 4), (asked_address, 3), (more_addresses, 2),
]  # fmt: skip
