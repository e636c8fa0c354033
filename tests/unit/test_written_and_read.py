"""What the writing side writes, the reading side reads: the two were written apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import core
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import mlkem

from gateway.cli import main
from gateway.mime.display_element import with_display_element
from gateway.mime.entity import Message, content_entity, split
from gateway.mime.outgoing import header
from gateway.mime.protect import protect
from gateway.mime.protection import Difference, Intent, Kind, Scheme, read_protection
from gateway.mime.transfer import decode_base64
from gateway.smime import cms, ess
from gateway.smime.compress import compress
from gateway.smime.compressed import read_compressed
from gateway.smime.security_label import SECURITY_LABEL, Category, SecurityLabel
from tests.unit.smime_world import MAIL as SMIME_MAIL
from tests.unit.smime_world import at_home, world
from tests.unit.test_mime_protect import MAIL, RECEIVED
from tests.unit.test_smime_ml_kem import certificate


def arrived(message: Message) -> Message:
    """The outer fields as the last server has them."""
    return split(header(message, received=RECEIVED))


@pytest.mark.parametrize("encrypted", [True, False])
def test_what_is_the_same_outside_differs_in_nothing(encrypted: bool) -> None:
    done = protect(split(MAIL), encrypted=encrypted)
    read = read_protection(done.entity, arrived(done.outer).fields)

    assert (read.scheme, read.stated) == (Scheme.RFC9788, True)
    assert read.intent is (Intent.CIPHER if encrypted else Intent.CLEAR)
    assert (read.differences, read.confidential, read.problems) == ((), (), ())
    names = ["from", "to", "subject", "keywords", "thread-topic", "message-id"]
    assert [field.name for field in read.fields] == names


def test_what_was_hidden_is_told_from_what_was_changed() -> None:
    done = protect(split(MAIL), encrypted=True, confidential=True)
    read = read_protection(done.entity, arrived(done.outer).fields)

    assert read.confidential == done.hidden == ("subject", "keywords", "thread-topic")
    assert {one.name: one.kind for one in read.differences} == dict.fromkeys(
        done.hidden, Kind.HIDDEN
    )
    forged = arrived(split(b"To: eve@example.net\r\nSubject: [...]\r\nFrom: Alice <alice@x>\r\n"))
    changed = read_protection(done.entity, forged.fields)
    assert {one.name for one in changed.differences if one.kind is Kind.CHANGED} == {
        "from", "to", "message-id",
    }  # fmt: skip


def test_a_list_that_marks_the_subject_is_seen() -> None:
    done = protect(split(MAIL), encrypted=False)
    outer = [
        field._replace(raw=field.raw.replace(b"the  merger", b"[list] the merger"))
        for field in arrived(done.outer).fields
    ]

    (difference,) = read_protection(done.entity, outer).differences
    assert difference == Difference(
        "subject", Kind.CHANGED, (b"the merger of two",), (b"[list] the merger of two",)
    )


@pytest.mark.parametrize(
    "label",
    [
        SecurityLabel("1.2.3"),
        SecurityLabel("2.999.3", 0),
        SecurityLabel("1.2.3", 5, "Staff only"),
        SecurityLabel("1.2.3", 256, "diffusion restreinte à la direction"),
        SecurityLabel("1.2.3", None, "x" * 128, (Category("1.2.4", core.Null().dump()),)),
    ],
)
def test_a_security_label_is_read_as_it_was_meant(label: SecurityLabel) -> None:
    read = ess.facts(SECURITY_LABEL, [cms.read(label.value())])

    assert read is not None
    categories = read.pop("categories")
    assert read == {"attribute": read["attribute"], **label.as_dict()}
    assert [one["type"] for one in categories] == [one.type for one in label.categories]


@pytest.mark.parametrize("size", [0, 100, 3 << 20])
def test_what_was_compressed_is_inflated(size: int) -> None:
    entity = b"Content-Type: text/plain\r\n\r\n" + b"x" * size
    info = cms.content_info(decode_base64(bytes(split(compress(entity)).body)))

    inflated = read_compressed(info.content)
    assert (inflated.type, inflated.content) == ("1.2.840.113549.1.7.1", entity)


def test_legacy_display_elements_are_found() -> None:
    parts = b"--b\r\n\r\ntext\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>text\r\n--b--\r\n"
    mail = b"Subject: s\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" + parts
    message, changes = with_display_element(split(mail), ("subject",))
    done = protect(message, encrypted=True, confidential=True)
    read = read_protection(done.entity, arrived(done.outer).fields)

    assert read.legacy_display == ("1", "2") == tuple(change.part for change in changes)
    assert read.confidential == ("subject",)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    at_home(tmp_path, monkeypatch, "alice", "erin", "bob")
    world().write_cas(tmp_path)
    (tmp_path / "mail").write_bytes(SMIME_MAIL)
    return tmp_path


def sceau(*arguments: str) -> int:
    return main(["smime", *arguments])


def signed(who: str, source: str, target: str, *options: str) -> None:
    keys = ["--key", f"{who}.key", "--cert", f"{who}.pem", "--cert", "ca.pem"]
    assert sceau("sign", *keys, *options, "--out", target, source) == 0


def verified(name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    sceau("verify", "--anchor", "ca.pem", "--revocation", "off", "--key", "bob.key",
          "--json", name)  # fmt: skip
    (record,) = map(json.loads, capsys.readouterr().out.splitlines())
    return dict(record)


@pytest.mark.parametrize("how", ["--opaque", "--signature=auto"])
def test_a_triple_wrapped_mail_is_valid(
    here: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    signed("alice", "mail", "one", how)
    assert sceau("encrypt", "--to", "bob.pem", "--out", "two", "one") == 0
    signed("erin", "two", "three", how)

    record = verified("three", capsys)
    assert record["status"] == "valid"
    assert [layer["kind"] for layer in record["layers"]] == ["signed", "encrypted", "signed"]
    assert len(record["signers"]) == 2


def test_mail_to_an_ml_kem_key_is_opened(here: Path) -> None:
    key = mlkem.MLKEM768PrivateKey.generate()
    (here / "kim.crt").write_bytes(certificate(key, "Kim", "kim@example.net").der)
    (here / "kim.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )

    to = ["--to", "kim.crt", "--to", "bob.pem", "--experimental-ml-kem"]
    assert sceau("encrypt", *to, "--out", "e", "mail") == 0
    for name, owner in (("kim.key", "kim.crt"), ("bob.key", "bob.pem")):
        assert sceau("decrypt", "--key", name, "--cert", owner, "--out", f"{name}.out", "e") == 0
        assert (here / f"{name}.out").read_bytes() == content_entity(split(SMIME_MAIL))
