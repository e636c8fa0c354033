"""What `./dev fuzz` once found is replayed, and the seeds lead as far as they should."""

from __future__ import annotations

import random
import time
from functools import cache
from pathlib import Path

import pytest

from tests.fuzz import mutate, seeds
from tests.fuzz.targets import TARGETS

FOUND = Path(seeds.__file__).with_name("found")
INPUTS = sorted(path for path in FOUND.rglob("*") if path.is_file())


@cache
def own() -> dict[str, bytes]:
    return dict(seeds.own())


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.stem[:20]}")
@pytest.mark.parametrize("name", TARGETS)
def test_an_input_that_was_found_does_no_harm_any_more(name: str, path: Path) -> None:
    """In every target, whichever it was found by."""
    begun = time.process_time()

    TARGETS[name](path.read_bytes())

    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    ("name", "seed", "said"),
    [
        ("cms", "opaque.der", "signed"),
        ("cms", "curve_key-ecdh-aes-256-gcm.der", "enveloped"),
        ("cms", "compressed.der", "compressed"),
        ("verify", "clear.eml", "indeterminate"),
        ("forge", "clear.eml", "valid"),
        ("forge", "opaque-binary.eml", "valid"),
        ("forge", "compressed.eml", "valid"),
        ("forge", "mixed.eml", "partly-signed"),
        ("decrypt", "rsa_key-rsa-pkcs1-aes-128-cbc.eml", "rsa-pkcs1"),
        ("decrypt", "rsa_key-rsa-oaep-aes-256-gcm-binary.eml", "rsa-oaep"),
        ("decrypt", "curve_key-ecdh-aes-256-gcm.der", "ecdh"),
        ("decrypt", "montgomery_key-ecdh-aes-256-gcm.eml", "x25519"),
        ("decrypt", "shared.eml", "kek"),
        ("decrypt", "clear.eml", "decrypt.not-encrypted"),
        ("mime", "clear.eml", "ClearSigned"),
        ("inspect", "compressed.eml", "compressed"),
        ("crl", "plain.crl", "both"),
        ("crl", "indirect.crl", "both"),
        ("crl", "delta.crl", "both"),
        ("ocsp", "good.ocsp", "good"),
        ("ocsp", "revoked.ocsp", "revocation.revoked"),
        ("ocsp", "unknown.ocsp", "revocation.ocsp-unknown"),
    ],
)
def test_a_seed_leads_all_the_way(name: str, seed: str, said: str) -> None:
    assert TARGETS[name](own()[seed]) == said


@pytest.mark.parametrize("name", TARGETS)
def test_a_few_changes_of_every_seed(name: str) -> None:
    for number, data in enumerate(own().values()):
        TARGETS[name](data)
        for turn in range(3):
            TARGETS[name](mutate.mutated(data, 100 * number + turn, _one_octet))


def test_a_target_notices_what_it_is_there_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if somebody else had signed: the property fails."""
    monkeypatch.setattr("tests.fuzz.targets.SIGNED", b"something else")

    with pytest.raises(AssertionError, match="never signed"):
        TARGETS["forge"](own()["clear.eml"])


def _one_octet(data: bytes) -> bytes:
    if not data:
        return b"\0"
    at = random.Random(len(data)).randrange(len(data))
    return data[:at] + bytes((data[at] ^ 0x21,)) + data[at + 1 :]
