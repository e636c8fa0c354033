"""NSS and gpgsm sign, we verify; and what they make is as fragile as it must be."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes

from gateway.mime.transfer import encode_base64
from gateway.smime.verdicts import Status
from gateway.smime.wrapping import multipart_signed, pkcs7_mime
from tests.gpgsm import import_p12
from tests.unit.cms_forger import ENTITY, judged, mail
from tests.unit.smime_world import world


def _run(*arguments: object, stdin: bytes = b"") -> bytes:
    done = subprocess.run(list(map(str, arguments)), capture_output=True, input=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def _clear(cms: bytes) -> bytes:
    return multipart_signed(ENTITY, cms, micalg="sha-256", boundary="limit")


@pytest.fixture
def nss(tmp_path: Path) -> str:
    database = tmp_path / "nss"
    database.mkdir()
    name = f"sql:{database}"
    _run("certutil", "-N", "-d", name, "--empty-password")
    p12 = world().alice.write_p12(tmp_path / "alice.p12", b"test", world().root)
    _run("pk12util", "-i", p12, "-d", name, "-K", "", "-W", "test")
    listed = _run("certutil", "-L", "-d", name).decode()
    root = next(line.rsplit(maxsplit=1)[0] for line in listed.splitlines() if "Racine" in line)
    _run("certutil", "-M", "-d", name, "-n", root, "-t", "CT,CT,")
    return name


@pytest.mark.parametrize("options", [[], ["-G"], ["-G", "-P"], ["-H", "SHA384"]], ids=str)
@pytest.mark.parametrize("detached", [True, False])
def test_nss_signs(tmp_path: Path, nss: str, options: list[str], detached: bool) -> None:
    content = tmp_path / "content"
    content.write_bytes(ENTITY)
    way = ["-T"] if detached else []
    cms = _run("cmsutil", "-S", "-d", nss, "-N", "alice@example.org", *way, *options, "-i", content)

    entity = _clear(cms) if detached else pkcs7_mime("signed-data", cms)
    found = judged(mail(entity))

    assert found.status is Status.VALID, found.problems
    changed = mail(entity).replace(b"Bonjour", b"Bonsoir")
    assert judged(changed).status is (Status.INVALID if detached else Status.VALID)


@pytest.fixture
def gpgsm(tmp_path: Path) -> Iterator[tuple[object, ...]]:
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    (home / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
    fingerprint = world().root.fingerprint(hashes.SHA1()).hex().upper()
    (home / "trustlist.txt").write_text(f"{fingerprint} S relax\n")
    command = ("gpgsm", "--homedir", home, "--batch", "--pinentry-mode", "loopback",
               "--passphrase-fd", "0", "--disable-crl-checks")  # fmt: skip
    try:
        target = tmp_path / "alice.p12"
        write = lambda: world().alice.write_p12(target, b"test", world().root)  # noqa: E731
        import_p12(command, write, b"test\n")
        yield command
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


@pytest.mark.parametrize("detached", [True, False])
def test_gpgsm_signs(tmp_path: Path, gpgsm: tuple[object, ...], detached: bool) -> None:
    content = tmp_path / "content"
    content.write_bytes(ENTITY)
    way = ["--detach-sign"] if detached else ["--sign"]
    cms = _run(*gpgsm, *way, content, stdin=b"test\n")

    entity = _clear(cms) if detached else pkcs7_mime("signed-data", cms)
    found = judged(mail(entity))

    assert found.status is Status.VALID, found.problems
    assert found.signers[0].signing_time is not None
    assert encode_base64(cms)[:40] in entity
