"""Whether the time of a failed decryption tells what was wrong (Bleichenbacher, Vaudenay, Efail).

All ways in which RSA PKCS#1 v1.5 can fail are one class each, and each round times one message of
every class in another order. Two classes differ if Welch's t over their times passes 4.5 (the bound
of TVLA, ISO/IEC 17825). A class that waits 20 µs longer is planted among them: where that is not
found, the run could not have found anything and is void.
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
from pki.decrypter import KeyDecrypter
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

Classes = dict[str, list[ContentInfo]]


def run(seed: int, rounds: int = ROUNDS) -> None:
    """Raises AssertionError where two classes can be told apart, or the planted one cannot."""
    chance = random.Random(seed)
    key = rsa.generate_private_key(65537, 2048)
    owner = KeyDecrypter(key)
    for mode, seal in (("cbc", sealing.cbc), ("gcm", sealing.gcm)):
        classes = _classes(key.public_key(), owner, seal)
        times = _measured(classes, owner, chance, rounds)
        planted = times.pop("planted")
        found = welch(times["first octet"], planted)
        print(f"{mode}: planted 20 µs: t = {found:.1f}", flush=True)
        assert abs(found) > BOUND, "the planted difference was not found: the run is void"
        for one, other in itertools.combinations(times, 2):
            t = welch(times[one], times[other])
            print(f"{mode}: {one} / {other}: t = {t:.2f}", flush=True)
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
    public: rsa.RSAPublicKey, owner: KeyDecrypter, seal: Callable[[bytes], Sealed]
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
    return {name: _failing(owner, maker) for name, maker in makers.items()}


def _padded(public: rsa.RSAPublicKey, key: bytes, start: bytes = b"\0\x02") -> bytes:
    size = (public.key_size + 7) // 8 - len(key) - len(start) - 1
    return start + bytes(octet or 1 for octet in os.urandom(size)) + b"\0" + key


def _failing(owner: KeyDecrypter, maker: Callable[[], ContentInfo]) -> list[ContentInfo]:
    found: list[ContentInfo] = []
    while len(found) < _VARIANTS:
        message = maker()
        if _fails(owner, message):  # CBC opens by chance, once in 256 times
            found.append(message)
    return found


def _fails(owner: KeyDecrypter, message: ContentInfo) -> bool:
    try:
        decrypt(message, (owner,), moment=_MOMENT, secret=_SECRET)
    except DecryptRefused:
        return True
    return False


def _measured(
    classes: Classes, owner: KeyDecrypter, chance: random.Random, rounds: int
) -> dict[str, list[int]]:
    """Times in nanoseconds of the processor: what others do on the machine is not in them."""
    messages = {**classes, "planted": classes["first octet"]}
    times: dict[str, list[int]] = {name: [] for name in messages}
    names = list(messages)
    clock = time.thread_time_ns
    for _ in range(rounds):
        chance.shuffle(names)
        for name in names:
            message = messages[name][chance.randrange(_VARIANTS)]
            begun = clock()
            with contextlib.suppress(DecryptRefused):
                decrypt(message, (owner,), moment=_MOMENT, secret=_SECRET)
            if name == "planted":
                until = clock() + PLANTED
                while clock() < until:
                    pass
            times[name].append(clock() - begun)
    return times
