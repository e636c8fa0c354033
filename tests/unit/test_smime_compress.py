"""CompressedData as we write it; Python's zlib, asn1crypto and OpenSSL as the judges."""

from __future__ import annotations

import json
import subprocess
import zlib
from pathlib import Path

import pytest
from asn1crypto import cms

from gateway.cli import main
from gateway.mime.entity import content_entity, split
from gateway.mime.transfer import decode_base64
from gateway.smime.compress import compress
from tests.unit.smime_world import MAIL, at_home, openssl_decrypt, openssl_verify, world

ENTITY = b"Content-Type: text/plain\r\n\r\n" + b"the same line again\r\n" * 1000


def inflated(entity: bytes) -> bytes:
    """The content of a compressed entity, by libraries alone."""
    info = cms.ContentInfo.load(decode_base64(bytes(split(entity).body)), strict=True)
    assert info["content_type"].native == "compressed_data"
    compressed = info["content"]
    assert compressed["version"].native == "v0"
    assert compressed["compression_algorithm"].dump().hex() == (
        "300d060b2a864886f70d0109100308"  # zlibCompress without parameters (RFC 3274 §2)
    )
    assert compressed["encap_content_info"]["content_type"].native == "data"
    return zlib.decompress(compressed["encap_content_info"]["content"].native)


@pytest.mark.parametrize("entity", [ENTITY, b"\r\n", content_entity(split(MAIL)), b"a" * (2 << 20)])
def test_what_is_compressed_comes_back_octet_for_octet(entity: bytes) -> None:
    done = compress(entity)

    assert inflated(done) == entity
    assert done.isascii()


def test_the_entity_says_what_it_is() -> None:
    done = compress(ENTITY)

    assert done.startswith(
        b"Content-Type: application/pkcs7-mime; smime-type=compressed-data;\r\n"
        b'\tname="smime.p7z"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="smime.p7z"\r\n\r\n'
    )
    assert len(done) < len(ENTITY) / 10


@pytest.mark.parametrize("entity", [b"\r\na\nb", b"\r\na\rb"])
def test_bare_line_ends_are_not_canonical(entity: bytes) -> None:
    with pytest.raises(ValueError, match="CR or LF"):
        compress(entity)


def test_openssl_reads_the_structure(tmp_path: Path) -> None:
    """Without zlib in it, too, as Debian builds it: what is inside is then not looked at."""
    (tmp_path / "mail").write_bytes(b"MIME-Version: 1.0\r\n" + compress(ENTITY))
    shown = subprocess.run(
        ["openssl", "cms", "-cmsout", "-print", "-noout", "-in", "mail"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    assert "contentType: id-smime-ct-compressedData (1.2.840.113549.1.9.16.1.9)" in shown
    assert "eContentType: pkcs7-data (1.2.840.113549.1.7.1)" in shown


def test_openssl_with_zlib_gives_it_back(tmp_path: Path) -> None:
    (tmp_path / "mail").write_bytes(b"MIME-Version: 1.0\r\n" + compress(ENTITY))
    done = subprocess.run(
        ["openssl", "cms", "-uncompress", "-in", "mail", "-out", "out"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    if "unsupported compression" in done.stderr:
        pytest.skip("this OpenSSL is built without zlib")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == ENTITY


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    at_home(tmp_path, monkeypatch, "alice", "bob")
    world().write_cas(tmp_path)
    (tmp_path / "mail.eml").write_bytes(b"From: a@example.org\r\nSubject: s\r\n" + ENTITY)
    return tmp_path


SIGN = ["smime", "sign", "--key", "alice.key", "--cert", "alice.pem", "--cert", "ca.pem"]


def test_compressed_before_it_is_signed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SIGN, "--compress", "--out", "s", "--json", "mail.eml"]) == 0

    (record,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (record["compressed"], record["transformations"]) == (True, [])
    mail = (here / "s").read_bytes()
    assert mail.startswith(b"From: a@example.org\r\nSubject: s\r\nMIME-Version: 1.0\r\n")
    assert inflated(openssl_verify(here, mail)) == ENTITY


def test_compressed_between_signature_and_encryption(here: Path) -> None:
    assert main([*SIGN, "--opaque", "--out", "s", "mail.eml"]) == 0
    assert main(["smime", "encrypt", "--to", "bob.pem", "--compress", "--out", "e", "s"]) == 0

    opened = openssl_decrypt(here, (here / "e").read_bytes(), world().bob)
    signed = inflated(opened)
    assert openssl_verify(here, b"MIME-Version: 1.0\r\n" + signed) == ENTITY


def test_nothing_is_compressed_unasked(here: Path) -> None:
    assert main(["smime", "encrypt", "--to", "bob.pem", "--out", "e", "mail.eml"]) == 0
    assert openssl_decrypt(here, (here / "e").read_bytes(), world().bob) == ENTITY


@pytest.mark.parametrize("command", [SIGN, ["smime", "encrypt", "--to", "bob.pem"]])
def test_a_file_with_bare_line_ends_is_malformed(
    here: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "odd").write_bytes(b"Subject: s\r\n\r\na\nb\r\n")
    assert main([*command, "--compress", "--out", "x", "odd"]) == 2
    assert "a line ends in a CR or LF alone" in capsys.readouterr().err
