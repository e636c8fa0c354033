"""Protected header fields, octet for octet; Python's parser and OpenSSL as the judges."""

from __future__ import annotations

import email.policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.mime.canonical import to_7bit
from gateway.mime.entity import content_entity, split
from gateway.mime.outgoing import assemble
from gateway.mime.parameters import content_type
from gateway.mime.protect import CannotProtect, Protected, protect
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.encrypt import encrypt
from gateway.smime.sign import sign
from tests.unit.smime_world import openssl_decrypt, openssl_verify, world

RECEIVED = b"Received: by sceau.example.org; Sun, 22 Nov 2026 10:00:00 +0000\r\n"
BODY = b"\r\nthe body\r\n"
MAIL = (
    b"Received: from client.example.org\r\n"
    b"From: Alice <alice@example.org>\r\n"
    b"To: bob@example.net,\r\n\tcarol@example.net\r\n"
    b"Bcc: mole@example.net\r\n"
    b"SUBJECT: the  merger \r\n of two\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Keywords: merger\r\n"
    b"Thread-Topic: the merger of two\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Message-ID: <1@example.org>\r\n" + BODY
)


def outer(done: Protected) -> bytes:
    """The header of the mail that leaves."""
    return assemble(done.outer, b"", received=RECEIVED)


def python(data: bytes) -> EmailMessage:
    return BytesParser(policy=email.policy.SMTP).parsebytes(data)


def test_signed_mail_repeats_its_header_inside() -> None:
    done = protect(split(MAIL), encrypted=False)

    assert done.entity == (
        b"From: Alice <alice@example.org>\r\n"
        b"To: bob@example.net,\r\n\tcarol@example.net\r\n"
        b"SUBJECT: the  merger \r\n of two\r\n"
        b'Content-Type: text/plain;\r\n hp="clear"; charset=utf-8\r\n'
        b"Keywords: merger\r\n"
        b"Thread-Topic: the merger of two\r\n"
        b"Message-ID: <1@example.org>\r\n" + BODY
    )
    assert outer(done) == assemble(split(MAIL), b"", received=RECEIVED)
    assert (done.intent, done.hidden) == ("clear", ())


def test_of_confidential_mail_the_subject_stands_inside_only() -> None:
    done = protect(split(MAIL), encrypted=True, confidential=True)

    assert done.entity == (
        b"From: Alice <alice@example.org>\r\n"
        b"To: bob@example.net,\r\n\tcarol@example.net\r\n"
        b"SUBJECT: the  merger \r\n of two\r\n"
        b'Content-Type: text/plain;\r\n hp="cipher"; charset=utf-8\r\n'
        b"Keywords: merger\r\n"
        b"Thread-Topic: the merger of two\r\n"
        b"Message-ID: <1@example.org>\r\n"
        b"HP-Outer: From: Alice <alice@example.org>\r\n"
        b"HP-Outer: To: bob@example.net,\r\n\tcarol@example.net\r\n"
        b"HP-Outer: Subject: [...]\r\n"
        b"HP-Outer: Message-ID: <1@example.org>\r\n" + BODY
    )
    assert outer(done) == RECEIVED + (
        b"Received: from client.example.org\r\n"
        b"From: Alice <alice@example.org>\r\n"
        b"To: bob@example.net,\r\n\tcarol@example.net\r\n"
        b"Subject: [...]\r\n"
        b"Message-ID: <1@example.org>\r\n"
        b"MIME-Version: 1.0\r\n"
    )
    assert done.hidden == ("subject", "keywords", "thread-topic")


def test_encrypted_mail_without_secrets_outside_says_what_stands_there() -> None:
    done = protect(split(MAIL), encrypted=True)

    assert outer(done) == assemble(split(MAIL), b"", received=RECEIVED)
    assert b"HP-Outer: SUBJECT: the  merger \r\n of two\r\n" in done.entity
    assert done.hidden == ()


def test_signed_mail_hides_nothing_whatever_was_agreed() -> None:
    """Who can read the body may read the subject; and HP-Outer would mean nothing there."""
    assert protect(split(MAIL), encrypted=False, confidential=True) == protect(
        split(MAIL), encrypted=False
    )


@pytest.mark.parametrize(
    "field",
    [
        b"Bcc: mole@example.net",
        b"Resent-Bcc: mole@example.net",
        b"Return-Path: <mole@example.net>",
        b"Received: from mole",
        b"Delivered-To: mole@example.net",
        b"Sceau-Status: mole",
        b"DKIM-Signature: v=1; d=mole",
        b"ARC-Seal: i=1; d=mole",
        b"Authentication-Results: mole",
        b"HP-Outer: Subject: mole",
        b"MIME-Version: 1.0 (mole)",
        b"this is no field of mole",
    ],
)
@pytest.mark.parametrize("encrypted", [True, False])
def test_what_the_composer_did_not_write_stays_outside(field: bytes, encrypted: bool) -> None:
    done = protect(split(field + b"\r\n" + MAIL), encrypted=encrypted, confidential=True)

    assert b"mole" not in done.entity
    assert done.outer.fields[0].raw == field + b"\r\n"


TYPES = [
    b"text/plain",
    b"text/plain ; charset=utf-8",
    b'TEXT/HTML; charset="us-ascii"',
    b'\r\n multipart/mixed;\r\n\tboundary="a; b=c"',
    b"multipart/alternative; boundary=x; ",
    b"text/plain (a comment; of=it); charset=utf-8",
    b"text/plain; charset=utf-8; name*0*=utf-8''a%20; name*1=b",
    b"text/plain charset=utf-8",
    b'text/plain; name="never closed',
    b"text/plain; charset=utf-8 (never closed",
    b"application/x-very+odd.type",
    b"message/rfc822",
]


@pytest.mark.parametrize("value", TYPES)
def test_hp_is_found_whatever_follows_the_type(value: bytes) -> None:
    """By our reader and by Python's; a parameter at the end could be swallowed by a quote."""
    head = b"Subject: s\r\nContent-Type: " + value + b"\r\n"
    entity = protect(split(head + BODY), encrypted=True).entity

    before, after = content_type(split(head + BODY).fields), content_type(split(entity).fields)
    assert after.parameters.pop("hp") == b"cipher"
    assert after == before
    theirs = python(entity)
    assert theirs.get_content_type() == f"{before.main}/{before.sub}"
    assert theirs["content-type"].params["hp"] == "cipher"
    # Not an octet of it is gone.
    assert b"Content-Type: " + value in entity.replace(b';\r\n hp="cipher"', b"")


def test_a_mail_without_content_type_gets_the_one_it_has() -> None:
    done = protect(split(b"Subject: s\r\n" + BODY), encrypted=False)

    assert done.entity == b'Content-Type: text/plain; hp="clear"\r\nSubject: s\r\n' + BODY


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"Content-Type: multipart/signed; boundary=x", "signed or encrypted already"),
        (b"Content-Type: application/PKCS7-mime", "signed or encrypted already"),
        (b"Content-Type: multipart/encrypted; boundary=x", "signed or encrypted already"),
        (b"Content-Type: text/plain\r\nContent-type: text/html", "more than one Content-Type"),
        (b'Content-Type: text/plain; hp="clear"', "claims protected header fields already"),
        (b"Content-Type: text/plain; HP*=utf-8''cipher", "claims protected header fields already"),
        (b"Content-Type: text/plain (x; hp=y)", "claims protected header fields already"),
        (b"Content-Type: text", "Content-Type cannot be read"),
        (b"Content-Type: (comment) text/plain", "Content-Type cannot be read"),
        (b"Content-Type:", "Content-Type cannot be read"),
    ],
)
def test_what_readers_could_take_in_two_ways_is_not_marked(header: bytes, why: str) -> None:
    with pytest.raises(CannotProtect, match=why):
        protect(split(b"Subject: s\r\n" + header + b"\r\n" + BODY), encrypted=True)


@pytest.mark.parametrize("value", ["é".encode(), b"a" * 1000, b"a\0b"])
def test_fields_that_a_relay_would_change_are_not_signed_in_clear(value: bytes) -> None:
    mail = split(b"X-Note: " + value + b"\r\n" + BODY)

    with pytest.raises(CannotProtect, match="field x-note has 8-bit octets or long lines"):
        protect(mail, encrypted=False)
    assert value in protect(mail, encrypted=True).entity


NAMES = st.sampled_from(
    ["From", "To", "Subject", "subject", "Comments", "X-A", "Received", "Bcc", "Content-ID",
     "Content-Type", "Sceau-X", "References"]
)  # fmt: skip
VALUES = st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=30)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), st.binary(max_size=40))
@example([("Content-Type", "text/plain"), ("Subject", "")], b"")
def test_nothing_of_the_mail_is_lost_or_doubled(header: list[tuple[str, str]], body: bytes) -> None:
    raw = "".join(f"{name}: {value}\r\n" for name, value in header).encode() + b"\r\n" + body
    mail = split(raw)
    try:
        done = protect(mail, encrypted=True, confidential=True)
    except CannotProtect:
        return
    inner = split(done.entity)

    assert inner.body == mail.body
    kept = [f for f in inner.fields if f.name != "hp-outer"]
    told = [f.raw.removeprefix(b"HP-Outer: ") for f in inner.fields if f.name == "hp-outer"]
    secret = ("bcc", "received", "sceau-x")
    expected = [f.raw for f in mail.fields if f.name not in secret and f.name != "content-type"]
    assert [f.raw for f in kept if f.name != "content-type"] == expected
    assert len([f for f in kept if f.name == "content-type"]) == 1
    ours = [
        f.raw
        for f in done.outer.fields
        if f.name not in secret and not f.name.startswith("content-")
    ]
    assert told == ours


def test_openssl_and_python_read_what_was_signed_and_sealed(tmp_path: Path) -> None:
    done = protect(split(MAIL), encrypted=True, confidential=True)
    signed = sign(done.entity, world().alice.signer)
    to = [world().bob.recipient(KeyManagement.RSA_PKCS1)]
    mail = outer(done) + encrypt(signed.entity, to, Cipher.AES_256_CBC)

    assert b"merger" not in mail
    assert python(mail)["subject"] == "[...]"
    opened = openssl_decrypt(tmp_path, mail, world().bob)
    content = openssl_verify(tmp_path, opened)
    assert content == done.entity
    inner = python(content)
    assert inner["subject"] == "the  merger  of two"
    assert inner["to"] == "bob@example.net, carol@example.net"
    assert [value.partition(":")[0] for value in inner.get_all("hp-outer", [])] == [
        "From", "To", "Subject", "Message-ID",
    ]  # fmt: skip


def test_a_clear_signature_covers_the_header(tmp_path: Path) -> None:
    done = protect(split(MAIL), encrypted=False)
    entity, changes = to_7bit(done.entity)
    mail = outer(done) + sign(entity, world().alice.signer).entity

    assert changes == ()
    assert openssl_verify(tmp_path, mail) == done.entity
    assert entity != content_entity(split(MAIL))
