"""RSA blocks that a token computed, decoded: right, the same for ever, in one time."""

from __future__ import annotations

import itertools
import os
import random
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pki.decrypter import CannotDecrypt, Oaep
from pki.implicit_rejection import SIZES, ImplicitRejection
from pki.oaep_decoding import oaep_message
from tests.pki_maker import key
from tests.soak.timing import BOUND, welch

_SIZE = 256
_PLANTED = 20_000  # nanoseconds


def block(message: bytes, *, start: bytes = b"\x00\x02", size: int = _SIZE) -> bytes:
    filler = bytes(random.choices(range(1, 256), k=size - len(message) - 3))
    return start + filler + b"\x00" + message


@pytest.mark.parametrize("length", SIZES)
def test_the_message_comes_out(length: int) -> None:
    message = os.urandom(length)
    assert ImplicitRejection(_SIZE, b"s").message(block(message), b"c") == message


def test_what_is_wrong_gives_one_answer_for_each_ciphertext() -> None:
    rejection = ImplicitRejection(_SIZE, b"secret")
    good = block(b"k" * 32)
    wrong = [
        good[:1] + b"\x01" + good[2:],
        b"\x01" + good[1:],
        b"\x00\x02" + b"\x01" * 254,
        good[:5] + b"\x00" + good[6:],
        block(b"k" * 17),
        block(b""),
        bytes(_SIZE),
    ]
    answers = {rejection.message(each, b"one") for each in wrong}
    assert len(answers) == 1
    assert len(answers.pop()) == 32
    assert rejection.message(wrong[0], b"one") != rejection.message(wrong[0], b"two")
    assert rejection.message(wrong[0], b"one") != ImplicitRejection(_SIZE, b"other").message(
        wrong[0], b"one"
    )
    with pytest.raises(ValueError, match="not a block"):
        rejection.message(good[1:], b"one")


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_oaep_as_the_library_has_it(digest: str) -> None:
    private = key("oaep")
    assert isinstance(private, rsa.RSAPrivateKey)
    algorithm = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha512": hashes.SHA512()}
    pad = padding.OAEP(padding.MGF1(hashes.SHA256()), algorithm[digest], b"label")
    numbers = private.private_numbers()
    modulus = numbers.public_numbers.n

    def number(ciphertext: bytes) -> bytes:
        return pow(int.from_bytes(ciphertext, "big"), numbers.d, modulus).to_bytes(_SIZE, "big")

    found = number(private.public_key().encrypt(b"k" * 24, pad))
    oaep = Oaep(digest, "sha256", b"label")
    assert oaep_message(found, oaep) == b"k" * 24
    other = number(private.public_key().encrypt(b"k" * 23, pad))
    for broken, asked in (
        (b"\x01" + found[1:], oaep),
        (found[:-1] + bytes([found[-1] ^ 1]), oaep),
        (found, Oaep(digest, "sha256", b"other")),
        (found, Oaep(digest, "sha1", b"label")),
        (other, oaep),
    ):
        with pytest.raises(CannotDecrypt):
            oaep_message(broken, asked)


def test_no_class_of_failure_takes_longer() -> None:
    """Welch's t between all classes, interleaved; a planted leak has to be found."""
    rejection = ImplicitRejection(_SIZE, b"secret")

    def broken(position: int) -> bytes:
        good = block(b"k" * 32)
        return good[:position] + b"\x00" + good[position + 1 :]

    classes = {
        "good": [block(os.urandom(32)) for _ in range(48)],
        "first octet": [b"\x01" + block(os.urandom(32))[1:] for _ in range(48)],
        "type": [block(os.urandom(32), start=b"\x00\x01") for _ in range(48)],
        "early zero": [broken(3) for _ in range(48)],
        "late zero": [broken(200) for _ in range(48)],
        "no zero": [b"\x00\x02" + b"\x07" * 254 for _ in range(48)],
        "length 17": [block(os.urandom(17)) for _ in range(48)],
        "zeros": [bytes(_SIZE) for _ in range(48)],
        "planted": [block(os.urandom(32)) for _ in range(48)],
    }
    times: dict[str, list[int]] = {name: [] for name in classes}
    names = list(classes)
    for round_ in range(4000):
        random.shuffle(names)
        for name in names:
            given = classes[name][round_ % 48]
            begun = time.perf_counter_ns()
            rejection.message(given, given)
            if name == "planted":
                end = begun + _PLANTED
                while time.perf_counter_ns() < end:
                    pass
            times[name].append(time.perf_counter_ns() - begun)
    planted = times.pop("planted")
    assert abs(welch(times["good"], planted)) > BOUND, "the planted leak was not found: void"
    for one, other in itertools.combinations(times, 2):
        assert abs(welch(times[one], times[other])) < BOUND, f"{one} and {other} differ in time"
