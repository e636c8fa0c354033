"""`sceau smime verify` and `decrypt` read in a worker: what breaks it is told, the rest is done."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any, NoReturn

import pytest

from gateway.cli import main
from gateway.mime.entity import content_entity, split
from gateway.smime import layers, opening
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.encrypt import encrypt
from gateway.smime.sign import sign
from tests.unit.smime_world import MAIL, world

ENTITY = content_entity(split(MAIL))
HEAD = b"From: Alice <alice@example.org>\r\n"


def _die(*_: object, **_named: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C")
    (tmp_path / "a.eml").write_bytes(HEAD + b"X-Crash: yes\r\n" + _signed())
    (tmp_path / "b.eml").write_bytes(HEAD + _signed())
    return tmp_path


def _signed() -> bytes:
    return sign(ENTITY, world().alice.signer).entity


def _records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_verify(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = layers.verify
    monkeypatch.setattr(
        layers,
        "verify",
        lambda data, *a, **k: (_die if b"X-Crash" in data else verify)(data, *a, **k),
    )

    assert main(["smime", "verify", "--json", "a.eml", "b.eml"]) == 3

    first, second = _records(capsys)
    assert first == {
        "file": "a.eml",
        "status": "indeterminate",
        "from": [],
        "signers": [],
        "layers": [],
        "problems": [{"code": "limits.crash", "text": "the process that read it died (SIGSEGV)"}],
    }
    assert second["from"] == ["alice@example.org"]
    assert len(second["signers"]) == 1


def test_decrypt(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world().bob.write(here, "bob")
    recipient = world().bob.recipient(KeyManagement.RSA_OAEP)
    sealed = encrypt(ENTITY, [recipient], Cipher.AES_256_GCM)
    (here / "a.eml").write_bytes(HEAD + b"X-Crash: yes\r\n" + sealed)
    (here / "b.eml").write_bytes(HEAD + sealed)
    open_mail = opening.open_mail
    monkeypatch.setattr(
        opening,
        "open_mail",
        lambda data, *a, **k: (_die if b"X-Crash" in data else open_mail)(data, *a, **k),
    )

    assert main(["smime", "decrypt", "--key", "bob.key", "--cert", "bob.pem", "--json",
                 "--out", "out", "a.eml", "b.eml"]) == 3  # fmt: skip

    first, second = _records(capsys)
    assert (first["status"], first["problems"][0]["code"]) == ("indeterminate", "limits.crash")
    assert (second["status"], second["out"]) == ("decrypted", "out/b.eml")
    assert (here / "out" / "b.eml").read_bytes() == ENTITY
    assert not (here / "out" / "a.eml").exists()
