"""A partner with whom two envelopes are agreed: held until both can be made."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import mlkem
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.demo.pki import Keys
from tests.flows.stages import one_house
from tests.flows.way_out_scene import AMELIE, BASTIEN, JEANNE, Scene, mail
from tests.pki_maker import usage

pytestmark = pytest.mark.flow

AGREED = """
[[policy.partners]]
domains = ["justice.example"]
crypto = "experimental-hybrid"
"""


@pytest.fixture
def scene(tmp_path: Path, keys: Keys) -> Iterator[Scene]:
    with one_house(tmp_path, keys, AGREED) as scene:
        yield scene


def second_certificate(scene: Scene, address: str, folder: Path) -> tuple[Path, Path]:
    """With an ML-KEM key, by the CA of the other one; its key."""
    key = mlkem.MLKEM768PrivateKey.generate()
    issuer = scene.stage.world.justice.issuing.credential
    first = scene.credential(address).certificate
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        issuer.certificate.subject,
        first.subject,
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=1),
        now + timedelta(days=30),
    )
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage("key_encipherment"), True),  # RFC 9935
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),
        (x509.SubjectAlternativeName([x509.RFC822Name(address)]), False),
        (first.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value, False),
        (first.extensions.get_extension_for_class(x509.CRLDistributionPoints).value, False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    made = builder.sign(issuer.key, hashes.SHA256())
    certificate, private = folder / "kem.pem", folder / "kem.key"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, private


def test_nothing_leaves_in_one_envelope_and_both_keys_open_two(
    scene: Scene, tmp_path: Path
) -> None:
    content = mail(to=AMELIE, subject="Fusion")
    archive_id = scene.accepted(content, AMELIE, BASTIEN)
    for recipient in (AMELIE, BASTIEN):
        line = scene.wait_state(archive_id, recipient, "held")
        assert line["reason"]["code"] == "crypto.no-post-quantum"
    assert scene.arrived(archive_id) == []

    (told,) = scene.json("pki", "cert", "find", AMELIE)
    assert (told["status"], told["post_quantum"]) == ("found", None)
    assert (told["encryption"]["hold"], told["encryption"]["reason"]["code"]) == (
        True,
        "crypto.no-post-quantum",
    )

    certificate, key = second_certificate(scene, AMELIE, tmp_path)
    scene.house.run("pki", "cert", "import", str(certificate))
    (told,) = scene.json("pki", "cert", "find", AMELIE)
    assert told["post_quantum"]["key"] == "ml-kem-768"
    assert told["encryption"]["reason"]["code"] == "crypto.domain-hybrid"
    explained = scene.sceau(
        "policy", "explain", "--find", "--from", JEANNE, "--to", AMELIE
    ).stdout.decode()
    assert "a second envelope: aes-256-gcm, ml-kem" in explained
    scene.sceau("queue", "release", archive_id)
    ((delivery, file),) = scene.wait_arrived(archive_id)
    assert delivery.rcpt_to == (AMELIE,)
    scene.wait_state(archive_id, BASTIEN, "held")

    # openssl knows neither ML-KEM nor, with the key of the inner envelope, how to open the outer.
    first = scene.credential(AMELIE)
    outer_alone = subprocess.run(
        ["openssl", "cms", "-decrypt", "-in", file, "-recip", first.certificate_file,
         "-inkey", first.key_file],
        capture_output=True,
        check=False,
    )  # fmt: skip
    assert outer_alone.returncode != 0
    scene.house.run(
        "smime",
        "decrypt",
        "--key",
        str(key),
        "--out",
        str(tmp_path / "inner"),
        str(file),
        config=False,
    )
    assert b"Bonjour" not in (tmp_path / "inner").read_bytes()
    inner = scene.opened(tmp_path / "inner", AMELIE)
    assert b"Bonjour" in inner.entity

    (sealed,) = (e for e in scene.history(archive_id) if e["kind"] == "sealed")
    decision = json.loads(sealed["fields"]["decision.000000"])
    outer = decision["outer-envelope"]
    assert (decision["key-management"], outer["key-management"]) == ("rsa-oaep", "ml-kem")
    parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert outer["certificate"]["sha256"] == sha256(parsed)
    inner_path = kept_path(scene, decision["certificate"])
    outer_path = kept_path(scene, outer["certificate"])
    justice = scene.stage.world.justice
    above = [one.credential.certificate for one in (justice.root, justice.issuing)]
    assert inner_path == [*map(sha256, above), sha256(first.certificate)]
    assert outer_path == [*map(sha256, above), sha256(parsed)]


def sha256(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def kept_path(scene: Scene, said: dict[str, Any]) -> list[str]:
    """Fingerprints of the path that a decision names, anchor first: each certificate is kept as one
    that a decision rested on, whatever becomes of store and configuration, and each CRL is kept.
    """
    for one in said["path-sha256"]:
        (shown,) = scene.json("pki", "cert", "show", one)
        (certificate,) = shown["certificates"]
        assert certificate["sha256"] == one
        assert {"place": "decision"} in certificate["kept"]
    lists = [one["sha256"] for one in said["revocation"]]
    # Of the anchor nobody asks; of all below it a CRL spoke.
    assert len(lists) == len(said["path-sha256"]) - 1
    for one in lists:
        (shown,) = scene.json("pki", "crl", "show", one)
        assert [crl["sha256"] for crl in shown["crls"]] == [one]
    path: list[str] = said["path-sha256"]
    return path
