"""The real Thunderbird reads what we send by default: good signature, opened, right text."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.mime.canonical import to_7bit
from gateway.mime.entity import content_entity, split
from gateway.mime.outgoing import assemble
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.choose import DomainCrypto, Treatment, choose
from gateway.smime.encrypt import Recipient, encrypt
from gateway.smime.sign import sign, sign_opaque
from tests.judges.thunderbird.judge import ask
from tests.unit.smime_world import MAIL, NOW, Identity, world

pytestmark = pytest.mark.flow
TEXT = "Bonjour, à demain : éèà. From here on."
RECEIVED = b"Received: from a (127.0.0.1) by gw.example.org with ESMTP id 1\r\n"
BARE = (
    b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: bare\r\nDate: %s\r\n\r\n"
    b"No content type at all.\r\n"
) % NOW.strftime("%a, %d %b %Y %H:%M:%S +0000").encode()
ALTERNATIVE = MAIL.replace(
    b"Content-Type: text/plain;\r\n charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n",
    b'Content-Type: multipart/mixed; boundary="b b"\r\n',
).partition(b"\r\n\r\n")[0] + (
    b"\r\n\r\npreamble\r\n--b b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    + "<p>été</p>\r\n--b b\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\n".encode()
    + b"%PDF-1.4 \r\n--b b--\r\n"
)


def _sealed(mail: bytes, signer: Identity, reader: Identity) -> bytes:
    """As the way out does it for a reader of whom nothing is known."""
    message = split(mail)
    chosen = choose(reader.checked(), DomainCrypto.READABLE)
    assert isinstance(chosen, Treatment)
    signed = sign(content_entity(message), signer.signer).entity
    sealed = encrypt(signed, [Recipient(reader.checked(), chosen.transport)], chosen.cipher)
    return assemble(message, sealed, received=RECEIVED)


def _clear(mail: bytes, signer: Identity) -> bytes:
    message = split(mail)
    entity, _ = to_7bit(content_entity(message))
    return assemble(message, sign(entity, signer.signer).entity, received=RECEIVED)


def test_thunderbird_reads_the_readable_default(tmp_path: Path) -> None:
    alice, erin, bob = world().alice, world().erin, world().bob
    curve = world().curves["secp256r1"]
    cases = {
        "rsa": (_sealed(MAIL, alice, bob), True, TEXT),
        "ec-signer": (_sealed(MAIL, erin, bob), True, TEXT),
        "ec-reader": (_sealed(MAIL, alice, curve), True, TEXT),
        "p521-reader": (_sealed(MAIL, erin, world().curves["secp521r1"]), True, TEXT),
        "no-content-type": (_sealed(BARE, alice, bob), True, "No content type at all."),
        "multipart": (_sealed(ALTERNATIVE, alice, bob), True, "été"),
        "clear-signed": (_clear(MAIL, alice), False, TEXT),
        "clear-signed-ec": (_clear(MAIL, erin), False, TEXT),
        "clear-signed-bare": (_clear(BARE, alice), False, "No content type at all."),
        "opaque": (
            assemble(
                split(MAIL),
                sign_opaque(content_entity(split(MAIL)), alice.signer).entity,
                received=RECEIVED,
            ),
            False,
            TEXT,
        ),
    }
    files = []
    for name, (mail, _, _) in cases.items():
        files.append(tmp_path / f"{name}.eml")
        files[-1].write_bytes(mail)
    root = tmp_path / "root.der"
    root.write_bytes(world().root.public_bytes(Encoding.DER))
    keys = [
        owner.write_p12(tmp_path / f"{number}.p12", b"test", world().root)
        for number, owner in enumerate([bob, curve, world().curves["secp521r1"]])
    ]

    verdicts = ask(files, ca=root, p12=keys, password="test")

    for (name, (_, encrypted, text)), verdict in zip(cases.items(), verdicts, strict=True):
        assert verdict.get("error") is None, (name, verdict)
        assert (verdict["signed"], verdict["signedStatus"]) == (True, 0), (name, verdict)
        assert verdict["encrypted"] is encrypted, (name, verdict)
        assert verdict["encryptionStatus"] == (0 if encrypted else None), (name, verdict)
        assert text in verdict["text"], (name, verdict)


def test_thunderbird_notices_a_changed_mail(tmp_path: Path) -> None:
    """Guards the test above: a judge that finds everything good would let it pass."""
    mail = tmp_path / "changed.eml"
    mail.write_bytes(_clear(BARE, world().alice).replace(b"No content", b"Malicious"))
    other = tmp_path / "other.eml"
    sealed = encrypt(
        content_entity(split(MAIL)),
        [world().alice.recipient(KeyManagement.RSA_PKCS1)],
        Cipher.AES_256_CBC,
    )
    other.write_bytes(assemble(split(MAIL), sealed, received=RECEIVED))
    root = tmp_path / "root.der"
    root.write_bytes(world().root.public_bytes(Encoding.DER))
    key = world().bob.write_p12(tmp_path / "bob.p12", b"test", world().root)

    changed, unreadable = ask([mail, other], ca=root, p12=[key], password="test")

    assert changed["signed"]
    assert changed["signedStatus"] != 0
    assert unreadable["encryptionStatus"] != 0
    assert "demain" not in unreadable["text"]
