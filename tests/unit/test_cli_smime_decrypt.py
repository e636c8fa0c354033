"""`sceau smime decrypt` on files, as a person and as a script would use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from gateway.cli import main
from gateway.mime.entity import content_entity, split
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.compress import compress
from gateway.smime.encrypt import encrypt
from gateway.smime.sign import sign, sign_opaque
from tests.unit.smime_world import MAIL, at_home, world

ENTITY = content_entity(split(MAIL))
HEAD = b"From: a@example.org\r\nSubject: ...\r\nMIME-Version: 1.0\r\n"
BOB = world().bob.recipient(KeyManagement.RSA_PKCS1)
CURVE = world().curves["secp256r1"].recipient(KeyManagement.ECDH)
DECRYPT = ["smime", "decrypt", "--key", "bob.key", "--cert", "bob.pem"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    at_home(tmp_path, monkeypatch, "alice", "bob")
    world().curves["secp256r1"].write(tmp_path, "curve")
    sealed = encrypt(ENTITY, [BOB], Cipher.AES_256_CBC)
    (tmp_path / "mail.eml").write_bytes(HEAD + sealed)
    return tmp_path


def _records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_entity_on_standard_output(
    here: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main([*DECRYPT, "mail.eml"]) == 0

    out, err = capfdbinary.readouterr()
    assert out == ENTITY
    assert b"the cipher does not notice changes" in err


def test_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sealed = encrypt(ENTITY, [CURVE, BOB], Cipher.AES_256_GCM)
    (here / "gcm.eml").write_bytes(HEAD + sealed)

    assert main([*DECRYPT, "--json", "--out", "out", "mail.eml", "gcm.eml"]) == 0

    cbc, gcm = _records(capsys)
    assert (cbc["file"], cbc["status"], cbc["problems"]) == ("mail.eml", "decrypted", [])
    (layer,) = cbc["layers"]
    assert layer == {
        "kind": "encrypted",
        "opened": True,
        "cipher": "aes-256-cbc",
        "key_management": "rsa-pkcs1",
        "certificate_sha256": world().bob.checked().sha256,
        "content_type": "1.2.840.113549.1.7.1",
        "problems": [],
    }
    assert "decrypt.not-authenticated" in [one["code"] for one in cbc["remarks"]]
    assert gcm["layers"][0]["kind"] == "auth-encrypted"
    assert "decrypt.not-authenticated" not in [one["code"] for one in gcm["remarks"]]
    assert (here / "out/mail.eml").read_bytes() == (here / "out/gcm.eml").read_bytes() == ENTITY


def test_key_files_of_every_form(here: Path) -> None:
    key = world().bob.key
    forms = {
        "pkcs8.der": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        "pkcs1.der": key.private_bytes(
            Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        ),
        "encrypted.pem": key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"se cret")
        ),
        "encrypted.der": key.private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"se cret")
        ),
    }
    for name, octets in forms.items():
        (here / name).write_bytes(octets)
    world().bob.write_p12(here / "old.p12", b"se cret", world().root)
    (here / "password").write_text("se cret\n")

    for number, name in enumerate([*forms, "old.p12"]):
        options = ["--password-file", "password", "--out", str(number)]
        assert main(["smime", "decrypt", "--key", name, *options, "mail.eml"]) == 0, name
        assert (here / str(number)).read_bytes() == ENTITY


def test_several_keys_and_a_folder_of_them(here: Path) -> None:
    (here / "keys").mkdir()
    for name in ("alice", "bob", "curve"):
        (here / f"{name}.key").rename(here / "keys" / name)
    for number, recipient in enumerate((BOB, CURVE)):
        sealed = encrypt(ENTITY, [recipient], Cipher.AES_128_GCM)
        (here / "m").write_bytes(HEAD + sealed)
        keys = ["--key", "keys", "--cert", "bob.pem", "--cert", "alice.pem"]
        assert main(["smime", "decrypt", *keys, "--out", str(number), "m"]) == 0
        assert (here / str(number)).read_bytes() == ENTITY


def test_one_layer_or_all(here: Path) -> None:
    inner = encrypt(ENTITY, [CURVE], Cipher.AES_256_GCM)
    outer = encrypt(inner, [BOB], Cipher.AES_256_CBC)
    (here / "twice").write_bytes(HEAD + outer)

    assert main([*DECRYPT, "--out", "one", "twice"]) == 0
    assert (here / "one").read_bytes() == inner
    assert main([*DECRYPT, "--key", "curve.key", "--all", "--out", "all", "twice"]) == 0
    assert (here / "all").read_bytes() == ENTITY


@pytest.mark.parametrize("outer", ["clear", "opaque"])
def test_signed_layers_between_are_passed_through(
    here: Path, outer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Triple wrapping (RFC 2634 §1.1): the inner signature stays, the outer one is passed."""
    signed = sign_opaque(ENTITY.replace("é".encode(), b"e"), world().alice.signer).entity
    sealed = encrypt(signed, [BOB], Cipher.AES_256_CBC)
    again = sign if outer == "clear" else sign_opaque
    (here / "triple").write_bytes(HEAD + again(sealed, world().alice.signer).entity)

    assert main([*DECRYPT, "--json", "--out", "one", "triple"]) == 1
    assert _records(capsys)[0]["problems"][0]["code"] == "decrypt.not-encrypted"
    assert main([*DECRYPT, "--all", "--out", "all", "triple"]) == 0
    assert (here / "all").read_bytes() == signed


def test_bare_cms_and_unix_line_ends(here: Path) -> None:
    mail = (here / "mail.eml").read_bytes()
    (here / "unix.eml").write_bytes(mail.replace(b"\r\n", b"\n"))
    body = mail.partition(b"\r\n\r\n")[2]
    (here / "pem").write_bytes(b"-----BEGIN CMS-----\n" + body + b"-----END CMS-----\n")
    assert main([*DECRYPT, "--out", "out", "unix.eml", "pem"]) == 0
    assert {path.read_bytes() for path in (here / "out").iterdir()} == {ENTITY}


def test_a_mail_encrypted_with_a_password(here: Path) -> None:
    done = subprocess.run(
        ["openssl", "cms", "-encrypt", "-aes256", "-pwri_password", "pass word"],
        input=ENTITY,
        capture_output=True,
        check=True,
    )
    (here / "m").write_bytes(done.stdout)
    (here / "password").write_text("pass word\n")

    assert main(["smime", "decrypt", "--mail-password-file", "password", "--out", "o", "m"]) == 0
    assert b"demain" in (here / "o").read_bytes()


def test_the_password_of_a_key_is_not_tried_on_mail(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sender who encrypts with a guess must not learn whether it is the key's password."""
    key = world().bob.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"guess")
    )
    (here / "locked.key").write_bytes(key)
    (here / "password").write_text("guess\n")
    done = subprocess.run(
        ["openssl", "cms", "-encrypt", "-aes256", "-pwri_password", "guess"],
        input=ENTITY, capture_output=True, check=True,
    )  # fmt: skip
    (here / "m").write_bytes(done.stdout)
    options = ["--key", "locked.key", "--password-file", "password", "--json", "--out", "o"]

    assert main(["smime", "decrypt", *options, "m"]) == 1
    assert _records(capsys)[0]["problems"][0]["code"] == "decrypt.no-key"
    both = [*options, "--mail-password-file", "password"]
    assert main(["smime", "decrypt", *both, "m"]) == 0
    assert main(["smime", "decrypt", "--password-file", "password", "--out", "p", "m"]) == 2
    assert "there is no key to open with" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="there are no pipes with names here")
def test_a_key_is_read_once(here: Path) -> None:
    """From a pipe, as a shell's <(…) makes one, it comes once only."""
    reading, writing = os.pipe()
    os.write(writing, (here / "bob.key").read_bytes())
    os.close(writing)
    key = f"/dev/fd/{reading}"

    assert main(["smime", "decrypt", "--key", key, "--out", "o", "mail.eml"]) == 0
    assert (here / "o").read_bytes() == ENTITY


@pytest.mark.parametrize("inside", ["text", "signed", "encrypted"])
def test_all_goes_through_compression(here: Path, inside: str) -> None:
    """Compression is taken away like encryption; a signature stays, whatever is inside it."""
    signed = sign_opaque(compress(ENTITY), world().alice.signer).entity
    content, wanted = {
        "text": (compress(ENTITY), ENTITY),
        "signed": (compress(signed), signed),
        "encrypted": (compress(encrypt(ENTITY, [CURVE], Cipher.AES_256_GCM)), ENTITY),
    }[inside]
    (here / "m").write_bytes(HEAD + encrypt(content, [BOB], Cipher.AES_256_CBC))

    assert main([*DECRYPT, "--key", "curve.key", "--out", "one", "m"]) == 0
    assert (here / "one").read_bytes() == content
    assert main([*DECRYPT, "--key", "curve.key", "--all", "--out", "all", "m"]) == 0
    assert (here / "all").read_bytes() == wanted


def test_pem_with_text_before_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """RFC 7468 §2. In a mail it is part of the mail, however it begins."""
    body = (here / "mail.eml").read_bytes().partition(b"\r\n\r\n")[2]
    pem = b"-----BEGIN CMS-----\n" + body + b"-----END CMS-----\n"
    text = "\nFor Bob, à lire.\n\nsubject=/CN=x\n" + "x" * 500 + "\n"
    (here / "text").write_bytes(text.encode() + pem)
    (here / "torn").write_bytes(b"For Bob\n" + pem[:-300])
    (here / "m.eml").write_bytes(b"Subject: hello\n\n" + pem)

    assert main([*DECRYPT, "--out", "o", "text"]) == 0
    assert (here / "o").read_bytes() == ENTITY
    assert main([*DECRYPT, "--json", "--out", "p", "torn", "m.eml"]) == 2
    torn, mail = _records(capsys)
    assert torn["problems"][0]["code"] == "structure.truncated"
    assert mail["problems"][0]["code"] == "decrypt.not-encrypted"


@pytest.mark.parametrize(
    ("options", "mail", "code", "exit_code"),
    [
        (["--key", "alice.key", "--cert", "alice.pem"], "mail.eml", "decrypt.no-key", 1),
        (["--key", "alice.key"], "mail.eml", "decrypt.failed", 1),
        (["--key", "bob.key"], "plain.eml", "decrypt.not-encrypted", 1),
        (["--key", "bob.key"], "broken.eml", "structure.truncated", 2),
        (["--key", "bob.key"], "no mail", "structure.header", 2),
        (["--key", "bob.key"], "missing", "structure.file", 2),
        (["--key", "bob.key"], "3des.eml", "algorithm.refused", 1),
    ],
)
def test_what_cannot_be_opened(
    here: Path, options: list[str], mail: str, code: str, exit_code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (here / "plain.eml").write_bytes(MAIL)
    (here / "broken.eml").write_bytes((here / "mail.eml").read_bytes()[:-300])
    (here / "no mail").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = subprocess.run(["openssl", "cms", "-encrypt", "-des3", "bob.pem"], input=ENTITY,
                          capture_output=True, check=True)  # fmt: skip
    (here / "3des.eml").write_bytes(done.stdout)
    if code == "decrypt.failed":  # CBC opens by chance, once in 256 times
        sealed = encrypt(ENTITY, [BOB], Cipher.AES_256_GCM)
        (here / "mail.eml").write_bytes(HEAD + sealed)

    assert main(["smime", "decrypt", *options, "--json", "--out", "o", mail]) == exit_code

    (record,) = _records(capsys)
    assert record["problems"][0]["code"] == code
    assert not (here / "o").exists()
    if code == "algorithm.refused":
        legacy = [*options, "--allow-legacy", "--json", "--out", "o", mail]
        assert main(["smime", "decrypt", *legacy]) == 0
        assert "algorithm.legacy" in [one["code"] for one in _records(capsys)[0]["remarks"]]


def test_the_moment_decides_by_the_table(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*DECRYPT, "--json", "--out"]
    assert main([*arguments, "then", "--at", "2030-12-31T23:00:00Z", "mail.eml"]) == 0
    assert main([*arguments, "late", "--at", "2031-01-01T00:00:00Z", "mail.eml"]) == 1
    _, late = _records(capsys)
    assert late["problems"][0]["code"] == "algorithm.refused"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "there is no key to open with"),
        (["--key", "bob.pem"], "it holds no private key"),
        (["--key", "two.key"], "it holds more than one private key"),
        (["--key", "damaged.key"], "a certificate beside the key cannot be read"),
        (["--key", "missing"], "cannot be read"),
        (["--key", "bob.key", "--cert", "mail.eml"], "is not a certificate"),
        (["--key", "bob.key", "--json"], "give --out"),
    ],
)
def test_requests_that_cannot_be(
    here: Path, options: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = (here / "bob.key").read_bytes()
    (here / "two.key").write_bytes((here / "alice.key").read_bytes() + key)
    certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    (here / "damaged.key").write_bytes(key + certificate)

    assert main(["smime", "decrypt", *options, "mail.eml"]) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.out == ""


def test_keys_for_oaep_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One key under both paddings lets the weaker one open what the stronger protects (S5)."""
    oaep = world().bob.recipient(KeyManagement.RSA_OAEP)
    (here / "oaep.eml").write_bytes(HEAD + encrypt(ENTITY, [oaep], Cipher.AES_256_CBC))
    files = ["--json", "--out", "out", "mail.eml", "oaep.eml"]

    assert main([*DECRYPT, "--oaep-only", *files]) == 1

    older, newer = _records(capsys)
    assert (older["status"], newer["status"]) == ("refused", "decrypted")
    assert [one["code"] for one in older["problems"]] == ["algorithm.unsupported"]
    assert not (here / "out/mail.eml").exists()
    assert (here / "out/oaep.eml").read_bytes() == ENTITY

    for options in ([], ["--oaep-only"]):
        main(["smime", "verify", "--key", "bob.key", "--json", *options, "mail.eml"])
        (record,) = _records(capsys)
        found = {one["code"] for one in record["problems"]}
        assert ("algorithm.unsupported" in found) is bool(options)


_CHILD = """
import sys
from gateway.cli import main
from tests.peak import count_anew, peak
main(["smime", "decrypt", "--key", "bob.key", "--out", "small.out", "mail.eml"])
before = count_anew()
assert main(["smime", "decrypt", "--key", "bob.key", "--out", "large.out", sys.argv[1]]) == 0
print(peak() - before)
"""


@pytest.mark.parametrize("cipher", [Cipher.AES_256_CBC, Cipher.AES_256_GCM])
def test_a_large_mail_takes_less_than_three_times_its_size(here: Path, cipher: Cipher) -> None:
    content = b"Content-Type: application/octet-stream\r\n\r\n" + os.urandom(1 << 20) * 29
    mail = here / "large.eml"
    mail.write_bytes(HEAD + encrypt(content, [BOB], cipher))
    size = mail.stat().st_size
    assert size > 40_000_000

    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(mail)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=here,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert (here / "large.out").read_bytes() == content
    grown = int(done.stdout)
    assert size / 2 < grown < 3 * size, f"{grown / size:.2f} times its size"


@pytest.mark.parametrize("cipher", [Cipher.AES_256_CBC, Cipher.AES_256_GCM])
def test_verify_opens_encrypted_layers_on_the_way(
    here: Path, cipher: Cipher, capsys: pytest.CaptureFixture[str]
) -> None:
    text = b"Content-Type: text/plain\r\n\r\nhello\r\n"
    sealed = encrypt(sign(text, world().alice.signer).entity, [BOB], cipher)
    head = b"From: alice@example.org\r\nMIME-Version: 1.0\r\n"
    (here / "m").write_bytes(head + sealed)
    (here / "root.pem").write_bytes(world().root.public_bytes(Encoding.PEM))
    verify = ["smime", "verify", "--anchor", "root.pem", "--revocation", "off", "--json", "m"]

    assert main(verify) == 3
    assert main([*verify, "--key", "bob.key", "--cert", "bob.pem"]) == 0
    assert main([*verify, "--key", "alice.key", "--cert", "alice.pem"]) == 3

    shut, opened, other = _records(capsys)
    assert [layer["opened"] for layer in shut["layers"]] == [False]
    assert [layer["opened"] for layer in opened["layers"]] == [True, True]
    assert opened["status"] == "valid"
    assert other["problems"][0]["code"] == "decrypt.no-key"


def test_verify_says_what_it_opened_as_old_evidence(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = b"Content-Type: text/plain\r\n\r\nhello\r\n"
    signed = sign(text, world().alice.signer).entity
    done = subprocess.run(["openssl", "cms", "-encrypt", "-des3", "bob.pem"], input=signed,
                          capture_output=True, check=True)  # fmt: skip
    (here / "m").write_bytes(b"From: alice@example.org\n" + done.stdout)
    (here / "root.pem").write_bytes(world().root.public_bytes(Encoding.PEM))
    verify = ["smime", "verify", "--anchor", "root.pem", "--revocation", "off", "--json", "m"]

    assert main([*verify, "--key", "bob.key", "--cert", "bob.pem", "--allow-legacy"]) == 0
    assert main([*verify, "--key", "bob.key", "--cert", "bob.pem"]) == 3

    opened, shut = _records(capsys)
    assert opened["status"] == "valid"
    assert [one["code"] for one in opened["remarks"]] == ["algorithm.legacy"]
    assert "3des-cbc" in opened["remarks"][0]["text"]
    assert shut["problems"][0]["code"] == "algorithm.refused"
