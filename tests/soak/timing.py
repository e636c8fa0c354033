"""Whether the time of a failed decryption tells what was wrong (Bleichenbacher, Vaudenay, Efail).

Asked of a key in memory, of a key in a real token (SoftHSM2), which gives the bare number, and of a
stand-in for such a key that takes no time at all: beside it our own decoding shows, which the
token's millisecond of arithmetic would cover. All ways in which RSA PKCS#1 v1.5 can fail are one
class each, and each round times one message of every class in another order. Two classes differ if
Welch's t over their times passes 4.5 (the bound of TVLA, ISO/IEC 17825). A class that waits 20 µs
longer is planted among those of each key: where that is not found, the run could not have found
anything and is void.

What counts is how far a time lies from the median of its round: the machine's pace, which other
processes change by a factor of two from one second to the next, is the same for all of a round.

No message is timed twice. One message takes a little longer than another of its class, always: of
a few that came again and again the test would take the same chance, seen each time, for the class.
"""

from __future__ import annotations

import itertools
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.smime.cms import ContentInfo
from gateway.smime.decrypt import DecryptRefused, decrypt
from pki import der_writing as der
from pki.decrypter import Asked, Decrypter, KeyDecrypter, RsaCiphertext
from pki.implicit_rejection import ImplicitRejection
from pki.token_decrypter import TokenDecrypter
from pki.token_objects import TokenKey
from pki.token_sessions import Tokens
from pki.token_uri import parse_token_uri
from tests.flows.softhsm import SoftHsm
from tests.unit import sealing
from tests.unit.sealing import Sealed

ROUNDS = 10_000  # times of each class
BOUND = 4.5
PLANTED = 20_000  # nanoseconds
# Shares around the middle that are compared: what lies far out is mostly the machine's (interrupts,
# other processes), but what is slow in some cases only would show nowhere else.
_KEPT = (0.5, 0.9)
_MOMENT = datetime(2026, 11, 1, tzinfo=UTC)
_SECRET = b"lasting secret of the installation"
_NAME = der.element(0x80, b"key identifier")
_MODES = {"cbc": sealing.cbc, "gcm": sealing.gcm}
_OCTETS = 256  # of the key

Makers = dict[str, Callable[[], tuple[bytes, ContentInfo]]]  # encoded message, and mail


class Numbers:
    """An RSA key that gives the bare number, as a token does. It was told the number before, so
    that the time of a decryption is the time of our own code.
    """

    certificate = None
    kind = ("rsa", 2048)
    pkcs1 = True

    def __init__(self, private: rsa.RSAPrivateKey) -> None:
        self._numbers = private.public_key().public_numbers()
        self._known: dict[bytes, bytes] = {}
        self._rejection = ImplicitRejection(_OCTETS, b"secret")

    def tell(self, messages: Iterable[bytes]) -> None:
        """Of which encoded messages it will be given the ciphertext; others are forgotten."""
        e, n = self._numbers.e, self._numbers.n
        self._known = {
            pow(int.from_bytes(message, "big"), e, n).to_bytes(_OCTETS, "big"): message
            for message in messages
        }

    def secret(self, asked: Asked) -> bytes:
        assert isinstance(asked, RsaCiphertext)
        return self._rejection.message(self._known[asked.octets], asked.octets)


def run(seed: int, rounds: int = ROUNDS) -> None:
    """Raises AssertionError where two classes can be told apart, or the planted one cannot."""
    chance = random.Random(seed)
    key = rsa.generate_private_key(65537, 2048)
    with _in_token() as (inside, of_token):
        owners: dict[str, tuple[Decrypter, rsa.RSAPublicKey]] = {
            "key": (KeyDecrypter(key), key.public_key()),
            "bare number": (Numbers(key), key.public_key()),
            "SoftHSM": (inside, of_token),
        }
        for (where, (owner, public)), mode in itertools.product(owners.items(), _MODES):
            times = _measured(_makers(public, _MODES[mode]), owner, chance, rounds)
            _judge(f"{where}, {mode}", times)


@contextmanager
def _in_token() -> Iterator[tuple[Decrypter, rsa.RSAPublicKey]]:
    """A key that was made in a SoftHSM2 of its own and never leaves it, and its public half."""
    with tempfile.TemporaryDirectory() as folder:
        token = SoftHsm(Path(folder))
        token.make_pair("rsa:2048", "timing")
        os.environ |= token.environment  # read once, when the library is loaded
        name = parse_token_uri(token.uri("timing"))
        key = TokenKey(Tokens().at(name.access), name)
        public = key.public_key()
        assert isinstance(public, rsa.RSAPublicKey)
        yield TokenDecrypter(key, public), public


def _judge(where: str, times: dict[str, list[float]]) -> None:
    planted = times.pop("planted")
    found = welch(times["first octet"], planted)
    print(f"{where}: planted 20 µs: t = {found:.1f}", flush=True)
    assert abs(found) > BOUND, "the planted difference was not found: the run is void"
    for one, other in itertools.combinations(times, 2):
        t = welch(times[one], times[other])
        print(f"{where}: {one} / {other}: t = {t:.2f}", flush=True)
        assert abs(t) < BOUND, f"{one} and {other} differ in time"


def welch(one: Sequence[float], other: Sequence[float]) -> float:
    """The larger of Welch's t of the two samples without their ends, cropped in two ways.

    By Yuen (1974): what is cropped away stands in the variance as if it lay at the ends of the
    rest. Without that the t of two samples that are alike would pass the bound every few runs.
    """
    found = []
    for share in _KEPT:
        (mean, error), (other_mean, other_error) = (_middle(each, share) for each in (one, other))
        found.append((mean - other_mean) / (error + other_error) ** 0.5)
    return max(found, key=abs)


def _middle(sample: Sequence[float], share: float) -> tuple[float, float]:
    """Mean of the share around the middle, and the square of its standard error."""
    ordered = sorted(sample)
    cut = int(len(ordered) * (1 - share) / 2)
    kept = ordered[cut : len(ordered) - cut]
    ends = [kept[0]] * cut + kept + [kept[-1]] * cut
    error = statistics.variance(ends) * (len(ends) - 1) / (len(kept) * (len(kept) - 1))
    return statistics.fmean(kept), error


def _makers(public: rsa.RSAPublicKey, seal: Callable[[bytes], Sealed]) -> Makers:
    """What makes a message of each class; all are equally long and none is to open."""
    key = sealing.KEY

    def em(made: Callable[[], bytes]) -> Callable[[], tuple[bytes, ContentInfo]]:
        def message() -> tuple[bytes, ContentInfo]:
            encoded = made()
            info = sealing.transport(public, _NAME, message=encoded)
            return encoded, seal(os.urandom(1000)).to(info)

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
    makers["planted"] = makers["first octet"]
    return makers


def _padded(public: rsa.RSAPublicKey, key: bytes, start: bytes = b"\0\x02") -> bytes:
    size = (public.key_size + 7) // 8 - len(key) - len(start) - 1
    return start + bytes(octet or 1 for octet in os.urandom(size)) + b"\0" + key


def _fails(owner: Decrypter, message: ContentInfo) -> bool:
    try:
        decrypt(message, (owner,), moment=_MOMENT, secret=_SECRET)
    except DecryptRefused:
        return True
    return False


def _measured(
    makers: Makers, owner: Decrypter, chance: random.Random, rounds: int
) -> dict[str, list[float]]:
    """Nanoseconds of the processor from the median of the round: what others do on the machine is
    not in them.
    """
    times: dict[str, list[float]] = {name: [] for name in makers}
    names = list(makers)
    clock = time.thread_time_ns
    for _ in range(rounds):
        # All are made before any is timed, in an order of their own: what making one leaves in the
        # caches must not stand for its class.
        chance.shuffle(names)
        made = {name: makers[name]() for name in names}
        if isinstance(owner, Numbers):
            owner.tell(encoded for encoded, _ in made.values())
        chance.shuffle(names)
        found: dict[str, int] = {}
        for name in names:
            message = made[name][1]
            begun = clock()
            failed = _fails(owner, message)
            if name == "planted":
                until = clock() + PLANTED
                while clock() < until:
                    pass
            took = clock() - begun
            if failed:  # CBC opens by chance, once in 256 times
                found[name] = took
        middle = statistics.median(found.values()) if found else 0
        for name, took in found.items():
            times[name].append(took - middle)
    return times
