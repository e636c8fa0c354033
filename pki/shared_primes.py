"""Which of many RSA moduli share a prime with another one: both can then be factored (K4). Pure.

Batch gcd (Bernstein; Heninger et al., "Mining your Ps and Qs", 2012): with P the product of all
moduli n, one with gcd(n, P/n mod n) > 1 shares a prime. The sum of all P/n is P/n modulo n: it is
computed once, in a tree of products, and reduced by each modulus in a tree of remainders.

Python multiplies large integers in n^1.58 steps and divides them in n². Its `decimal` multiplies by
number-theoretic transforms, so large numbers are decimals here, and remainders come without
division: the fraction sum/P is known to as many digits as P has, and multiplying it by the one half
of P leaves, behind the point, the same fraction for the other half (a scaled remainder tree).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import MAX_EMAX, MIN_EMIN, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from math import gcd, prod
from typing import Any

# Moduli whose product stays an integer: turning larger ones into decimals takes n² steps.
_TOGETHER = 8
# Digits beyond those of a product: each level of the tree loses two of them at most.
_GUARD = 64
# A decimal of more digits than this has no place in memory; it bounds nothing before that.
_DIGITS = 10**9


# `map`, or what does the same elsewhere.
Spread = Callable[..., Iterable[Any]]


def _nothing(_done: int, _of: int) -> None:
    return None


def with_shared_primes(
    moduli: Sequence[int],
    progress: Callable[[int, int], None] = _nothing,
    spread: Spread = map,
    parts: int = 1,
) -> list[int]:
    """Where in `moduli` those stand that share a prime with another one there.

    moduli: larger than 1, each once (equal ones share both primes, and are reported).
    progress: called with steps done and to do. spread: `map`, or one over several processes.
    parts: into how many the tree is cut below its crown. Each is climbed in one process, up and
    down again, and what stands in it goes to no other: sending every level to and fro took a third
    of the time, all of it in the process that sends.
    Time: n·log²n in the number of moduli; memory: some 10 kB a modulus of 2048 bits.
    """
    if len(moduli) < 2:
        return []
    size = max(-(-len(moduli) // (_TOGETHER * parts)), 1) * _TOGETHER
    cut = [moduli[start : start + size] for start in range(0, len(moduli), size)]
    depth = (len(cut) - 1).bit_length()
    steps = 2 * (len(cut) + depth) + 1
    products: list[Decimal] = []
    sums: list[Decimal] = []
    for product, total in spread(_up, cut):
        products.append(product)
        sums.append(total)
        progress(len(products), steps)
    levels = [products]
    while len(products) > 1:
        sums = _sums(products, sums, spread)
        products = _pairs(products, spread)
        progress(len(cut) + len(levels), steps)
        levels.append(products)
    root = levels.pop()[0]
    fractions = [_context(len_of(root) + _GUARD).divide(sums.pop(), root)]
    while levels:
        progress(len(cut) + 2 * depth - len(levels) + 1, steps)
        fractions = _halves(fractions, levels.pop(), spread)
    found: list[int] = []
    for number, places in enumerate(spread(_down, cut, fractions)):
        found += (number * size + place for place in places)
        progress(len(cut) + 2 * depth + 1 + number + 1, steps)
    return found


def _up(moduli: Sequence[int]) -> tuple[Decimal, Decimal]:
    """The product of all, and the sum of the products of all but one."""
    leaves = [_leaf(group) for group in _groups(moduli)]
    products, sums = [one for one, _ in leaves], [one for _, one in leaves]
    while len(products) > 1:
        sums = _sums(products, sums, map)
        products = _pairs(products, map)
    return products[0], sums[0]


def _down(moduli: Sequence[int], fraction: Decimal) -> list[int]:
    """Which of these share a prime with any modulus at all. fraction: the one of their product."""
    groups = _groups(moduli)
    levels = [[_product(group) for group in groups]]
    while len(levels[-1]) > 1:
        levels.append(_pairs(levels[-1], map))
    leaves = levels[0]
    fractions = [fraction]
    for products in reversed(levels[:-1]):
        fractions = _halves(fractions, products, map)
    return [
        number * _TOGETHER + place
        for number, places in enumerate(map(_sharing, groups, leaves, fractions))
        for place in places
    ]


def _groups(moduli: Sequence[int]) -> list[Sequence[int]]:
    return [moduli[start : start + _TOGETHER] for start in range(0, len(moduli), _TOGETHER)]


def _product(group: Sequence[int]) -> Decimal:
    return Decimal(prod(group))


def len_of(number: Decimal) -> int:
    """Digits before the point."""
    return number.adjusted() + 1


def _context(digits: int) -> Context:
    # What is cut off is cut off on purpose; nothing may overflow in silence.
    return Context(prec=digits, Emax=MAX_EMAX, Emin=MIN_EMIN, rounding=ROUND_FLOOR, traps=[])


def _leaf(group: Sequence[int]) -> tuple[Decimal, Decimal]:
    """The product of all, and the sum of the products of all but one."""
    parts = [(modulus, 1) for modulus in group]
    while len(parts) > 1:
        joined = [
            (a * b, c * b + a * d) for (a, c), (b, d) in zip(parts[::2], parts[1::2], strict=False)
        ]
        parts = joined + (parts[-1:] if len(parts) % 2 else [])
    return Decimal(parts[0][0]), Decimal(parts[0][1])


def _sharing(group: Sequence[int], product: Decimal, fraction: Decimal) -> list[int]:
    """Which of the group share a prime with any modulus at all."""
    exact = _context(_DIGITS)
    rest = int(exact.multiply(fraction, product).to_integral_value(ROUND_HALF_EVEN, exact))
    return [place for place, modulus in enumerate(group) if gcd(modulus, rest % modulus) != 1]


def _times(one: Decimal, other: Decimal) -> Decimal:
    return _context(_DIGITS).multiply(one, other)


def _pairs(products: Sequence[Decimal], spread: Spread) -> list[Decimal]:
    joined = list(spread(_times, products[:-1:2], products[1::2]))
    return joined + list(products[len(products) // 2 * 2 :])


def _sums(products: Sequence[Decimal], sums: Sequence[Decimal], spread: Spread) -> list[Decimal]:
    end = len(products) // 2 * 2
    # All of one level at once: near the root there are few, and several processes.
    ones = [*sums[:end:2], *sums[1:end:2]]
    others = [*products[1:end:2], *products[:end:2]]
    crossed = list(spread(_times, ones, others))
    exact = _context(_DIGITS)
    half = len(crossed) // 2
    joined = [exact.add(a, b) for a, b in zip(crossed[:half], crossed[half:], strict=True)]
    return joined + list(sums[end:])


def _halves(
    fractions: Sequence[Decimal], products: Sequence[Decimal], spread: Spread
) -> list[Decimal]:
    """For a·b with the fraction f: those of a and b are what f·b and f·a have behind the point."""
    end = len(products) // 2 * 2
    both = [fractions[at // 2] for at in range(end)]
    other = [products[at ^ 1] for at in range(end)]
    digits = [len_of(mine) + _GUARD for mine in products[:end]]
    return list(spread(_behind_the_point, both, other, digits)) + list(fractions[end // 2 :])


def _behind_the_point(fraction: Decimal, other: Decimal, digits: int) -> Decimal:
    exact = _context(_DIGITS)
    whole = exact.multiply(fraction, other)
    rest = exact.subtract(whole, whole.to_integral_value(ROUND_FLOOR, exact))
    return rest.quantize(Decimal((0, (1,), -digits)), ROUND_FLOOR, exact)
