"""Whether the time of a failed decryption tells what was wrong (Bleichenbacher, Vaudenay, Efail).

Asked of a key in memory, and of one that gives the bare number, as keys in tokens do. All ways in
which RSA PKCS#1 v1.5 can fail are one class each, and each round times one message of every class
in another order. Two classes differ if Welch's t over their times passes 4.5 (the bound of TVLA,
ISO/IEC 17825). A class that waits 20 µs longer is planted among them: where that is not found, the
run could not have found anything and is void.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.smime import der
from gateway.smime.cms import ContentInfo
from gateway.smime.decrypt import DecryptRefused, decrypt
from pki.decrypter import Asked, Decrypter, KeyDecrypter, RsaCiphertext
from pki.implicit_rejection import ImplicitRejection
from tests.unit import sealing
from tests.unit.sealing import Sealed

ROUNDS = 10_000  # times of each class
BOUND = 4.5
PLANTED = 20_000  # nanoseconds
_VARIANTS = 48  # messages of a class, so that none of them stands for the class alone
# Shares of the fastest that are compared: the slow ones are mostly the machine's (interrupts, other
# processes), but what is slow in some cases only would show nowhere else.
_KEPT = (0.5, 0.9)
_MOMENT = datetime(2026, 11, 1, tzinfo=UTC)
_SECRET = b"lasting secret of the installation"
_NAME = der.element(0x80, b"key identifier")
_MODES = {"cbc": sealing.cbc, "gcm": sealing.gcm}
_OCTETS = 256  # of the key

Classes = dict[str, list[ContentInfo]]


class Numbers:
    """An RSA key that does no more than compute the number, as in a token. What it has computed
    once it knows, so that the time of a decryption is the time of our own code.
    """

    certificate = None
    kind = ("rsa", 2048)
    pkcs1 = True

    def __init__(self, private: rsa.RSAPrivateKey) -> None:
        numbers = private.private_numbers()
        self._d, self._n = numbers.d, numbers.public_numbers.n
        self._known: dict[bytes, bytes] = {}
        self._rejection = ImplicitRejection(_OCTETS, b"secret")

    def secret(self, asked: Asked) -> bytes:
        assert isinstance(asked, RsaCiphertext)
        octets = asked.octets
        if octets not in self._known:
            number = pow(int.from_bytes(octets, "big"), self._d, self._n)
            self._known[octets] = number.to_bytes(_OCTETS, "big")
        return self._rejection.message(self._known[octets], octets)


def run(seed: int, rounds: int = ROUNDS) -> None:
    """Raises AssertionError where two classes can be told apart, or the planted one cannot."""
    chance = random.Random(seed)
    key = rsa.generate_private_key(65537, 2048)
    owners: dict[str, Decrypter] = {"key": KeyDecrypter(key), "token": Numbers(key)}
    for (where, owner), (mode, seal) in itertools.product(owners.items(), _MODES.items()):
        classes = _classes(key.public_key(), owner, seal)
        times = _measured(classes, owner, chance, rounds)
        planted = times.pop("planted")
        found = welch(times["first octet"], planted)
        print(f"{where}, {mode}: planted 20 µs: t = {found:.1f}", flush=True)
        assert abs(found) > BOUND, "the planted difference was not found: the run is void"
        for one, other in itertools.combinations(times, 2):
            t = welch(times[one], times[other])
            print(f"{where}, {mode}: {one} / {other}: t = {t:.2f}", flush=True)
            assert abs(t) < BOUND, f"{one} and {other} differ in time"


def welch(one: list[int], other: list[int]) -> float:
    """The larger of Welch's t of the two samples without their slowest, cropped in two ways."""
    found = []
    for share in _KEPT:
        first, second = (sorted(each)[: max(2, int(len(each) * share))] for each in (one, other))
        spread = statistics.variance(first) / len(first) + statistics.variance(second) / len(second)
        found.append(float((statistics.fmean(first) - statistics.fmean(second)) / spread**0.5))
    return max(found, key=abs)


def _classes(
    public: rsa.RSAPublicKey, owner: Decrypter, seal: Callable[[bytes], Sealed]
) -> Classes:
    """Messages of each class; all are equally long and none opens."""
    key = sealing.KEY

    def em(made: Callable[[], bytes]) -> Callable[[], ContentInfo]:
        def message() -> ContentInfo:
            info = sealing.transport(public, _NAME, message=made())
            return seal(os.urandom(1000)).to(info)

        return message

    makers = {
        "first octet": em(lambda: _padded(public, key, start=b"\0\x01")),
        "no zero": em(lambda: b"\0\x02" + bytes(octet or 1 for octet in os.urandom(254))),
        "early zero": em(lambda: b"\0\x02\x01\x02\0" + os.urandom(251)),
        "too short": em(lambda: _padded(public, os.urandom(31))),
        "too long": em(lambda: _padded(public, os.urandom(33))),
        "length 0": em(lambda: _padded(public, b"")),
        "another key": em(lambda: _padded(public, os.urandom(32))),
    }
    # Messages of its own: those of another class would lie in the caches twice as often as others.
    makers["planted"] = makers["first octet"]
    return {name: _failing(owner, maker) for name, maker in makers.items()}


def _padded(public: rsa.RSAPublicKey, key: bytes, start: bytes = b"\0\x02") -> bytes:
    size = (public.key_size + 7) // 8 - len(key) - len(start) - 1
    return start + bytes(octet or 1 for octet in os.urandom(size)) + b"\0" + key


def _failing(owner: Decrypter, maker: Callable[[], ContentInfo]) -> list[ContentInfo]:
    found: list[ContentInfo] = []
    while len(found) < _VARIANTS:
        message = maker()
        if _fails(owner, message):  # CBC opens by chance, once in 256 times
            found.append(message)
    return found


def _fails(owner: Decrypter, message: ContentInfo) -> bool:
    try:
        decrypt(message, (owner,), moment=_MOMENT, secret=_SECRET)
    except DecryptRefused:
        return True
    return False


def _measured(
    classes: Classes, owner: Decrypter, chance: random.Random, rounds: int
) -> dict[str, list[int]]:
    """Times in nanoseconds of the processor: what others do on the machine is not in them."""
    times: dict[str, list[int]] = {name: [] for name in classes}
    names = list(classes)
    clock = time.thread_time_ns
    for _ in range(rounds):
        chance.shuffle(names)
        for name in names:
            message = classes[name][chance.randrange(_VARIANTS)]
            begun = clock()
            with contextlib.suppress(DecryptRefused):
                decrypt(message, (owner,), moment=_MOMENT, secret=_SECRET)
            if name == "planted":
                until = clock() + PLANTED
                while clock() < until:
                    pass
            times[name].append(clock() - begun)
    return times
