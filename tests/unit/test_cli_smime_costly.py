"""Files that cost what no file may: `sceau smime` says so of them and reads the others (L11)."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from gateway.cli import foreign, main
from gateway.guard.budget import MEGABYTE, Budget
from gateway.mime.entity import content_entity, split
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.compress import compress
from gateway.smime.encrypt import encrypt
from gateway.smime.sign import sign
from gateway.smime.wrapping import pkcs7_mime
from pki import der_writing as der
from tests.unit import sealing
from tests.unit.smime_world import MAIL, world

HEAD = b"From: Alice <alice@example.org>\r\n"
ENTITY = content_entity(split(MAIL))
# A password hashed many times, by the digest that costs most: many times the budget below on a
# usual machine. (SHA-256 has instructions of its own on fast ones.)
_ITERATIONS = 1_000_000
_PASSWORDS = 15
# What is no bomb takes a hundredth of these, so that a slow machine has room for it.
_LITTLE_TIME = Budget(cpu=1, patience=400)
_LITTLE_MEMORY = Budget(cpu=10, memory=16 * MEGABYTE)
_JUDGING = foreign.judging
_HMAC_SHA512 = der.algorithm("1.2.840.113549.2.11", b"\x05\x00")


def _slow() -> bytes:
    info = sealing.by_password(_ITERATIONS, prf=_HMAC_SHA512)
    return HEAD + pkcs7_mime("authEnveloped-data", sealing.gcm().der(*[info] * _PASSWORDS))


def _large() -> bytes:
    """60 kB that become 40 MB."""
    line = b" " * 998 + b"\r\n"
    return HEAD + compress(b"Content-Type: text/plain\r\n\r\n" + line * 40_000)


def judge_within(budget: Budget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "judging", partial(_JUDGING, budget=budget))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The budget is small here, so that the tests are quick. What is in it is not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C")
    judge_within(_LITTLE_TIME, monkeypatch)
    # As often as we go along with is a matter of a tenth of a second on the fastest machines.
    monkeypatch.setattr("gateway.smime.decrypt.MAX_ITERATIONS", _ITERATIONS * _PASSWORDS)
    world().bob.write(tmp_path, "bob")
    (tmp_path / "password").write_bytes(b"guess")
    return tmp_path


KEYS = ["--key", "bob.key", "--mail-password-file", "password"]


def _sealed() -> bytes:
    to_bob = world().bob.recipient(KeyManagement.RSA_OAEP)
    return HEAD + encrypt(ENTITY, [to_bob], Cipher.AES_256_GCM)


def _signed() -> bytes:
    return HEAD + sign(ENTITY, world().alice.signer).entity


@pytest.mark.parametrize(
    ("verb", "costly", "code"),
    [
        ("verify", _slow, "limits.cpu"),
        ("verify", _large, "limits.memory"),
        ("decrypt", _slow, "limits.cpu"),  # it inflates nothing
    ],
)
def test_one_costly_file_harms_no_other(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    costly: Callable[[], bytes],
    code: str,
) -> None:
    if code == "limits.memory":
        judge_within(_LITTLE_MEMORY, monkeypatch)
    (here / "a.eml").write_bytes(costly())
    (here / "b.eml").write_bytes(_sealed() if verb == "decrypt" else _signed())
    more = ["--cert", "bob.pem", "--out", "out"] if verb == "decrypt" else []

    assert main(["smime", verb, *KEYS, *more, "--json", "a.eml", "b.eml"]) == 3

    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["status"] == "indeterminate"
    assert [one["code"] for one in first["problems"]] == [code]
    if verb == "decrypt":
        assert second["status"] == "decrypted"
        assert (here / "out" / "b.eml").read_bytes() == ENTITY
        assert not (here / "out" / "a.eml").exists()
    else:
        assert [one["emails"] for one in second["signers"]] == [["alice@example.org"]]


def test_a_person_reads_why(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.eml").write_bytes(_slow())

    assert main(["smime", "verify", *KEYS, "a.eml"]) == 3

    said = capsys.readouterr()
    assert "a.eml: " in said.err + said.out
    assert "processor" in said.err + said.out
