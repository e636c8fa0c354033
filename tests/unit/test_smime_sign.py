"""What we sign, OpenSSL vouches for, and gives back octet for octet."""

from __future__ import annotations

import hashlib
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.mime.canonical import to_7bit
from gateway.mime.entity import content_entity, split
from gateway.mime.parameters import content_type
from gateway.mime.parts import find_parts
from gateway.mime.transfer import decode_base64
from gateway.smime.algorithms import MICALG, Cipher
from gateway.smime.sign import Signed, sign, sign_opaque
from pki.models import SignatureScheme
from tests.unit.smime_world import MAIL, Identity, openssl_verify, world

ENTITY = content_entity(split(MAIL))


def _mail(entity: bytes) -> bytes:
    return b"From: a@example.org\r\nMIME-Version: 1.0\r\n" + entity


def _signature(entity: bytes) -> bytes:
    message = split(entity)
    body = bytes(message.body)
    boundary = content_type(message.fields).parameters["boundary"]
    start, end = find_parts(body, 0, len(body), boundary).spans[1]
    return decode_base64(bytes(split(body[start:end]).body))


def _signer_info(signed: Signed) -> cms.SignerInfo:
    info = cms.ContentInfo.load(_signature(signed.entity), strict=True)
    return info["content"]["signer_infos"][0]


def _attribute(info: cms.SignerInfo, name: str) -> Any:
    (found,) = (one for one in info["signed_attrs"] if one["type"].native == name)
    (value,) = found["values"]
    return value


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize(
    ("who", "scheme"),
    [
        ("alice", SignatureScheme.RSA_PKCS1),
        ("alice", SignatureScheme.RSA_PSS),
        ("erin", SignatureScheme.ECDSA),
    ],
)
@pytest.mark.parametrize("opaque", [False, True])
def test_openssl_verifies_every_combination(
    tmp_path: Path, who: str, scheme: SignatureScheme, digest: str, opaque: bool
) -> None:
    signer: Identity = getattr(world(), who)
    make = sign_opaque if opaque else sign

    signed = make(ENTITY, signer.signer, digest=digest, scheme=scheme)

    assert openssl_verify(tmp_path, _mail(signed.entity)) == ENTITY
    assert (signed.digest, signed.scheme) == (digest, scheme)


@pytest.mark.parametrize(
    ("curve", "digest"),
    [
        ("secp256r1", "sha256"),
        ("secp384r1", "sha384"),
        ("secp521r1", "sha512"),
        ("brainpoolP256r1", "sha256"),
        ("brainpoolP384r1", "sha384"),
        ("brainpoolP512r1", "sha512"),
    ],
)
def test_the_digest_is_as_strong_as_the_curve(tmp_path: Path, curve: str, digest: str) -> None:
    """gpgsm refuses shorter ones; who asks for one gets it all the same."""
    signer = world().curves[curve].signer

    signed = sign(ENTITY, signer)
    assert signed.digest == digest
    assert openssl_verify(tmp_path, _mail(signed.entity)) == ENTITY
    assert sign_opaque(ENTITY, signer).digest == digest
    assert sign(ENTITY, signer, digest="sha256").digest == "sha256"


def test_ed25519_signs_with_sha512_and_nothing_else() -> None:
    """RFC 8419 §3.1. OpenSSL before 3.2 does not verify this: worked out from the standard."""
    with pytest.raises(ValueError, match="sha256"):
        sign(ENTITY, world().yves.signer, digest="sha256")
    signed = sign(ENTITY, world().yves.signer)
    info = _signer_info(signed)
    public = world().yves.certificate.public_key()
    assert isinstance(public, ed25519.Ed25519PublicKey)

    assert (signed.digest, signed.scheme) == ("sha512", SignatureScheme.ED25519)
    assert info["digest_algorithm"]["algorithm"].native == "sha512"
    assert info["signature_algorithm"].dump() == bytes.fromhex("300506032b6570")
    assert _attribute(info, "message_digest").native == hashlib.sha512(ENTITY).digest()
    public.verify(info["signature"].native, b"\x31" + info["signed_attrs"].dump()[1:])
    assert content_type(split(signed.entity).fields).parameters["micalg"] == b"sha-512"


@pytest.mark.parametrize(
    "entity",
    [
        b"\r\n",
        b"\r\nno final line end",
        b"\r\nlast line\r\n",
        b"Content-Type: text/plain\r\n\r\n\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x--\r\n",
        b"Content-Type: application/octet-stream\r\n\r\n" + bytes(range(14, 256)) * 40,
    ],
)
def test_the_signed_content_is_the_entity_octet_for_octet(tmp_path: Path, entity: bytes) -> None:
    signed = sign(entity, world().alice.signer)

    assert openssl_verify(tmp_path, _mail(signed.entity)) == entity


def test_changed_content_is_not_vouched_for(tmp_path: Path) -> None:
    signed = sign(ENTITY, world().alice.signer)

    with pytest.raises(AssertionError, match="verification failure"):
        openssl_verify(tmp_path, _mail(signed.entity).replace(b"Bonjour", b"Bonsoir"))


def test_the_default_follows_the_key() -> None:
    assert sign(ENTITY, world().alice.signer).scheme is SignatureScheme.RSA_PKCS1
    assert sign(ENTITY, world().erin.signer).scheme is SignatureScheme.ECDSA


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_micalg_names_the_digest(digest: str) -> None:
    """Thunderbird gives no verdict at all where it is missing or unknown."""
    parameters = content_type(
        split(sign(ENTITY, world().alice.signer, digest=digest).entity).fields
    ).parameters

    assert parameters["micalg"].decode() == MICALG[digest]
    assert parameters["protocol"] == b"application/pkcs7-signature"


def test_signed_attributes_are_those_promised_once_each_in_der_order() -> None:
    info = _signer_info(sign(ENTITY, world().alice.signer))
    attributes = info["signed_attrs"]
    encodings = [attribute.dump() for attribute in attributes]

    assert sorted(attribute["type"].dotted for attribute in attributes) == [
        "1.2.840.113549.1.9.15",  # SMIMECapabilities
        "1.2.840.113549.1.9.16.2.47",  # signingCertificateV2
        "1.2.840.113549.1.9.3",  # contentType
        "1.2.840.113549.1.9.4",  # messageDigest
        "1.2.840.113549.1.9.52",  # CMSAlgorithmProtection
    ]
    assert encodings == sorted(encodings)


def test_algorithm_protection_repeats_the_algorithms_of_the_signer_info() -> None:
    for scheme in (SignatureScheme.RSA_PKCS1, SignatureScheme.RSA_PSS):
        info = _signer_info(sign(ENTITY, world().alice.signer, scheme=scheme))
        protection = _attribute(info, "cms_algorithm_protection")

        assert protection["digest_algorithm"].dump() == info["digest_algorithm"].dump()
        assert (
            protection["signature_algorithm"].untag().dump() == info["signature_algorithm"].dump()
        )


def test_the_certificate_is_bound_and_sent_with_its_issuer(tmp_path: Path) -> None:
    """Independent: OpenSSL checks signingCertificateV2 under -cades."""
    signed = sign(ENTITY, world().alice.signer)

    assert openssl_verify(tmp_path, _mail(signed.entity), "-cades") == ENTITY
    info = cms.ContentInfo.load(_signature(signed.entity))
    sent = {choice.chosen.dump() for choice in info["content"]["certificates"]}
    assert sent == {world().alice.der, world().alice.signer.chain[0]}


def test_signing_time_stands_there_only_when_asked_for() -> None:
    moment = datetime(2026, 11, 21, 14, 0, 5, tzinfo=UTC)
    late = datetime(2051, 1, 2, 3, 4, 5, tzinfo=UTC)
    signer = world().alice.signer

    def times(signed: Signed) -> list[datetime]:
        return [
            attribute["values"][0].native
            for attribute in _signer_info(signed)["signed_attrs"]
            if attribute["type"].native == "signing_time"
        ]

    assert times(sign(ENTITY, signer)) == []
    assert times(sign(ENTITY, signer, signing_time=moment)) == [moment]
    assert times(sign(ENTITY, signer, signing_time=late)) == [late]
    with pytest.raises(ValueError, match="time zone"):
        sign(ENTITY, signer, signing_time=datetime(2026, 11, 21))  # noqa: DTZ001


def test_capabilities_are_what_is_asked_for() -> None:
    info = _signer_info(
        sign(ENTITY, world().alice.signer, capabilities=(Cipher.AES_256_GCM, Cipher.AES_256_CBC))
    )

    assert [one["capability_id"].dotted for one in _attribute(info, "smime_capabilities")] == [
        Cipher.AES_256_GCM.oid,
        Cipher.AES_256_CBC.oid,
    ]


@pytest.mark.parametrize("entity", [b"\r\na\nb\r\n", b"\r\na\rb\r\n", b"\n", b"\r\n\r", b"\r\r\n"])
@pytest.mark.parametrize("make", [sign, sign_opaque])
def test_bare_cr_and_lf_are_refused(entity: bytes, make: object) -> None:
    with pytest.raises(ValueError, match="CR or LF"):
        make(entity, world().alice.signer)  # type: ignore[operator]


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(ValueError):
        sign(ENTITY, world().alice.signer, digest="sha1")
    with pytest.raises(ValueError):
        sign(ENTITY, world().alice.signer, scheme=SignatureScheme.ECDSA)


def test_the_boundary_is_new_each_time_and_not_in_the_content(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marks = iter(["deadbeef", "deadbeef", "cafe"])
    monkeypatch.setattr("gateway.smime.sign.secrets.token_hex", lambda _: next(marks))

    signed = sign(b"\r\n--deadbeef--\r\n", world().alice.signer)

    assert content_type(split(signed.entity).fields).parameters["boundary"] == b"cafe"


def test_a_signed_mail_is_signed_again_around(tmp_path: Path) -> None:
    inner = sign(to_7bit(ENTITY)[0], world().erin.signer).entity
    outer = sign(inner, world().alice.signer).entity

    assert openssl_verify(tmp_path, _mail(outer)) == inner
    assert openssl_verify(tmp_path, _mail(inner)) == to_7bit(ENTITY)[0]


def test_gpgsm_and_nss_agree(tmp_path: Path) -> None:
    """Two more implementations for the readable default; gpgsm without its revocation checks."""
    signed = sign(ENTITY, world().alice.signer)
    signature = tmp_path / "signature.p7s"
    content = tmp_path / "content"
    signature.write_bytes(_signature(signed.entity))
    content.write_bytes(ENTITY)
    database = _nss_database(tmp_path)
    subprocess.run(
        ["cmsutil", "-D", "-d", database, "-c", content, "-i", signature],
        check=True,
        capture_output=True,
    )
    home = _gpgsm_home(tmp_path)
    done = subprocess.run(
        ["gpgsm", "--homedir", home, "--disable-crl-checks", "--status-fd", "1", "--verify",
         signature, content],
        capture_output=True,
    )  # fmt: skip

    assert b"GOODSIG" in done.stdout, done.stderr


def _nss_database(folder: Path) -> str:
    database = folder / "nss"
    database.mkdir()
    name = f"sql:{database}"
    subprocess.run(["certutil", "-N", "-d", name, "--empty-password"], check=True)
    for nickname, certificate, trust in (
        ("root", world().root, "CT,CT,CT"),
        ("middle", world().middle, ",,"),
    ):
        path = folder / f"{nickname}.der"
        path.write_bytes(certificate.public_bytes(Encoding.DER))
        subprocess.run(
            ["certutil", "-A", "-d", name, "-n", nickname, "-t", trust, "-i", path], check=True
        )
    return name


def _gpgsm_home(folder: Path) -> Path:
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    fingerprint = world().root.fingerprint(hashes.SHA1()).hex().upper()
    (home / "trustlist.txt").write_text(f"{fingerprint} S relax\n")
    ca = world().write_cas(folder)
    subprocess.run(["gpgsm", "--homedir", home, "--import", ca], check=True, capture_output=True)
    return home
