"""Keys that protect nothing are refused, and good ones are not (threat K4)."""

from __future__ import annotations

import random
import subprocess
import time
from datetime import UTC, datetime
from functools import cache
from math import gcd, prod

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x448, x25519

from pki.algorithms import Operation, judge_key
from pki.certificate import ParsedCertificate
from pki.models import Purpose
from pki.usage import purpose_problem
from pki.weak_keys import _LOW_448, _LOW_25519, SMALL_FACTORS, close_primes, is_roca, weakness
from tests.pace import within
from tests.pki_maker import NOW, root

_AT = datetime(2026, 6, 1, tzinfo=UTC)


@cache
def prime(bits: int, _number: int = 0) -> int:
    """By openssl, which is no part of what is tested; another number is another prime."""
    said = subprocess.run(
        ["openssl", "prime", "-generate", "-bits", str(bits)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(said.stdout)


def next_prime(number: int) -> int:
    number |= 1
    while gcd(number, SMALL_FACTORS) != 1 or pow(3, number - 1, number) != 1:
        number += 2
    return number


def key(modulus: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def code(public: object) -> str | None:
    found = judge_key(Operation.ENCRYPT_TO, public, _AT)
    return None if found is None else found.code


def infineon_prime(bits: int, dice: random.Random) -> int:
    """k·M + 65537^a mod M, as the faulty library made them (M of the 512-bit keys)."""
    product = prod(number for number in range(2, 168) if gcd(number, prod(range(2, number))) == 1)
    while True:
        k = (3 << (bits - 2)) // product + dice.getrandbits(bits - 2 - product.bit_length())
        found = k * product + pow(65537, dice.getrandbits(60), product)
        if found >> (bits - 2) == 3 and pow(3, found - 1, found) == 1:
            return found


def test_good_keys_pass() -> None:
    for size in (2048, 3072):
        assert code(rsa.generate_private_key(65537, size).public_key()) is None
    assert code(x25519.X25519PrivateKey.generate().public_key()) is None
    assert weakness(x448.X448PrivateKey.generate().public_key()) is None
    assert code(ec.generate_private_key(ec.SECP256R1()).public_key()) is None


@pytest.mark.parametrize("exponent", [3, 5, 17, 257])
def test_weak_exponents(exponent: int) -> None:
    assert code(key(prime(1024) * prime(1024, 1), exponent)) == "algorithm.weak-key"


def test_a_key_of_the_faulty_chip() -> None:
    dice = random.Random(15361)
    modulus = infineon_prime(1024, dice) * infineon_prime(1024, dice)
    assert is_roca(modulus)
    assert code(key(modulus)) == "algorithm.roca"


def test_close_primes() -> None:
    one = prime(1024)
    assert close_primes(one * one)
    assert code(key(one * next_prime(one + 2))) == "algorithm.close-primes"
    # As far apart as the method with a hundred rounds reaches, by its own formula.
    one = prime(512)
    assert close_primes(one * next_prime(one + 2**257))
    assert not close_primes(one * next_prime(one + 2**300))


def test_a_small_factor() -> None:
    assert code(key(751 * prime(2040))) == "algorithm.small-factor"


@pytest.mark.parametrize("point", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18, 2**255])
def test_points_of_small_order(point: int) -> None:
    raw = point.to_bytes(32, "little")
    assert code(x25519.X25519PublicKey.from_public_bytes(raw)) == "algorithm.low-order"
    private = x25519.X25519PrivateKey.generate()
    with pytest.raises(ValueError, match=r"."):  # nobody can agree on a secret with it
        private.exchange(x25519.X25519PublicKey.from_public_bytes(raw))


def test_the_other_points_of_small_order_are_what_the_library_refuses_too() -> None:
    assert (len(_LOW_25519), len(_LOW_448)) == (7, 5)
    for raw in _LOW_25519:
        with pytest.raises(ValueError, match=r"."):
            x25519.X25519PrivateKey.generate().exchange(
                x25519.X25519PublicKey.from_public_bytes(raw)
            )
    for raw in _LOW_448:
        assert code(x448.X448PublicKey.from_public_bytes(raw)) is not None
        with pytest.raises(ValueError, match=r"."):
            x448.X448PrivateKey.generate().exchange(x448.X448PublicKey.from_public_bytes(raw))


def test_a_point_that_is_not_on_its_curve() -> None:
    ca = root()
    good = ca.issue("Ec", emails=("ec@a.example",), kind="ec")
    point = good.cert.public_key()
    assert isinstance(point, ec.EllipticCurvePublicKey)
    y = point.public_numbers().y.to_bytes(32, "big")
    bent = good.der.replace(y, ((point.public_numbers().y + 1) % 2**256).to_bytes(32, "big"))
    assert bent != good.der
    found = purpose_problem(ParsedCertificate(bent), Purpose.SIGN, NOW)
    assert found is not None
    assert found.code == "algorithm.key-unreadable"


def test_the_tests_of_a_key_are_cheap() -> None:
    keys = [prime(1024) * prime(1024, 1), prime(1024) * prime(2040)]
    took = []
    for _ in range(5):  # the least: what else the machine does only adds to it
        began = time.process_time()
        for modulus in keys:
            assert not is_roca(modulus)
            assert not close_primes(modulus)
        took.append((time.process_time() - began) / len(keys))
    assert within(min(took), 0.002)
