"""What `sceau smime verify` says of a header that is protected with the content (S14, S15)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.mime.protection import Kind
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.encrypt import encrypt
from gateway.smime.layers import verify
from gateway.smime.verdicts import Verification
from tests.unit.cms_forger import clear_signed, rules, status
from tests.unit.smime_world import world

WHO = b"From: Alice <alice@example.org>\r\nTo: bob@example.net\r\n"
SENT = WHO + b"Subject: Dinner\r\nDate: Fri, 20 Nov 2026 09:40:48 +0100\r\n"
HIDDEN = SENT.replace(b"Dinner", b"[...]")


def _inner(hp: bytes, more: bytes = b"") -> bytes:
    return SENT + more + b'Content-Type: text/plain; hp="%b"\r\n\r\nCome.\r\n' % hp


def _signed(outer: bytes = SENT, hp: bytes = b"clear") -> bytes:
    return outer + clear_signed(content=_inner(hp))


def _found(raw: bytes) -> Verification:
    return verify(raw, rules(), open_layer=lambda info: _sealed_content(HIDDEN))


def _sealed_content(outside: bytes) -> bytes:
    lines = b"".join(b"HP-Outer: " + line + b"\r\n" for line in outside.splitlines())
    return clear_signed(content=_inner(b"cipher", lines))


def _sealed(outer: bytes) -> bytes:
    recipient = world().bob.recipient(KeyManagement.RSA_OAEP)
    return outer + encrypt(_sealed_content(HIDDEN), [recipient], Cipher.AES_256_GCM)


def _remarks(raw: bytes) -> list[str]:
    return [one.text for one in _found(raw).remarks if one.code.startswith("coverage.")]


def test_nothing_is_said_of_a_mail_as_it_was_sent() -> None:
    assert status(_signed()) == "valid"
    assert _remarks(_signed()) == []
    assert _remarks(_sealed(HIDDEN)) == []


FORWARDED = {
    "to somebody else": ("to", b"To: bob@example.net", b"To: carol@example.com"),
    "to him and her": ("to", b"bob@example.net", b"bob@example.net, carol@example.com"),
    "to nobody": ("to", b"To: bob@example.net\r\n", b""),
    "to a group": ("to", b"To: bob@example.net", b"To: undisclosed-recipients:;"),
    "with a copy": ("cc", b"Subject:", b"Cc: carol@example.com\r\nSubject:"),
    "answers elsewhere": ("reply-to", b"Subject:", b"Reply-To: mallory@evil.example\r\nSubject:"),
    "under another subject": ("subject", b"Subject: ", b"Subject: You are fired: "),
    "at another time": ("date", b"20 Nov 2026", b"21 Nov 2026"),
    "in another thread": ("in-reply-to", b"Subject:", b"In-Reply-To: <1@evil.example>\r\nSubject:"),
    "sent by somebody": ("sender", b"Subject:", b"Sender: mallory@evil.example\r\nSubject:"),
}


@pytest.mark.parametrize("name", FORWARDED)
@pytest.mark.parametrize("sealed", [False, True])
def test_a_mail_that_was_meant_for_somebody_else_is_told(name: str, sealed: bool) -> None:
    """S14: the signature holds, and the header outside is Mallory's."""
    field, old, new = FORWARDED[name]
    outer = HIDDEN if sealed else SENT
    assert old in outer

    changed = outer.replace(old, new)
    (said,) = _remarks(_sealed(changed) if sealed else _signed(changed))

    assert said.startswith(f"{field} was ")


def test_encryption_that_was_taken_away_is_told() -> None:
    said = _remarks(_signed(HIDDEN, hp=b"cipher"))

    assert said[0] == "it is not encrypted here, and its author says that he encrypted it"


def test_a_forwarded_mail_inside_is_nobody_s_header() -> None:
    inside = (
        b"Content-Type: message/rfc822; forwarded=yes\r\n\r\n"
        + WHO.replace(b"bob", b"x")
        + b"\r\nx"
    )

    assert _remarks(SENT + clear_signed(content=inside)) == []


def test_nothing_is_protected_where_nobody_signed() -> None:
    found = _found(_inner(b"clear"))

    assert found.protection.scheme is None
    assert found.as_dict()["header_protection"] is None


def test_the_record_keeps_inner_and_outer_fields_apart() -> None:
    record = _found(_sealed(HIDDEN)).as_dict()["header_protection"]

    assert record["scheme"] == "rfc9788"
    assert {"name": "subject", "value": "Dinner"} in record["fields"]
    assert record["confidential"] == ["subject"]
    (difference,) = record["differences"]
    assert (difference["kind"], difference["outer"]) == (Kind.HIDDEN.value, ["[...]"])


def test_a_value_cannot_make_a_line_of_its_own() -> None:
    outer = SENT.replace(b"Dinner", b"=?utf-8?q?x=0Aa.eml:_valid?=")

    (said,) = _remarks(_signed(outer))

    assert len(said.splitlines()) == 1
    assert "x a.eml: valid" in said


def test_people_read_the_subject_that_is_not_shown_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C")
    world().bob.write_p12(tmp_path / "bob.p12", b"p", world().root)
    (tmp_path / "a.eml").write_bytes(_sealed(HIDDEN))
    (tmp_path / "p").write_bytes(b"p")
    command = ["smime", "verify", "--key", "bob.p12", "--password-file", "p", "a.eml"]

    main(command)
    assert "  subject, not shown outside: Dinner\n" in capsys.readouterr().out

    main([*command, "--json"])
    assert json.loads(capsys.readouterr().out)["header_protection"]["intent"] == "cipher"
