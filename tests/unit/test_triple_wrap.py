"""Triple wrapping (RFC 2634 §1.1): three commands in a pipe, each layer opened by OpenSSL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.mime.entity import content_entity, split
from gateway.mime.parameters import content_type
from tests.corpora import ROOT
from tests.unit.smime_world import MAIL, openssl_decrypt, openssl_verify, world


def piped(folder: Path, mail: bytes, *commands: list[str]) -> bytes:
    """sceau smime … | sceau smime … | …"""
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "gateway.cli", "smime", *command, "-"],
            cwd=folder, input=mail, capture_output=True,
            env={"PYTHONPATH": str(ROOT), "LC_ALL": "C"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        mail = done.stdout
    return mail


@pytest.mark.parametrize("how", [[], ["--opaque"]])
def test_sign_encrypt_sign(tmp_path: Path, how: list[str]) -> None:
    world().alice.write(tmp_path, "alice")
    world().erin.write(tmp_path, "erin")
    world().bob.write(tmp_path, "bob")
    ca = str(world().write_cas(tmp_path))
    inner = ["sign", "--key", "alice.key", "--cert", "alice.pem", "--cert", ca, *how]
    middle = ["encrypt", "--to", "bob.pem"]
    outer = ["sign", "--key", "erin.key", "--cert", "erin.pem", "--cert", ca, *how]
    mail = piped(tmp_path, MAIL, inner, middle, outer)

    # The header of the mail is outside of all layers, once, and as it came.
    kept = [f.raw for f in split(MAIL).fields if not f.name.startswith(("content-", "mime-"))]
    assert mail.startswith(b"".join(kept) + b"MIME-Version: 1.0\r\nContent-Type: ")
    assert [mail.count(b"\r\n" + name) for name in (b"MIME-Version:", b"Subject:")] == [1, 1]

    sealed = openssl_verify(tmp_path, mail)
    kind = content_type(split(sealed).fields)
    assert kind.parameters["smime-type"] == b"enveloped-data"
    signed = openssl_decrypt(tmp_path, b"MIME-Version: 1.0\r\n" + sealed, world().bob)
    binary = ("-binary",) if how else ()  # OpenSSL changes the line ends of clear text otherwise
    content = openssl_verify(tmp_path, b"MIME-Version: 1.0\r\n" + signed, *binary)
    if how:
        assert content == content_entity(split(MAIL))
    else:  # the 8-bit text was encoded, so that no relay breaks the signature
        assert content.isascii()
