"""Protected header fields: what the payload says, and what stands outside."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.entity import Field, split
from gateway.mime.headers import from_addresses
from gateway.mime.protection import Intent, Kind, Protection, Scheme, read_protection
from tests.corpora import corpus

# The shape of RFC 9788's own examples; the words are ours.
INNER = b"""\
Date: Fri, 20 Nov 2026 09:40:48 +0100
From: Alice <alice@a.example>
To: Bob <bob@b.example>
Subject: =?utf-8?q?D=C3=AEner?= on
 Friday
Keywords: food
Message-ID: <1@a.example>
MIME-Version: 1.0
"""
CIPHER = (
    INNER
    + b"""\
HP-Outer: Date: Fri, 20 Nov 2026 09:40:48 +0100
HP-Outer: From: Alice <alice@a.example>
HP-Outer: To: Bob <bob@b.example>
HP-Outer: Subject: [...]
HP-Outer: Message-ID: <1@a.example>
Content-Type: text/plain; charset="us-ascii"; hp-legacy-display="1"; hp="cipher"

Subject: Dinner on Friday

Come.
"""
)
OUTER = b"""\
Return-Path: <alice@a.example>
Received: from a by b
DKIM-Signature: v=1
Date: Fri, 20 Nov 2026 09:40:48 +0100
From: Alice <alice@a.example>
To: Bob
 <bob@b.example>
Subject: [...]
Message-ID: <1@a.example>
MIME-Version: 1.0
Content-Type: application/pkcs7-mime; smime-type="enveloped-data"
"""


def crlf(text: bytes) -> bytes:
    return text.replace(b"\n", b"\r\n")


def read(payload: bytes, outer: bytes = OUTER) -> Protection:
    found = read_protection(crlf(payload), split(crlf(outer)).fields)
    json.dumps(found.as_dict())
    return found


def kinds(found: Protection) -> dict[str, Kind]:
    return {one.name: one.kind for one in found.differences}


def names(found: Protection) -> list[str]:
    return [field.name for field in found.fields]


ALL = ["date", "from", "to", "subject", "keywords", "message-id"]


def test_an_encrypted_mail_as_it_was_sent() -> None:
    found = read(CIPHER)

    assert (found.scheme, found.stated, found.intent) == (Scheme.RFC9788, True, Intent.CIPHER)
    assert names(found) == ALL
    assert kinds(found) == {"subject": Kind.HIDDEN, "keywords": Kind.HIDDEN}
    assert found.confidential == ("subject", "keywords")
    assert dict(found.outer_as_sent)["subject"] == b"[...]"
    assert found.legacy_display == ("",)
    assert from_addresses(found.header) == ["alice@a.example"]
    record = found.as_dict()
    assert record["fields"][3] == {"name": "subject", "value": "Dîner on Friday"}
    assert record["differences"][0]["outer"] == ["[...]"]


@pytest.mark.parametrize(
    ("old", "new", "name", "kind"),
    [
        (b"From: Alice <alice@a.example>", b"From: Mallory <m@m.example>", "from", Kind.CHANGED),
        (b"From: Alice", b"From: Mallory", "from", Kind.CHANGED),
        (b"From: Alice <alice@a.example>\n", b"", "from", Kind.CHANGED),
        (b"Subject: [...]", b"Subject: [lists] [...]", "subject", Kind.CHANGED),
        (b"Subject: [...]\n", b"Subject: [...]\nSubject: x\n", "subject", Kind.CHANGED),
        # The oracle of a reply: Mallory wants to be among those who get it (RFC 9788 §4.4).
        (b"Subject:", b"Cc: mallory@m.example\nSubject:", "cc", Kind.ADDED),
        (b"Subject:", b"Reply-To: mallory@m.example\nSubject:", "reply-to", Kind.ADDED),
        (b"Subject:", b"In-Reply-To: <other@m.example>\nSubject:", "in-reply-to", Kind.ADDED),
        (b"Subject:", b"Keywords: food\nSubject:", "keywords", Kind.CHANGED),
    ],
)  # fmt: skip
def test_what_others_changed_outside(old: bytes, new: bytes, name: str, kind: Kind) -> None:
    assert old in OUTER

    found = kinds(read(CIPHER, OUTER.replace(old, new, 1)))

    assert found[name] is kind
    assert found.keys() <= {name, "subject", "keywords"}


def test_what_servers_write_outside_is_no_difference() -> None:
    trace = b"Received: x\nARC-Seal: i=1\nX-Spam: no\nResent-From: c@c.example\nList-Id: <l>\n"

    assert read(CIPHER, trace + OUTER).differences == read(CIPHER).differences


CLEAR = INNER + b'Content-Type: text/plain; hp="clear"\n\nCome.\n'
SAME = INNER.replace(b" on\n Friday", b" on Friday") + b"Content-Type: multipart/signed\n"


def test_a_signed_mail_says_the_same_inside_and_outside() -> None:
    found = read(CLEAR, b"Received: x\n" + SAME)

    assert (found.scheme, found.intent) == (Scheme.RFC9788, Intent.CLEAR)
    assert names(found) == ALL
    assert (found.differences, found.confidential, found.legacy_display) == ((), (), ())


def test_a_signed_mail_whose_outside_was_changed() -> None:
    found = read(CLEAR, SAME.replace(b"food", b"war") + b"Sender: list@l.example\n")

    assert kinds(found) == {"keywords": Kind.CHANGED, "sender": Kind.ADDED}
    assert found.confidential == ()


def test_hp_outer_of_a_signed_mail_says_nothing() -> None:
    found = read(b"HP-Outer: Subject: [...]\n" + CLEAR)

    assert found.outer_as_sent == ()
    assert kinds(found) == {"subject": Kind.CHANGED, "keywords": Kind.CHANGED}


def test_hp_outer_that_is_no_field_says_nothing() -> None:
    broken = CIPHER.replace(b"HP-Outer: Subject: [...]", b"HP-Outer: [...]\nHP-Outer:")

    assert "subject" not in dict(read(broken).outer_as_sent)


@pytest.mark.parametrize(
    "root",
    [
        b"multipart/mixed",
        b'multipart/mixed; protected-headers="v2"',
        b"text/plain; x-hp=cipher",
    ],
)
def test_nothing_is_protected_where_nothing_says_so(root: bytes) -> None:
    found = read(INNER + b"Content-Type: " + root + b"\n\nCome.\n")

    assert found == Protection()


def test_only_the_root_counts() -> None:
    """Mallory's signed mail with a part that looks like Alice's protected one."""
    inner = CIPHER.replace(b"Come.", b"Pay.")
    payload = b"Content-Type: multipart/mixed; boundary=x\n\n--x\n" + inner + b"\n--x--\n"

    assert read(payload) == Protection()


@pytest.mark.parametrize(
    "root",
    [
        b'Content-Type: text/plain; hp="signed"\n',
        b'Content-Type: text/plain; hp=""\n',
        b'Content-Type: text/plain; hp="cipher"\nContent-Type: text/plain; hp="clear"\n',
        b"Content-Type: text/plain\nContent-Type: text/plain; hp=clear\n",
    ],
)
def test_what_cannot_be_told_is_not_believed_and_said(root: bytes) -> None:
    found = read(INNER + root + b"\nCome.\n")

    assert (found.scheme, found.fields, found.differences) == (None, (), ())
    assert [one.code for one in found.problems] == ["structure.header-protection"]


def test_main_parts_with_a_legacy_display() -> None:
    payload = (
        INNER
        + b"""\
Content-Type: multipart/mixed; boundary=m; hp="cipher"

--m
Content-Type: multipart/related; boundary=r

--r
Content-Type: multipart/alternative; boundary=a

--a
Content-Type: text/plain; hp-legacy-display="1"

Subject: Dinner
--a
Content-Type: text/html; HP-LEGACY-DISPLAY=1

<div class="header-protection-legacy-display">Subject: Dinner</div>
--a--
--r
Content-Type: image/png

x
--r--
--m
Content-Type: text/plain; hp-legacy-display="1"

an attachment
--m--
"""
    )
    assert read(payload).legacy_display == ("1.1.1", "1.1.2")


@pytest.mark.parametrize(
    ("name", "display"),
    [
        ("smime-onepart-signed", ()),
        ("smime-sign+enc", ()),
        ("smime-enc+legacy-disp", ("1",)),
        ("smime-sign+enc+legacy-disp", ("1",)),
    ],
)
def test_mails_of_the_draft_before(name: str, display: tuple[str, ...]) -> None:
    folder = corpus("header-protection")
    files = [folder / f"{name}.inner.inner", folder / f"{name}.inner"]
    payload = next(file for file in files if file.exists()).read_bytes()
    outer = (folder / f"{name}.eml").read_bytes()

    found = read(payload.replace(b"\r\n", b"\n"), outer.replace(b"\r\n", b"\n"))

    assert (found.scheme, found.stated, found.intent) == (Scheme.V1, True, None)
    assert found.legacy_display == display
    assert from_addresses(found.header) == ["alice@smime.example"]
    hidden = "enc" in name
    assert kinds(found) == ({"subject": Kind.DIFFERS} if hidden else {})
    assert found.confidential == (("subject",) if hidden else ())
    subject = found.header.all("subject")[0].value
    assert (b"BarCorp" if hidden else b"FooCorp") in subject


def test_layers_of_another_kind_inside_protect_nothing_here() -> None:
    payload = (corpus("header-protection") / "unfortunately-complex.inner").read_bytes()

    assert read(payload.replace(b"\r\n", b"\n")) == Protection()


WHOLE = INNER + b"Content-Type: text/plain\n\nCome.\n"


@pytest.mark.parametrize(("parameter", "stated"), [(b"; forwarded=no", True), (b"", False)])
def test_a_whole_mail_as_payload(parameter: bytes, stated: bool) -> None:
    found = read(b"Content-Type: message/rfc822" + parameter + b"\n\n" + WHOLE)

    assert (found.scheme, found.stated, found.intent) == (Scheme.WRAPPED, stated, None)
    assert names(found) == ALL
    assert kinds(found) == {"subject": Kind.DIFFERS, "keywords": Kind.DIFFERS}


@pytest.mark.parametrize(
    ("root", "inner"),
    [
        (b"message/rfc822; forwarded=yes", b"text/plain"),
        (b"message/rfc822", b'text/plain; hp="clear"'),
        (b"message/rfc822", b"multipart/signed; boundary=x"),
        (b"message/rfc822", b"application/pkcs7-mime"),
        (b"message/rfc822\nContent-Transfer-Encoding: base64", b"text/plain"),
        (b"message/partial", b"text/plain"),
    ],
)
def test_a_mail_as_payload_that_is_something_else(root: bytes, inner: bytes) -> None:
    mail = INNER + b"Content-Type: " + inner + b"\n\nCome.\n"

    assert read(b"Content-Type: " + root + b"\n\n" + mail) == Protection()


def test_a_line_that_is_no_field_stays_visible_to_strict_readers() -> None:
    found = read(b"Date: today\nnonsense\n" + CLEAR)

    assert "" in names(found)
    assert "" not in kinds(found)


@given(payload=st.binary(max_size=400), outer=st.binary(max_size=200))
def test_nothing_makes_it_raise(payload: bytes, outer: bytes) -> None:
    for start in (b"", b'Content-Type: text/plain; hp="cipher"\r\nHP-Outer: ',
                  b"Content-Type: multipart/mixed; boundary=a; protected-headers=v1\r\n\r\n--a\r\n",
                  b"Content-Type: message/rfc822\r\n\r\n"):  # fmt: skip
        json.dumps(read_protection(start + payload, split(outer).fields).as_dict())


def test_deep_and_wide_payloads_cost_little() -> None:
    nested = b"".join(
        b"Content-Type: multipart/alternative; boundary=b%d; hp=cipher\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(2000)
    )
    wide = b'Content-Type: multipart/alternative; boundary=b; hp="cipher"\r\n\r\n'
    wide += b"--b\r\n\r\nx\r\n" * 20_000
    fields = b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + wide

    for payload in (nested, wide, fields):
        assert read_protection(payload, [Field(b"To: x\r\n", "to")]).scheme is Scheme.RFC9788
