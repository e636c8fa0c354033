"""Efail (S1): blocks of CBC can be moved, and only the signature inside can notice it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.smime.cms import ContentInfo
from gateway.smime.decrypt import DecryptRefused, decrypt
from gateway.smime.layers import verify
from gateway.smime.verdicts import Status
from gateway.smime.wrapping import pkcs7_mime
from pki.decrypter import KeyDecrypter
from pki.errors import Problem
from tests.unit import sealing
from tests.unit.cms_forger import clear_signed, mail, rules
from tests.unit.smime_world import NOW, world

BOB = world().bob
SIGNED = clear_signed()


def _open(info: ContentInfo) -> bytes | Problem:
    assert isinstance(BOB.key, rsa.RSAPrivateKey)
    try:
        return decrypt(info, [KeyDecrypter(BOB.key, BOB.der)], moment=NOW, secret=b"s").content
    except DecryptRefused as error:
        return error.problem


def _status(sealed: sealing.Sealed) -> Status:
    assert isinstance(BOB.key, rsa.RSAPrivateKey)
    info = sealing.transport(BOB.key.public_key(), sealing.by_name(BOB.der))
    whole = mail(pkcs7_mime("enveloped-data", sealed.der(info)))
    return verify(whole, rules(), open_layer=_open).status


def test_a_hundred_splices_of_a_signed_and_encrypted_mail() -> None:
    sealed = sealing.cbc(SIGNED)
    whole = sealed.ciphertext
    blocks = [whole[at : at + 16] for at in range(0, len(whole), 16)]
    choice = random.Random("splices")
    assert _status(sealed) is Status.VALID
    for _ in range(100):
        begin, end = sorted(choice.sample(range(len(blocks)), 2))
        to = choice.randrange(len(blocks))
        spliced = b"".join((*blocks[:to], *blocks[begin:end], *blocks[to:]))
        assert _status(replace(sealed, ciphertext=spliced)) is not Status.VALID, (begin, end, to)


@pytest.mark.parametrize("octet", [b"\x80", b"~", b"\0"])
def test_a_block_that_decoders_of_base64_pass_over(octet: bytes) -> None:
    """One in a hundred moved blocks becomes 16 octets of no alphabet: in the signature's part
    they are still more than the signature."""
    at = SIGNED.index(b"\r\n\r\nMI") + 400
    changed = SIGNED[:at] + octet * 16 + SIGNED[at:]

    assert _status(sealing.cbc(SIGNED)) is Status.VALID
    assert _status(sealing.cbc(changed)) is Status.PARTLY_SIGNED


def test_a_block_anywhere_in_the_header_of_the_signature() -> None:
    """Its part is signed by nobody, and a file name in it decides nothing."""
    sealed = sealing.cbc(SIGNED, iv=bytes(range(16)))  # up to there the same each time
    whole = sealed.ciphertext
    blocks = [whole[at : at + 16] for at in range(0, len(whole), 16)]
    begin = SIGNED.index(b"Content-Type: application/pkcs7-signature") // 16
    end = SIGNED.index(b"\r\n\r\nMI") // 16 + 1
    assert end - begin > 5
    for to in range(begin, end + 1):
        for moved in (0, 1, to - 1, to):
            for instead in (0, 1, 2):
                spliced = b"".join((*blocks[:to], blocks[moved], *blocks[to + instead :]))
                if spliced == whole:
                    continue
                changed = replace(sealed, ciphertext=spliced)
                assert _status(changed) is not Status.VALID, (to, moved, instead)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (b"smime.p7s", Status.VALID),
        ("Prüfung ✓.p7s".encode(), Status.VALID),
        ("Prüfung.p7s".encode("latin-1"), Status.PARTLY_SIGNED),
        (b"\x01.p7s", Status.PARTLY_SIGNED),
        (b"\x7f.p7s", Status.PARTLY_SIGNED),
    ],
)
def test_a_header_of_the_signature_that_is_no_text(name: bytes, status: Status) -> None:
    assert b"smime.p7s" in SIGNED
    assert _status(sealing.cbc(SIGNED.replace(b"smime.p7s", name))) is status


def test_a_type_around_the_signature_that_is_no_text() -> None:
    assert b"micalg=sha-256" in SIGNED
    for value, status in ((b'"sha-256"', Status.VALID), (b'"\x8f\xe2"', Status.PARTLY_SIGNED)):
        changed = SIGNED.replace(b"micalg=sha-256", b"micalg=" + value)
        assert _status(sealing.cbc(changed)) is status


def test_a_first_block_of_somebody_s_choice() -> None:
    """The IV decides the first block: a known one becomes any text, and is signed for nobody."""
    sealed = sealing.cbc(SIGNED)
    wanted = b"Content-Type: te"
    known = SIGNED[:16]
    iv = bytes(a ^ b ^ c for a, b, c in zip(sealed.parameters[2:], known, wanted, strict=True))

    assert _status(replace(sealed, parameters=sealed.parameters[:2] + iv)) is not Status.VALID
