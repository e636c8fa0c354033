"""Security labels in signatures: octets, OpenSSL's reading, and what is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms, core

from gateway.cli import main
from gateway.mime.entity import content_entity, split
from gateway.smime.security_label import Category, SecurityLabel, parse_security_label
from gateway.smime.sign import sign, sign_opaque
from pki.der import children
from tests.unit.smime_world import MAIL, openssl_verify, world

ENTITY = b"Content-Type: text/plain\r\n\r\nhello\r\n"
TEXT = core.UTF8String("élan").dump()
FULL = SecurityLabel("1.2.3.4", 3, "Staff only", (Category("1.2.3.5", TEXT),))


def test_the_octets_of_a_label() -> None:
    assert SecurityLabel("1.2.3").value().hex() == "3104" + "06022a03"
    assert SecurityLabel("1.2.3", 0).value().hex() == "3107" + "020100" + "06022a03"
    assert SecurityLabel("1.2.3", 256, "é").value().hex() == (
        "310c" + "02020100" + "06022a03" + "0c02c3a9"
    )


def test_the_parts_stand_in_the_order_of_their_tag_numbers() -> None:
    """SET (17) before PrintableString (19), though its octet 0x31 is the larger one."""
    value = FULL.value()

    assert [tag for tag, _, _ in children(value)] == [0x02, 0x06, 0x31, 0x13]
    category = "300e" + "80032a0305" + "a107" + TEXT.hex()
    assert value.hex() == (
        "3126" + "020103" + "06032a0304" + "3110" + category + "130a" + b"Staff only".hex()
    )


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("1.2.3", SecurityLabel("1.2.3")),
        ("1.2.3:4", SecurityLabel("1.2.3", 4)),
        ("1.2.3:top-secret", SecurityLabel("1.2.3", 5)),
        ("1.2.3:256:a: b", SecurityLabel("1.2.3", 256, "a: b")),
        ("2.999.1::é", SecurityLabel("2.999.1", None, "é")),
    ],
)
def test_a_label_in_words(text: str, label: SecurityLabel) -> None:
    assert parse_security_label(text) == label


@pytest.mark.parametrize(
    "text",
    ["", "1", "3.1", "1.40", "1.2.", "1.2.x", "1.2.03", "1.2" + ".123456789012345678" * 9,
     "1.2:257", "1.2:-1", "1.2:Secret", "1.2:1:" + "x" * 129],
)  # fmt: skip
def test_what_is_no_label(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_security_label(text)


def test_a_label_has_at_most_64_categories() -> None:
    many = (Category("1.2.3", b"\x05\x00"),)
    SecurityLabel("1.2", categories=many * 64)
    with pytest.raises(ValueError, match="64 categories"):
        SecurityLabel("1.2", categories=many * 65)


def _attributes(mail: bytes, folder: Path) -> dict[str, Any]:
    (folder / "mail").write_bytes(b"MIME-Version: 1.0\r\n" + mail)
    subprocess.run(["openssl", "cms", "-cmsout", "-in", "mail", "-outform", "DER", "-out", "der"],
                   cwd=folder, check=True)  # fmt: skip
    info = cms.ContentInfo.load((folder / "der").read_bytes(), strict=True)
    attributes = info["content"]["signer_infos"][0]["signed_attrs"]
    return {one["type"].dotted: one["values"] for one in attributes}


@pytest.mark.parametrize("make", [sign, sign_opaque])
def test_the_label_is_under_the_signature(make: Any, tmp_path: Path) -> None:
    signed = make(ENTITY, world().alice.signer, security_label=FULL)

    assert openssl_verify(tmp_path, b"MIME-Version: 1.0\r\n" + signed.entity) == ENTITY
    (value,) = _attributes(signed.entity, tmp_path)["1.2.840.113549.1.9.16.2.2"]
    assert value.dump() == FULL.value()


def test_without_a_label_there_is_none(tmp_path: Path) -> None:
    signed = sign(ENTITY, world().alice.signer)
    assert "1.2.840.113549.1.9.16.2.2" not in _attributes(signed.entity, tmp_path)


def test_openssl_shows_the_parts(tmp_path: Path) -> None:
    (tmp_path / "label").write_bytes(FULL.value())
    shown = subprocess.run(
        ["openssl", "asn1parse", "-inform", "DER", "-in", "label"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    kinds = [line.split("prim:")[1].split() for line in shown.splitlines() if "prim:" in line]
    assert kinds[0] == ["INTEGER", ":03"]
    assert kinds[1] == ["OBJECT", ":1.2.3.4"]
    assert kinds[-1] == ["PRINTABLESTRING", ":Staff", "only"]


def test_a_label_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C")
    world().alice.write(tmp_path, "alice")
    (tmp_path / "m").write_bytes(MAIL)
    command = ["smime", "sign", "--key", "alice.key", "--cert", "alice.pem", "--cert",
               str(world().write_cas(tmp_path)), "--opaque"]  # fmt: skip

    label = ["--security-label", "1.2.3:secret:staff only"]
    assert main([*command, *label, "--out", "s", "--json", "m"]) == 0
    (record,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert record["security_label"] == {
        "policy": "1.2.3",
        "classification": 4,
        "classification_name": "secret",
        "privacy_mark": "staff only",
    }
    mail = (tmp_path / "s").read_bytes()
    assert openssl_verify(tmp_path, mail, "-binary") == content_entity(split(MAIL))
    assert main([*command, "--security-label", "staff", "--out", "t", "m"]) == 2
    assert "staff is not a security label" in capsys.readouterr().err
