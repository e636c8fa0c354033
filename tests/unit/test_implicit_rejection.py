"""RSA blocks that a token computed, decoded: right, and the same for ever.

In one time, too: `./dev soak timing`.
"""

from __future__ import annotations

import os
import random

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pki.decrypter import CannotDecrypt, Oaep
from pki.implicit_rejection import SIZES, ImplicitRejection
from pki.oaep_decoding import oaep_message
from tests.pki_maker import key

_SIZE = 256


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
