"""`sceau pki key create` and `csr`; openssl reads what they make."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gateway.cli.pki_key_create import KINDS
from pki import own_keys
from tests.unit.cli_pki_house import sceau

_SIGNS = [name for name, kind in own_keys.KINDS.items() if kind.signs]
_OPENSSL = [name for name in _SIGNS if not name.startswith("ml-")]  # 3.0 knows no ML-DSA


def openssl(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def test_the_command_line_knows_all_kinds() -> None:
    assert tuple(own_keys.KINDS) == KINDS


@pytest.mark.parametrize("kind", [one for one in KINDS if one != "rsa-4096"])
def test_each_kind_and_its_request(tmp_path: Path, kind: str) -> None:
    key, request = tmp_path / "key", tmp_path / "csr"
    signs = own_keys.KINDS[kind].signs
    use = "sign" if signs else "decrypt"
    made = sceau("pki", "key", "create", key, "--kind", kind, "--use", use)
    assert made.code == 0, made.err
    assert key.stat().st_mode & 0o777 == 0o600
    asked = sceau(
        "pki", "key", "csr", key, "--email", "marie@interior.example", "--email",
        "jérôme@interior.example", "--use", use, "--out", request,
    )  # fmt: skip
    if not signs:
        assert asked.code == 2
        assert "this key cannot sign, so it has no certification request" in asked.err
        public = tmp_path / "pub"
        assert sceau("pki", "key", "csr", key, "--public", "--out", public).code == 0
        assert b"BEGIN PUBLIC KEY" in public.read_bytes()
        return
    assert asked.code == 0, asked.err
    if kind in _OPENSSL:
        text = openssl("req", "-in", request, "-noout", "-text", "-verify")
        assert "verify OK" in text
        assert "Subject: CN = marie@interior.example" in text
        assert "E-mail Protection" in text
        assert "email:marie@interior.example, othername: SmtpUTF8Mailbox::jérôme" in text


def test_usages_and_subject(tmp_path: Path) -> None:
    key = tmp_path / "key"
    assert sceau("pki", "key", "create", key, "--kind", "p-256", "--use", "both").code == 0
    for use, words in (
        ("sign", "Digital Signature\n"),
        ("decrypt", "Key Agreement\n"),
        ("both", "Digital Signature, Key Agreement\n"),
    ):
        asked = sceau(
            "pki", "key", "csr", key, "--email", "marie@interior.example", "--use", use,
            "--subject", "CN=Marie Curie,O=Interior,C=FR",
        )  # fmt: skip
        (tmp_path / use).write_text(asked.out)
        text = openssl("req", "-in", tmp_path / use, "-noout", "-text")
        assert words in text
        assert "C = FR, O = Interior, CN = Marie Curie" in text


def test_an_encrypted_key_and_what_is_refused(tmp_path: Path) -> None:
    key, password = tmp_path / "key", tmp_path / "password"
    password.write_text("secret\n")
    create = ("pki", "key", "create", key, "--kind", "ed25519")
    assert sceau(*create, "--password-file", password).code == 0
    assert b"ENCRYPTED PRIVATE KEY" in key.read_bytes()
    openssl("pkey", "-in", key, "-passin", "pass:secret", "-noout")
    again = sceau(*create)
    assert (again.code, "exists already" in again.err) == (2, True)
    shut = sceau("pki", "key", "csr", key, "--email", "a@b.example")
    assert (shut.code, "the key is encrypted" in shut.err) == (2, True)
    for arguments, words in (
        (("--kind", "ed25519", "--use", "decrypt"), "cannot do that"),
        (("--kind", "ml-kem-768"), "cannot do that"),
        (("--kind", "rsa-1024"), "rsa-1024"),
    ):
        refused = sceau("pki", "key", "create", tmp_path / "other", *arguments)
        assert (refused.code, words in refused.err) == (2, True), refused.err
    asked = ("pki", "key", "csr", key, "--password-file", password)
    for arguments, words in (
        ((), "--email is missing"),
        (("--email", "no address"), "no address"),
        (("--email", "a@b.example", "--subject", "Marie"), "is not a name"),
    ):
        refused = sceau(*asked, *arguments)
        assert (refused.code, words in refused.err) == (2, True), refused.err
