"""Batch gcd against the plain definition, for every shape of the tree."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from math import gcd

import pytest

from pki.audit import AuditedKey, shared_primes
from pki.shared_primes import with_shared_primes


def plain(moduli: list[int]) -> list[int]:
    return [
        place
        for place, one in enumerate(moduli)
        if any(gcd(one, other) != 1 for at, other in enumerate(moduli) if at != place)
    ]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 31, 32, 33, 64, 65, 97, 128, 160, 225])
def test_the_same_as_pair_by_pair(number: int) -> None:
    dice = random.Random(number)
    # Most of them are prime to each other, as moduli are; a tenth shares a factor.
    moduli = []
    for at in range(number):
        while True:
            one = dice.getrandbits(256) | 1
            if at % 10 == 3:
                one = one * 1_000_003 if at % 20 == 3 else one * 1_000_033
                moduli.append(one)
                break
            if all(gcd(one, other) == 1 for other in moduli):
                moduli.append(one)
                break
    wanted = plain(moduli)
    for parts in (1, 2, 3, 8):
        assert with_shared_primes(moduli, parts=parts) == wanted


def test_a_modulus_whose_two_primes_both_stand_elsewhere() -> None:
    p, q, r, s, t, u = 1009, 1013, 1019, 1021, 1031, 1033
    assert with_shared_primes([p * q, p * r, q * s, t * u]) == [0, 1, 2]


def test_spread_over_several_and_with_its_progress() -> None:
    dice = random.Random(7)
    moduli = [dice.getrandbits(512) | 1 for _ in range(200)]
    seen: list[tuple[int, int]] = []
    with ThreadPoolExecutor(3) as pool:
        found = with_shared_primes(moduli, lambda a, b: seen.append((a, b)), pool.map, 6)
    assert found == plain(moduli)
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


def test_a_multiple_of_somebodys_modulus_has_that_key_not_refused() -> None:
    """A certificate with it needs a CA that signs anything, and nobody who can factor the key."""
    p, q, r, s, t = 1009, 1013, 1019, 1021, 1031
    minister, neighbour = AuditedKey("minister", p * q), AuditedKey("neighbour", r * s)
    times_prime = AuditedKey("times a prime", p * q * t)
    times_both = AuditedKey("both", p * q * r * s)

    found = shared_primes([minister, times_prime, neighbour, times_both], lambda _done, _of: None)

    assert [one.key.key_sha256 for one in found] == ["times a prime", "both"]
    # What is factored is told of all the same, by which pair it may be.
    twin = AuditedKey("twin", p * t)
    found = shared_primes([minister, times_prime, twin], lambda _done, _of: None)
    assert {one.key.key_sha256 for one in found} == {"minister", "times a prime", "twin"}


def test_a_factored_modulus_is_refused_with_each_of_its_exponents() -> None:
    p, q, r = 1009, 1013, 1019
    keys = [AuditedKey("one", p * q), AuditedKey("other exponent", p * q), AuditedKey("two", p * r)]
    found = shared_primes(keys, lambda _done, _of: None)
    assert [one.key.key_sha256 for one in found] == ["one", "other exponent", "two"]
    assert not shared_primes(keys[:2], lambda _done, _of: None)
