"""Foreign structures are bounded before a parser sees them, and described, not believed."""

from __future__ import annotations

import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.entity import content_entity, split
from gateway.mime.transfer import decode_base64
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.cms import read
from gateway.smime.encrypt import encrypt
from gateway.smime.inspect import inspect
from gateway.smime.sign import sign, sign_opaque
from pki.der_writing import element, integer, octets, oid, sequence
from pki.errors import StructureRefused, problem
from tests.corpora import corpus
from tests.pace import at_most, within
from tests.unit.cms_forger import alice, clear_signed, judged, mail, signer_info
from tests.unit.smime_world import MAIL, world

_SIGNED = b"Content-Type: multipart/signed; boundary=b; protocol=application/pkcs7-signature\r\n"
ENTITY = content_entity(split(MAIL))


def _code(data: bytes) -> str:
    with pytest.raises(StructureRefused) as refusal:
        read(data)
    return refusal.value.problem.code


def _nested(depth: int, tag: int = 0x30) -> bytes:
    data = b""
    for _ in range(depth):
        data = element(tag, data)
    return data


def test_der_and_ber_of_allowed_size_pass() -> None:
    read(sequence(integer(0), integer(2**64), oid("1.2.840.113549.1.7.2"), octets(b"x" * 300)))
    read(b"\x30\x80\x24\x80\x04\x01a\x04\x01b\x00\x00\x00\x00")
    read(_nested(32))
    read(octets(b"\xff" * 100_000))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "structure.truncated"),
        (b"\x30", "structure.truncated"),
        (b"\x30\x05\x02\x01\x00", "structure.truncated"),
        (b"\x30\x03\x02\x02\x00", "structure.truncated"),
        (b"\x30\x84\xff\xff\xff\xff", "structure.truncated"),
        (b"\x30\xff" + b"\xff" * 127, "structure.length"),
        (b"\x04\x80\x00\x00", "structure.length"),
        (b"\x30\x80\x02\x01\x00", "structure.truncated"),
        (b"\x02\x01\x00\x00", "structure.trailing"),
        (b"\x30\x00\x30\x00", "structure.trailing"),
        (b"\x3f\x80\x80\x80\x80\x80\x01\x00", "structure.tag"),
        (_nested(33), "limits.depth"),
        (_nested(1000), "limits.depth"),
        (b"\x30\x80" * 5000, "limits.depth"),
        (element(6, b"\x81" * 65), "limits.oid"),
        (element(0x30, element(6, b"\x81" * 200_000)), "limits.oid"),
        (element(0x30, b"\x05\x00" * 200_001), "limits.elements"),
    ],
)
def test_everything_else_is_refused_with_a_code(data: bytes, code: str) -> None:
    assert _code(data) == code


def test_bombs_cost_nothing() -> None:
    bombs = (
        sequence(element(6, b"\x81" * 200_000)),
        _nested(1000),
        b"\x30\x80" * 500_000,
        element(0x31, b"\x05\x00" * 500_000),
    )
    with at_most(1):
        for data in bombs:
            assert inspect(data).problems


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    inspect(data)
    inspect(b"\x30" + data)
    inspect(b"Content-Type: application/pkcs7-mime\r\n\r\n\x30" + data)


def test_a_clear_signed_mail() -> None:
    found = inspect(b"From: a@x\r\n" + sign(ENTITY, world().alice.signer).entity)

    (layer,) = found.layers
    assert (layer.kind, found.inner, found.problems) == ("signed", "text/plain", ())
    assert layer.facts["micalg"] == "sha-256"
    assert layer.facts["detached"] is True
    (signer,) = layer.facts["signers"]
    assert signer["serial"] == f"{world().alice.certificate.serial_number:x}"
    assert (signer["digest"], signer["signature"]) == ("sha256", "rsa-pkcs1")
    assert "signingCertificateV2" in signer["signed_attributes"]
    assert signer["signing_time"] is None
    subjects = {one["subject"] for one in layer.facts["certificates"]}
    assert any("alice@example.org" in subject for subject in subjects)
    assert found.as_dict()["verified"] is False


def test_layers_are_listed_from_the_outside_in() -> None:
    inner = sign(ENTITY, world().erin.signer).entity
    mail = sign_opaque(inner, world().alice.signer).entity

    found = inspect(mail)

    assert [layer.kind for layer in found.layers] == ["signed", "signed"]
    assert [layer.facts["detached"] for layer in found.layers] == [False, True]
    assert found.inner == "text/plain"


@pytest.mark.parametrize(
    ("cipher", "kind"), [(Cipher.AES_128_CBC, "encrypted"), (Cipher.AES_256_GCM, "auth-encrypted")]
)
def test_an_encrypted_mail_names_its_recipients(cipher: Cipher, kind: str) -> None:
    sealed = encrypt(
        ENTITY,
        [
            world().bob.recipient(KeyManagement.RSA_OAEP),
            world().curves["secp384r1"].recipient(KeyManagement.ECDH),
        ],
        cipher,
    )

    (layer,) = inspect(sealed).layers

    assert (layer.kind, layer.facts["cipher"]) == (kind, cipher.value)
    assert [(one["kind"], one["algorithm"]) for one in layer.facts["recipients"]] == [
        ("key-transport", "rsa-oaep"),
        ("key-agreement", "ecdh-sha256kdf"),
    ]
    assert layer.facts.get("tag_size") == (16 if cipher.authenticated else None)


def test_bare_der_pem_and_ber_are_read(tmp_path: Path) -> None:
    der = decode_base64(bytes(split(sign_opaque(ENTITY, world().alice.signer).entity).body))
    source, pem = tmp_path / "a.der", tmp_path / "a.pem"
    source.write_bytes(der)
    subprocess.run(
        ["openssl", "cms", "-cmsout", "-inform", "DER", "-in", source, "-outform", "PEM",
         "-out", pem],
        check=True,
    )  # fmt: skip
    content, cert = tmp_path / "content", world().alice.write(tmp_path, "alice")[0]
    content.write_bytes(ENTITY)
    streamed = subprocess.run(
        ["openssl", "cms", "-sign", "-nodetach", "-stream", "-binary", "-in", content,
         "-signer", cert, "-inkey", tmp_path / "alice.key", "-outform", "DER"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip

    for data in (der, pem.read_bytes(), streamed):
        assert [layer.kind for layer in inspect(data).layers] == ["signed"]
        assert inspect(data).inner == "text/plain"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "structure.header"),
        (b"just some text\r\n", "structure.header"),
        (b"Content-Type: application/pkcs7-mime\r\n\r\n", "structure.truncated"),
        (b"Content-Type: application/pkcs7-mime\r\n\r\n\x30\x03\x02\x01\x00", "structure.asn1"),
        (
            _SIGNED + b"\r\n--b\r\n\r\nx\r\n--b--\r\n",
            "coverage.parts",
        ),
    ],
)
def test_what_cannot_be_read_is_said(data: bytes, code: str) -> None:
    (problem,) = inspect(data).problems

    assert problem.code == code
    assert "{" not in problem.text


def test_it_sees_the_layers_that_verification_sees() -> None:
    """One command called these mails unsigned or unreadable, and the other one judged them."""
    bare = clear_signed().replace(b'protocol="application/pkcs7-signature";', b"x=y;")
    serial = sequence(world().alice.certificate.issuer.public_bytes(), integer(1 << 500_000))
    long = clear_signed(infos=[signer_info(alice(), identifier=serial)])
    for entity, status in ((bare, "valid"), (long, "indeterminate")):
        found, verified = inspect(mail(entity)), judged(mail(entity))

        assert (verified.status.value, found.problems, found.inner) == (status, (), "text/plain")
        assert [one.kind for one in found.layers] == [one.kind for one in verified.layers]
        assert max(len(one.text) for one in (*verified.problems, problem("x", "x"))) < 500


def test_a_mail_without_smime_has_no_layers() -> None:
    found = inspect(MAIL)

    assert (found.layers, found.inner, found.problems) == ((), "text/plain", ())


def test_smime_inside_other_parts_is_not_followed() -> None:
    sealed = sign_opaque(ENTITY, world().alice.signer).entity
    mail = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + sealed + b"--b--\r\n"

    found = inspect(mail)

    assert (found.layers, found.inner) == ((), "multipart/mixed")


def test_openssl_fuzz_inputs_neither_crash_nor_hang() -> None:
    count = 0
    slowest = 0.0
    with tarfile.open(corpus("openssl-fuzz-cms") / "cms.tar.xz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                data = file.read()
                started = time.process_time()
                inspect(data)
                slowest = max(slowest, time.process_time() - started)
                count += 1
    assert count > 1000
    assert within(slowest, 1)


@pytest.mark.parametrize(
    ("folder", "suffixes"),
    [
        ("rfc4134", {".bin", ".eml", ".der"}),
        ("nss-smime", {".env", ".der", ".p7m", ".eml"}),
        ("header-protection", {".eml"}),
        ("rustcrypto-cms", {".der", ".bin"}),
        ("horde-smime", None),
        ("pkijs", None),
    ],
)
def test_messages_of_others_do_not_make_it_fail(folder: str, suffixes: set[str] | None) -> None:
    seen = 0
    for path in sorted(corpus(folder).rglob("*")):
        if path.is_file() and (suffixes is None or path.suffix in suffixes):
            seen += bool(inspect(path.read_bytes()).layers)
    assert seen
