"""`sceau smime` on files, as a person and as a script would use it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.mime.entity import content_entity, split
from pki.algorithms import TABLE, Operation
from tests.unit.smime_world import MAIL, at_home, openssl_decrypt, openssl_verify, world

PLAIN = MAIL.replace(b"8bit", b"7bit").partition(b"\r\n\r\n")[0] + b"\r\n\r\nhello\r\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    at_home(tmp_path, monkeypatch, "alice", "bob")
    world().curves["secp256r1"].write(tmp_path, "curve")
    (tmp_path / "mail.eml").write_bytes(PLAIN)
    return tmp_path


SIGN = ["smime", "sign", "--key", "alice.key", "--cert", "alice.pem"]


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_signed_mail_on_standard_output(
    here: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main([*SIGN, "--cert", str(world().write_cas(here)), "mail.eml"]) == 0

    out, err = capfdbinary.readouterr()
    assert err == b""
    assert out.startswith(b"Received: from client.example.org\r\nFrom: Alice <alice@example.org>")
    assert out.count(b"MIME-Version") == 1
    assert openssl_verify(here, out) == content_entity(split(PLAIN))


def test_signed_then_encrypted_then_read_by_openssl(here: Path) -> None:
    assert main([*SIGN, "--cert", str(world().write_cas(here)), "--out", "s.eml", "mail.eml"]) == 0
    assert main(["smime", "encrypt", "--to", "bob.pem", "--to", "curve.pem",
                 "--out", "e.eml", "s.eml"]) == 0  # fmt: skip

    sealed = (here / "e.eml").read_bytes()
    assert b"hello\r\n" not in sealed
    for owner in (world().bob, world().curves["secp256r1"]):
        opened = openssl_decrypt(here, sealed, owner)
        assert openssl_verify(here, opened) == content_entity(split(PLAIN))


def test_a_bare_entity_and_unix_line_ends(here: Path) -> None:
    (here / "part.txt").write_bytes(b"Content-Type: text/plain\n\nhello\n")

    assert main([*SIGN, "--cert", str(world().write_cas(here)), "--out", "s", "part.txt"]) == 0

    content = openssl_verify(here, (here / "s").read_bytes())
    assert content == b"Content-Type: text/plain\r\n\r\nhello\r\n"


def test_a_signed_mail_is_signed_again(here: Path) -> None:
    ca = str(world().write_cas(here))
    assert main([*SIGN, "--cert", ca, "--out", "one", "mail.eml"]) == 0
    assert main([*SIGN, "--cert", ca, "--opaque", "--out", "two", "one"]) == 0

    once = openssl_verify(here, (here / "two").read_bytes())
    assert openssl_verify(here, b"MIME-Version: 1.0\r\n" + once) == content_entity(split(PLAIN))


@pytest.mark.parametrize("signature", ["rsa-pkcs1", "rsa-pss"])
def test_signature_kinds(here: Path, signature: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--signature", signature, "--out", "s", "--json", "mail.eml"]
    assert main([*SIGN, "--cert", str(world().write_cas(here)), *arguments]) == 0

    (record,) = _lines(capsys)
    assert record["file"] == "mail.eml"
    assert (record["status"], record["signature"], record["out"]) == ("signed", signature, "s")
    openssl_verify(here, (here / "s").read_bytes())


def test_a_signature_that_the_key_cannot_make(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SIGN, "--signature", "ecdsa", "mail.eml"]) == 2
    assert "this key cannot make ecdsa signatures" in capsys.readouterr().err


def test_changes_for_relays_are_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "8bit.eml").write_bytes(MAIL)

    assert main([*SIGN, "--out", "s", "--json", "8bit.eml"]) == 0

    captured = capsys.readouterr()
    (change,) = json.loads(captured.out)["transformations"]
    assert (change["before"], change["after"]) == ("8bit", "base64")
    assert "1 parts were given a transfer encoding" in captured.err


def test_opaque_keeps_the_octets(here: Path) -> None:
    (here / "8bit.eml").write_bytes(MAIL)
    ca = str(world().write_cas(here))

    assert main([*SIGN, "--cert", ca, "--opaque", "--out", "s", "8bit.eml"]) == 0

    assert openssl_verify(here, (here / "s").read_bytes()) == content_entity(split(MAIL))


def test_password_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world().alice.write_p12(here / "alice.p12", b"se cret", world().root)
    (here / "right").write_text("se cret\n")
    (here / "wrong").write_text("secret\n")
    sign = ["smime", "sign", "--key", "alice.p12", "mail.eml"]

    assert main([*sign, "--password-file", "right", "--out", "s"]) == 0
    assert openssl_verify(here, (here / "s").read_bytes()) == content_entity(split(PLAIN))
    assert main([*sign, "--password-file", "wrong", "--out", "t"]) == 2
    assert main([*sign, "--out", "t"]) == 2
    assert not (here / "t").exists()
    assert "the password for alice.p12 is wrong" in capsys.readouterr().err


def test_nothing_is_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "s").write_text("precious")

    assert main([*SIGN, "--out", "s", "mail.eml"]) == 2

    assert (here / "s").read_text() == "precious"
    assert "exists already and is not overwritten" in capsys.readouterr().err
    assert main([*SIGN, "--out", "mail.eml", "mail.eml"]) == 2
    assert (here / "mail.eml").read_bytes() == PLAIN


def test_several_files_go_to_a_folder_and_the_worst_code_wins(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box = here / "box"
    box.mkdir()
    (box / "a.eml").write_bytes(PLAIN)
    (box / "b.eml").write_bytes(b"no header\n")
    (box / "c.eml").write_bytes(PLAIN)

    assert main([*SIGN, "--out", "done", "--json", "box", "missing.eml"]) == 2

    records = _lines(capsys)
    assert [(Path(one["file"]).name, one["status"]) for one in records] == [
        ("a.eml", "signed"), ("b.eml", "malformed"), ("c.eml", "signed"),
        ("missing.eml", "malformed"),
    ]  # fmt: skip
    assert records[1]["problems"][0]["code"] == "structure.header"
    assert sorted(path.name for path in (here / "done").iterdir()) == ["a.eml", "c.eml"]


def test_what_cannot_be_signed_in_clear_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "x.eml").write_bytes(
        b"From: a@x\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n"
        b"--b\r\n\r\n\xe9\r\n--b--\r\n"
    )

    assert main([*SIGN, "--out", "s", "--json", "x.eml"]) == 1
    (record,) = _lines(capsys)
    assert record["status"] == "refused"
    assert main([*SIGN, "--opaque", "--out", "s", "x.eml"]) == 0


@pytest.mark.parametrize("content", [b"", b"A: b\r\n\r\nx\ry\r\n", b"A: b\r\n\r\nx\ny\r\n"])
def test_input_that_is_no_mail(
    here: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "x.eml").write_bytes(content)

    assert main([*SIGN, "x.eml"]) == 2
    assert capsys.readouterr().err.startswith("x.eml: ")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--key-management", "ecdh"], "its key is of another kind"),
        (["--to", "mail.eml"], "mail.eml is not a certificate"),
        (["--to", "missing.pem"], "there is no file missing.pem"),
        (["--json"], "give --out"),
        (["mail.eml"], "name a folder with --out"),
        (["--cipher", "3des"], "there are: auto, aes-256-cbc"),
    ],
)
def test_encrypt_requests_that_cannot_be(
    here: Path, options: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["smime", "encrypt", "--to", "bob.pem", "mail.eml", *options]) == 2

    captured = capsys.readouterr()
    assert problem in captured.err
    assert captured.out == ""


def test_encrypt_says_what_it_did_and_did_not_check(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encrypt = ["smime", "encrypt", "--to", "bob.pem", "--out", "e", "--json", "mail.eml"]
    assert main([*encrypt, "--cipher", "aes-256-gcm", "--key-management", "rsa-oaep"]) == 0

    captured = capsys.readouterr()
    record = json.loads(captured.out)
    assert (record["status"], record["cipher"]) == ("encrypted", "aes-256-gcm")
    assert record["recipients"][0]["key_management"] == "rsa-oaep"
    assert record["recipients"][0]["checked"] is False
    assert "not checked" in captured.err
    assert openssl_decrypt(here, (here / "e").read_bytes(), world().bob) == content_entity(
        split(PLAIN)
    )


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (["rsa:1024"], "rsa 1024"),
        (["ec", "-pkeyopt", "ec_paramgen_curve:secp224r1"], "ec-secp224r1 224"),
    ],
)
def test_keys_that_the_table_does_not_allow(
    here: Path, kind: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _self_signed(here, "-newkey", *kind, "-keyout", "weak.key", "-nodes", "-out", "weak.pem")

    assert main(["smime", "encrypt", "--to", "weak.pem", "mail.eml"]) == 1
    assert main(["smime", "sign", "--key", "weak.key", "--cert", "weak.pem", "mail.eml"]) == 1

    captured = capsys.readouterr()
    assert captured.err.count(f"the key ({said}) is not allowed at this time") == 2
    assert captured.out == ""


@pytest.mark.parametrize("digest", ["", "sha384"])
def test_a_certificate_for_pss_alone(
    here: Path, digest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = ["rsa_pss_keygen_md:sha384", "rsa_pss_keygen_mgf1_md:sha384"] if digest else []
    options = [word for one in limits for word in ("-pkeyopt", one)]
    make = ["openssl", "genpkey", "-quiet", "-algorithm", "RSA-PSS", "-out", "pss.key", *options]
    subprocess.run(make, cwd=here, check=True)
    _self_signed(here, "-key", "pss.key", "-out", "pss.pem")
    signing = ["smime", "sign", "--key", "pss.key", "--cert", "pss.pem", "--json", "mail.eml"]

    assert main([*signing, "--out", "s"]) == 0
    (record,) = _lines(capsys)
    assert (record["signature"], record["digest"]) == ("rsa-pss", digest or "sha256")
    verify = ["openssl", "cms", "-verify", "-in", "s", "-CAfile", "pss.pem", "-out", "verified"]
    subprocess.run(verify, cwd=here, check=True, capture_output=True)

    assert main([*signing, "--out", "t", "--signature", "rsa-pkcs1"]) == 2
    assert main([*signing, "--out", "t", "--digest", "sha256"]) == (2 if digest else 0)
    assert main(["smime", "encrypt", "--to", "pss.pem", "mail.eml"]) == 1
    assert "for RSASSA-PSS signatures alone" in capsys.readouterr().err


def test_a_certificate_that_is_not_for_signatures_is_noted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = ["-newkey", "rsa:2048", "-nodes", "-addext", "keyUsage=critical,keyEncipherment"]
    _self_signed(here, *usage, "-keyout", "e.key", "-out", "e.pem")

    assert main([*SIGN, "--out", "s", "mail.eml"]) == 0
    assert "will refuse" not in capsys.readouterr().err
    assert main(["smime", "sign", "--key", "e.key", "--cert", "e.pem", "mail.eml"]) == 0
    assert "keyUsage lacks digitalSignature; who verifies will refuse it" in capsys.readouterr().err


def _self_signed(folder: Path, *arguments: str) -> None:
    subject = ["-subj", "/CN=Somebody", "-addext", "subjectAltName=email:somebody@example.org"]
    subprocess.run(
        ["openssl", "req", "-x509", *subject, *arguments],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


def test_inspect_for_people_and_for_programs(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*SIGN, "--out", "s", "mail.eml"])
    capsys.readouterr()

    assert main(["smime", "inspect", "s"]) == 0
    text = capsys.readouterr().out
    assert "signed" in text
    assert "rsa-pkcs1" in text
    assert "Nothing was verified." in text
    assert main(["smime", "inspect", "--json", "s", "mail.eml", "alice.key"]) == 2
    signed, plain, key = _lines(capsys)
    assert [layer["kind"] for layer in signed["layers"]] == ["signed"]
    assert (plain["status"], plain["layers"]) == ("read", [])
    assert key["status"] == "malformed"


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        ("3003020103", "il manque un élément dans celui de l’octet 0"),
        (
            "300e06092a864886f70d010702020103",
            "l’élément à l’octet 13 n’est pas de la sorte attendue",
        ),
        (
            "301406092a864886f70d010702a00730050201013100",
            "un SignedData a plus ou moins de parties qu’il ne peut en avoir",
        ),
    ],
)
def test_what_is_no_cms_is_said_in_the_language_of_the_person_with_its_place(
    here: Path,
    octets: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    (here / "m").write_bytes(bytes.fromhex(octets))

    assert main(["smime", "decrypt", "--all", "--key", "bob.key", "m"]) == 2
    assert said in capsys.readouterr().err


def test_the_table_of_algorithms_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smime", "algorithms", "--json", "--at", "2027-12-31T23:59:59Z"]) == 0
    last_second = _lines(capsys)
    assert main(["smime", "algorithms", "--json", "--at", "2028-01-01T00:00:00Z"]) == 0
    then = _lines(capsys)

    assert len(then) == len(TABLE)
    flipped = [old for old, new in zip(last_second, then, strict=True) if old != new]
    assert [(row["operation"], row["algorithm"], row["bits"]) for row in flipped] == [
        ("encrypt-to", "rsa", 2048),
        ("sign-with", "rsa", 2048),
    ]
    assert flipped[0]["until"] == "2028-01-01T00:00:00.000000Z"
    assert flipped[0]["standing"] == "remark"
    open_ended = next(row for row in then if row["algorithm"] == "ml-kem-768")
    assert (open_ended["from"], open_ended["until"], open_ended["holds"]) == (None, None, True)


@pytest.mark.parametrize("language", ["C", "fr_FR.UTF-8"])
def test_the_table_of_algorithms_for_people(
    language: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", language)

    assert main(["smime", "algorithms", "--at", "2026-06-01T00:00:00Z"]) == 0

    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    headings = [line.split()[0] for line in text.splitlines() if re.match("[a-z-]+:", line)]
    assert headings == [f"{operation.value}:" for operation in Operation]
    lines = [line.split() for line in text.splitlines()]
    holding = [line for line in lines if line and line[0] == "*"]
    assert len(holding) == sum(row.start.year < 2027 < row.end.year for row in TABLE)
    assert ["*", "rsa", "2048", "2027-12-31"] in [line[:4] for line in holding]
    assert ("last day" in text) is (language == "C")


def test_standard_input(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    class Stdin:
        buffer = io.BytesIO(PLAIN)

    monkeypatch.setattr("sys.stdin", Stdin)

    assert main([*SIGN, "-"]) == 0
    assert b"multipart/signed" in capfdbinary.readouterr().out


def test_a_large_opaque_signature_is_the_same_to_openssl(here: Path) -> None:
    """Above a megabyte it is written piece by piece."""
    body = os.urandom(38).hex().encode() + b"\r\n"
    (here / "large.eml").write_bytes(PLAIN + body * 20_000)
    cas = str(world().write_cas(here))
    assert main([*SIGN, "--opaque", "--cert", cas, "--out", "opaque.eml", "large.eml"]) == 0

    opened = openssl_verify(here, (here / "opaque.eml").read_bytes())
    assert opened == content_entity(split(PLAIN + body * 20_000))


def test_the_real_command_writes_octets_to_a_pipe(here: Path) -> None:
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", *SIGN, "mail.eml"],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"},
        cwd=here, capture_output=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"\r\n") == done.stdout.count(b"\n")
