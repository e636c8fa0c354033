"""What arrives is read by the programs of others: openssl, NSS, gpgsm and the real Thunderbird."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from gateway.demo.judge import expected_entity, signed_part
from gateway.demo.pki import Credential
from tests.flows.way_out_scene import AMELIE, BASTIEN, HUGO, JEANNE, NOBODY, REGISTRY, Scene, mail
from tests.gpgsm import import_p12
from tests.judges.thunderbird.judge import ask

pytestmark = pytest.mark.flow

TEXT = "Bonjour, à demain : éèà."
PASSWORD = "reader"


@dataclass(frozen=True)
class Sent:
    """A mail that has arrived. reader: None where it was not encrypted."""

    original: bytes
    file: Path
    sender: str
    reader: str | None


@pytest.fixture(scope="module")
def sent(ministry: Scene) -> list[Sent]:
    """Both kinds of keys on both sides, as the person and as the house, and one in clear."""
    pairs = [
        (JEANNE, AMELIE),  # RSA to RSA
        (JEANNE, BASTIEN),  # RSA to EC
        (HUGO, AMELIE),  # EC to RSA
        (REGISTRY, AMELIE),  # sealed by the house
        (JEANNE, NOBODY),  # signed only
    ]
    mails = [(mail(TEXT, sender=sender, to=to), sender, to) for sender, to in pairs]
    ids = [ministry.accepted(content, to, sender=sender) for content, sender, to in mails]
    found = []
    for archive_id, (content, sender, to) in zip(ids, mails, strict=True):
        ((_, file),) = ministry.wait_arrived(archive_id)
        found.append(Sent(content, file, sender, None if to == NOBODY else to))
    return found


def test_openssl(ministry: Scene, sent: list[Sent]) -> None:
    for one in sent:
        opened = ministry.opened(one.file, one.reader)
        if one.reader is not None:
            assert opened.entity == expected_entity(one.original)


def test_nss_and_gpgsm(ministry: Scene, sent: list[Sent], tmp_path: Path) -> None:
    """Decrypt where each can (gpgsm of Debian 12 and cmsutil: RSA only), then verify."""
    nss, gnupg = _nss(ministry, tmp_path), _gpgsm(ministry, tmp_path)
    try:
        for n, one in enumerate(sent):
            inner = one.file.read_bytes()
            if one.reader == BASTIEN:
                continue
            if one.reader is not None:
                enveloped = tmp_path / f"{n}.p7m"
                enveloped.write_bytes(_decoded(inner))
                inner = _run("cmsutil", "-D", "-d", nss, "-i", enveloped)
                assert _run(*gnupg, "--decrypt", enveloped, stdin=PASSWORD.encode()) == inner
            entity, signature = tmp_path / f"{n}.entity", tmp_path / f"{n}.p7s"
            signed = signed_part(inner)
            assert signed is not None
            entity.write_bytes(signed)
            signature.write_bytes(_decoded(inner.rpartition(b"smime.p7s")[2]))
            _run("cmsutil", "-D", "-d", nss, "-c", entity, "-i", signature)
            said = _run(
                *gnupg, "--disable-crl-checks", "--status-fd", "1", "--verify", signature, entity
            )
            assert b"GOODSIG" in said, said
    finally:
        subprocess.run(["gpgconf", "--homedir", tmp_path / "gnupg", "--kill", "all"], check=False)


def test_thunderbird(ministry: Scene, sent: list[Sent], tmp_path: Path) -> None:
    """Signature good, encryption good, right text: for mail signed by the person.

    The house's seal is honest between gateways; to a person's client it is a signature of
    another address than From, and it must say so.
    """
    keys = [_p12(ministry.credential(owner), tmp_path / owner) for owner in (AMELIE, BASTIEN)]
    root = tmp_path / "root.der"
    root.write_bytes(ministry.stage.world.interieur.root.credential.der)

    verdicts = ask([one.file for one in sent], ca=root, p12=keys, password=PASSWORD)

    for one, verdict in zip(sent, verdicts, strict=True):
        assert verdict.get("error") is None, verdict
        assert verdict["signed"], verdict
        assert (verdict["signedStatus"] == 0) is (one.sender != REGISTRY), (one, verdict)
        assert verdict["encryptionStatus"] == (None if one.reader is None else 0), (one, verdict)
        assert TEXT in verdict["text"]


@pytest.fixture(scope="module", autouse=True)
def _quiet(ministry: Scene) -> Iterator[None]:
    yield
    assert ministry.faults() == []


def _decoded(entity: bytes) -> bytes:
    """The octets of a base64 body (the last part of a multipart ends at its boundary)."""
    body = entity.partition(b"\r\n\r\n")[2].partition(b"\r\n--")[0]
    return base64.b64decode(body)


def _run(*arguments: object, stdin: bytes = b"") -> bytes:
    done = subprocess.run(list(map(str, arguments)), capture_output=True, input=stdin, check=False)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout


def _p12(credential: Credential, path: Path, *others: x509.Certificate) -> Path:
    """PKCS#12 in the old encryption, which NSS and gpgsm of every age read."""
    old = (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(2048)
        .key_cert_algorithm(serialization.pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())
        .build(PASSWORD.encode())
    )
    path.write_bytes(
        serialization.pkcs12.serialize_key_and_certificates(
            b"reader", credential.key, credential.certificate, others, old
        )
    )
    return path


def _nss(scene: Scene, folder: Path) -> str:
    """A key store with Amélie's key that trusts the sender's root, and nothing else."""
    (folder / "nss").mkdir()
    name = f"sql:{folder / 'nss'}"
    _run("certutil", "-N", "-d", name, "--empty-password")
    p12 = _p12(scene.credential(AMELIE), folder / "amelie.p12")
    _run("pk12util", "-i", p12, "-d", name, "-K", "", "-W", PASSWORD)
    root = scene.stage.world.interieur.root.credential.certificate_file
    _run("certutil", "-A", "-a", "-d", name, "-n", "root", "-t", "CT,CT,CT", "-i", root)
    return name


def _gpgsm(scene: Scene, folder: Path) -> tuple[object, ...]:
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    root = scene.stage.world.interieur.root.credential
    fingerprint = root.certificate.fingerprint(hashes.SHA1()).hex().upper()
    (home / "trustlist.txt").write_text(f"{fingerprint} S relax\n")
    (home / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
    _run("gpgsm", "--homedir", home, "--batch", "--import", root.certificate_file)
    command = ("gpgsm", "--homedir", home, "--batch", "--pinentry-mode", "loopback",
               "--passphrase-fd", "0")  # fmt: skip
    import_p12(
        command,
        lambda: _p12(scene.credential(AMELIE), folder / "amelie-gpg.p12"),
        PASSWORD.encode(),
    )
    return command
