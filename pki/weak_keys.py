"""Public keys that look like others and protect nothing (threat K4). Pure.

Tests of the key alone, cheap enough for every certificate (some 0.1 ms, once a key): what a CA
must refuse (CA/Browser Forum Baseline Requirements §6.1.1.3 and §6.1.6). Primes that keys share
with each other are found by `pki.shared_primes`. Keys of the Debian fault of 2008 are not looked
for: the lists that name them are no part of this product.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd, isqrt, prod

from cryptography.hazmat.primitives.asymmetric import rsa, x448, x25519

from pki.errors import Problem, problem

_FERMAT_ROUNDS = 100  # as Baseline Requirements §6.1.6 demand
_KEPT = 65_536


def _primes(limit: int) -> list[int]:
    sieve = bytearray([1]) * limit
    for number in range(2, isqrt(limit) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return [number for number in range(2, limit) if sieve[number]]


# NIST SP 800-89 §5.3.3: no factor below 752.
SMALL_FACTORS = prod(_primes(752))


def _powers(prime: int) -> frozenset[int]:
    found, power = set(), 1
    while power not in found:
        found.add(power)
        power = power * 65537 % prime
    return frozenset(found)


# CVE-2017-15361: Infineon's library made primes k·M + (65537^a mod M), M the product of the first
# primes (39 of them for the smallest keys, more for larger ones). So the modulus is a power of
# 65537 by each of them; of other moduli one in 2^27 is.
_ROCA = tuple((prime, _powers(prime)) for prime in _primes(168)[1:])
_ROCA_PRODUCT = prod(prime for prime, _ in _ROCA)

# RFC 7748 §7: with these points the shared secret is the same for all the world, namely zero.
_LOW_25519 = frozenset(
    value.to_bytes(32, "little")
    for order in (2**255 - 19,)
    for value in (
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        order - 1,
        order,
        order + 1,
    )
)
_LOW_448 = frozenset(
    value.to_bytes(56, "little")
    for order in (2**448 - 2**224 - 1,)
    for value in (0, 1, order - 1, order, order + 1)
)

# Squares end in 44 of 256 ways, and leave few remainders by these primes: what is left for isqrt
# is one number in a hundred.
_SQUARES_256 = frozenset(number * number % 256 for number in range(256))
_SQUARES = tuple(
    (divisor, frozenset(number * number % divisor for number in range(divisor)))
    for divisor in (45_045, 46_189)  # 9·5·7·11·13, 11·13·17·19
)


def weakness(key: object) -> Problem | None:
    """Why a public key protects nothing whatever its size, or None. Never raises."""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return _rsa(numbers.n, numbers.e)
    if isinstance(key, x25519.X25519PublicKey) and _masked(key) in _LOW_25519:
        return _low_order("X25519")
    if isinstance(key, x448.X448PublicKey) and key.public_bytes_raw() in _LOW_448:
        return _low_order("X448")
    return None


@lru_cache(maxsize=_KEPT)
def _rsa(modulus: int, exponent: int) -> Problem | None:
    if exponent < 65537 or exponent % 2 == 0:
        return problem(
            "algorithm.weak-key",
            "the RSA key has the public exponent {exponent}, which is weak",
            exponent=str(exponent),
        )
    if gcd(modulus, SMALL_FACTORS) != 1:
        return problem(
            "algorithm.small-factor", "the RSA modulus has a factor below 752: it is no RSA key"
        )
    if is_roca(modulus):
        return problem(
            "algorithm.roca",
            "the RSA key was made by a faulty chip (ROCA, CVE-2017-15361): it can be factored",
        )
    if close_primes(modulus):
        return problem(
            "algorithm.close-primes",
            "the two primes of the RSA key are so close that Fermat's method finds them",
        )
    return None


def is_roca(modulus: int) -> bool:
    """Whether the modulus has the fingerprint of CVE-2017-15361 (Nemec et al., CCS 2017, §2)."""
    rest = modulus % _ROCA_PRODUCT
    return all(rest % prime in powers for prime, powers in _ROCA)


def close_primes(modulus: int, rounds: int = _FERMAT_ROUNDS) -> bool:
    """Whether Fermat's factorization finds the primes within so many rounds (CVE-2022-26320)."""
    middle = isqrt(modulus)
    if middle * middle == modulus:
        return True
    middle += 1
    rest = middle * middle - modulus
    for _ in range(rounds):
        # Where middle² - modulus is a square, modulus = (middle + root)(middle - root).
        if rest & 255 in _SQUARES_256 and all(
            rest % divisor in squares for divisor, squares in _SQUARES
        ):
            root = isqrt(rest)
            if root * root == rest:
                return True
        rest += 2 * middle + 1
        middle += 1
    return False


def _masked(key: x25519.X25519PublicKey) -> bytes:
    # RFC 7748 §5: the highest bit is not looked at.
    raw = key.public_bytes_raw()
    return raw[:31] + bytes([raw[31] & 0x7F])


def _low_order(name: str) -> Problem:
    return problem(
        "algorithm.low-order",
        "the {algorithm} key is a point of small order: anybody knows the shared secret",
        algorithm=name,
    )
