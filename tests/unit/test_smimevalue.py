"""userSMIMECertificate (RFC 2798 §2.8): what is in a value, and that bombs cost nothing."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest
from cryptography import x509

from pki import ber
from pki.smimevalue import MAX_VALUE, capabilities_hold, is_signed_data, read_value
from tests.pace import within
from tests.pki_maker import NOW, key, root
from tests.unit.smime_values import (
    AES_256_CBC,
    AES_256_GCM,
    announced,
    by_openssl,
    degenerate,
)

ROOT = root()
CA = ROOT.sub("Issuing CA")
MARIE = CA.issue(
    "Marie",
    emails=("marie@a.example",),
    extra=((x509.SubjectKeyIdentifier.from_public_key(key("leaf-rsa").public_key()), False),),
)
PAUL = CA.issue("Paul", emails=("paul@a.example",), subject_key=key("paul"))
ELSE = CA.issue("Else", emails=("else@a.example",), kind="ec")


def tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    length = bytes((size,)) if size < 128 else b"\x84" + size.to_bytes(4, "big")
    return bytes((tag,)) + length + content


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-nodetach",),
        ("-nodetach", "-stream"),  # BER with indefinite lengths
        ("-keyid",),
        ("-keyopt", "rsa_padding_mode:pss"),
        ("-md", "sha512"),
    ],
)
def test_what_openssl_makes(options: tuple[str, ...]) -> None:
    value = by_openssl(MARIE, CA, ROOT, options=options)
    assert is_signed_data(value)
    read = read_value(value)
    assert read.people == (MARIE.der,)
    assert set(read.chain) == {CA.der, ROOT.der}
    (claim,) = read.capabilities
    assert AES_256_CBC in claim.oids
    assert claim.signer == MARIE.der
    assert capabilities_hold(claim, NOW)


def test_elliptic_signer() -> None:
    (claim,) = read_value(by_openssl(ELSE)).capabilities
    assert capabilities_hold(claim, NOW)


def test_certificates_alone() -> None:
    read = read_value(degenerate(MARIE, PAUL, CA))
    assert set(read.people) == {MARIE.der, PAUL.der}
    assert read.chain == (CA.der,)
    assert read.capabilities == ()


def test_capabilities_that_somebody_else_signed_do_not_hold() -> None:
    (good,) = read_value(announced(MARIE)).capabilities
    assert good.oids == (AES_256_GCM,)
    assert capabilities_hold(good, NOW)
    (forged,) = read_value(announced(MARIE, signer=PAUL)).capabilities
    assert not capabilities_hold(forged, NOW)
    for changed in (
        replace(good, signed=good.signed[:-1] + bytes([good.signed[-1] ^ 1])),
        replace(good, signature=good.signature[::-1]),
        replace(good, signer=PAUL.der),
        replace(good, signer=ELSE.der),
        replace(good, signer=b"\x30\x00"),
        replace(good, digest="1.2.3"),
    ):
        assert not capabilities_hold(changed, NOW)


def test_a_digest_that_can_be_forged_proves_nothing() -> None:
    (claim,) = read_value(announced(MARIE, digest="sha1")).capabilities
    assert not capabilities_hold(claim, NOW)


def test_a_content_that_is_there_must_be_the_one_that_was_signed() -> None:
    value = by_openssl(MARIE, options=("-nodetach", "-stream"))
    content = b"\x24\x80\x04\x01x\0\0"
    assert value.count(content) == 1
    (claim,) = read_value(value).capabilities
    assert capabilities_hold(claim, NOW)
    assert read_value(value.replace(content, content.replace(b"x", b"y"))).capabilities == ()


def test_one_bad_certificate_does_not_cost_the_others() -> None:
    value = degenerate(MARIE, PAUL)
    read = read_value(value.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x64", 1))
    assert len(read.people) == 1
    assert len(read.unreadable) == 1


SIGNED = tlv(0x06, bytes.fromhex("2a864886f70d010702"))
COMPRESSED = tlv(0x06, bytes.fromhex("2a864886f70d0109100109"))


def nested(depth: int) -> bytes:
    value = b""
    for _ in range(depth):
        value = b"\x30\x80" + value + b"\0\0"
    return value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(SIGNED, id="only its name"),
        pytest.param(tlv(0x30, SIGNED), id="no content"),
        pytest.param(tlv(0x30, SIGNED, nested(100_000)), id="nested without end"),
        pytest.param(b"\x30\x80" + SIGNED + b"\xa0\x80" * 50_000, id="never closed"),
        pytest.param(tlv(0x30, SIGNED, tlv(0x06, b"\xff" * 200_000)), id="object identifier"),
        pytest.param(tlv(0x30, SIGNED, tlv(0xA0, b"\x05\x00" * 100_000)), id="many elements"),
        pytest.param(tlv(0x30, SIGNED, tlv(0xA0, tlv(0x30, b"\0" * MAX_VALUE))), id="too large"),
        pytest.param(tlv(0x30, COMPRESSED, tlv(0xA0, b"x" * 1000)), id="compressed"),
        pytest.param(b"\x30\x84\xff\xff\xff\xff" + SIGNED, id="length that lies"),
        pytest.param(degenerate(MARIE) + b"\0", id="something behind"),
        pytest.param(degenerate(MARIE)[:-1], id="cut short"),
        pytest.param(degenerate(*[MARIE] * 17), id="many certificates"),
    ],
)
def test_bombs_are_refused_at_once(value: bytes) -> None:
    took = []
    for _ in range(3):  # the least: what else the machine does only adds to it
        start = time.process_time()
        with pytest.raises(ValueError):
            read_value(value)
        took.append(time.process_time() - start)
    assert within(min(took), 0.3)


def test_no_mutation_is_more_than_a_refusal() -> None:
    chance = random.Random(2798)
    value = announced(MARIE, CA)
    for _ in range(600):
        changed = bytearray(value)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        try:
            read = read_value(bytes(changed))
        except ValueError:
            continue
        for claim in read.capabilities:
            if claim.oids != (AES_256_GCM,):
                assert not capabilities_hold(claim, NOW)


def test_ber_keeps_what_it_reads() -> None:
    value = by_openssl(MARIE, CA, options=("-nodetach", "-stream"))
    assert ber.read(value).raw == value
    assert not ber.read(value).definite
