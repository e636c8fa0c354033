"""One strict reading of From, or none: what each header means to the gateway."""

from __future__ import annotations

import re
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.mime import addresses as parser
from gateway.mime.entity import split
from gateway.mime.headers import (
    HeaderAmbiguous,
    addresses,
    decode_words,
    from_addresses,
    visible_recipients,
)

REFUSED = None

# The header as it came, and the addr-specs of From, or REFUSED.
FROM_CASES: list[tuple[bytes, list[str] | None]] = [
    # plain forms
    (b"From: a@x.fr", ["a@x.fr"]),
    (b"From: <a@x.fr>", ["a@x.fr"]),
    (b"From: Alice <a@x.fr>", ["a@x.fr"]),
    (b'From: "Alice, of X" <a@x.fr>', ["a@x.fr"]),
    (b"From:a@x.fr", ["a@x.fr"]),
    (b"FROM: a@x.fr", ["a@x.fr"]),
    (b"From: Alice\r\n <a@x.fr>", ["a@x.fr"]),
    (b"From:\r\n\ta@x.fr", ["a@x.fr"]),
    (b"From: A@X.FR", ["A@X.FR"]),
    (
        b"From: a.b+c=d!e#f$g%h&i'j*k/l?m^n_o`p{q|r}s~t@x.fr",
        ["a.b+c=d!e#f$g%h&i'j*k/l?m^n_o`p{q|r}s~t@x.fr"],
    ),
    (b"From: a@[192.0.2.1]", ["a@[192.0.2.1]"]),
    # several, and none
    (b"From: a@x.fr, b@y.fr", ["a@x.fr", "b@y.fr"]),
    (b"From: a@x.fr\r\nFrom: b@y.fr", ["a@x.fr", "b@y.fr"]),
    (b"From: a@x.fr\r\nFrom: a@x.fr", ["a@x.fr", "a@x.fr"]),
    (b"Subject: nobody", []),
    (b"From:", REFUSED),
    (b"From: a@x.fr\r\nFrom:", REFUSED),
    # quoted local parts
    (b'From: "a"@x.fr', ["a@x.fr"]),
    (b'From: "a b"@x.fr', ['"a b"@x.fr']),
    (b'From: "a@evil.fr"@x.fr', ['"a@evil.fr"@x.fr']),
    (b'From: "a\\"b"@x.fr', ['"a\\"b"@x.fr']),
    (b'From: "a".b@x.fr', REFUSED),
    (b'From: "a@x.fr', REFUSED),
    (b'From: ""@x.fr', ['""@x.fr']),
    # comments
    (b"From: a@x.fr (Alice)", ["a@x.fr"]),
    (b"From: (Alice) a@x.fr", ["a@x.fr"]),
    (b"From: a@x.fr (b@evil.fr)", ["a@x.fr"]),
    (b"From: Alice (the (nested) one) <a@x.fr>", ["a@x.fr"]),
    (b"From: a@x.fr (\\) still)", ["a@x.fr"]),
    (b"From: a(c)@x.fr", REFUSED),
    (b"From: a@(c)x.fr", REFUSED),
    (b"From: a@x(c).fr", REFUSED),
    (b"From: a@x.fr (unclosed", REFUSED),
    (b"From: a@x.fr) <b@y.fr>", REFUSED),
    # groups (RFC 6854)
    (b"From: Team: a@x.fr;", ["a@x.fr"]),
    (b"From: Team: a@x.fr, b@y.fr;", ["a@x.fr", "b@y.fr"]),
    (b"From: nobody:;", []),
    (b"From: Team: a@x.fr", REFUSED),
    (b"From: A: B: a@x.fr;;", REFUSED),
    (b"From: a@x.fr;", REFUSED),
    # obsolete forms (RFC 5322 section 4)
    (b"From: ,a@x.fr,,", ["a@x.fr"]),
    (b"From: John Q. Public <a@x.fr>", ["a@x.fr"]),
    (b"From : a@x.fr", REFUSED),
    (b"From: <@relay.fr:a@x.fr>", REFUSED),
    (b"From: a . b @ x . fr", REFUSED),
    (b"From: < a@x.fr >", ["a@x.fr"]),
    # display names that play address
    (b'From: "boss@min.fr" <a@x.fr>', ["a@x.fr"]),
    (b"From: boss@min.fr <a@x.fr>", REFUSED),
    (b"From: <boss@min.fr> <a@x.fr>", REFUSED),
    (b"From: <boss@min.fr>, <a@x.fr>", ["boss@min.fr", "a@x.fr"]),
    (b"From: a@x.fr b@y.fr", REFUSED),
    (b"From: a@x.fr@y.fr", REFUSED),
    (b"From: a@x.fr:b@y.fr", REFUSED),
    (b"From: a@x.fr\\@evil.fr", REFUSED),
    (b"From: Alice", REFUSED),
    (b"From: Alice <>", REFUSED),
    (b"From: Alice <a>", REFUSED),
    (b"From: <a@x.fr", REFUSED),
    (b"From: a@x.fr>", REFUSED),
    (b"From: a@", REFUSED),
    (b"From: @x.fr", REFUSED),
    (b"From: a@x.fr.", REFUSED),
    (b"From: .a@x.fr", REFUSED),
    (b"From: a..b@x.fr", REFUSED),
    # encoded words (the "Mailsploit" family)
    (b"From: =?utf-8?q?Andr=C3=A9?= <a@x.fr>", ["a@x.fr"]),
    (b"From: =?utf-8?q?boss=40min=2Efr?= <a@x.fr>", ["a@x.fr"]),
    (b"From: =?utf-8?q?boss=40min.fr=00?= <a@x.fr>", REFUSED),
    (b"From: =?utf-8?b?Ym9zc0BtaW4uZnIK?= <a@x.fr>", REFUSED),
    (b"From: =?utf-8?b?Ym9zc0BtaW4uZnI=?=@x.fr", REFUSED),
    (b'From: "=?utf-8?q?boss?="@x.fr', REFUSED),
    # octets beyond ASCII (RFC 6532) and controls
    ("From: André <a@x.fr>".encode(), ["a@x.fr"]),
    ("From: andré@x.fr".encode(), ["andré@x.fr"]),
    ("From: a@exämple.fr".encode(), ["a@exämple.fr"]),
    ("From: André <a@x.fr>".encode("latin-1"), REFUSED),
    ("From: boss＠min.fr@x.fr".encode(), REFUSED),
    ("From: a@x。evil.fr".encode(), REFUSED),
    ("From: a\u200b@x.fr".encode(), REFUSED),
    ("From: a\u202e@x.fr".encode(), REFUSED),
    (b"From: a@x.fr\0", REFUSED),
    (b"From: a\x1b@x.fr", REFUSED),
    # a header that some software ends early
    (b"From x Mon Jan 1\r\nFrom: a@x.fr", REFUSED),
    (b" From: b@y.fr\r\nFrom: a@x.fr", REFUSED),
    (b"garbage\r\nFrom: a@x.fr", REFUSED),
    (b"From: a@x.fr\r\ngarbage\r\nFrom: b@y.fr", REFUSED),
    (b"From: a@x.fr,\r\n \r\n b@y.fr", ["a@x.fr", "b@y.fr"]),
    # other fields do not count
    (b"Sender: b@y.fr\r\nFrom: a@x.fr", ["a@x.fr"]),
    (b"X-From: b@y.fr\r\nFrom: a@x.fr", ["a@x.fr"]),
    (b"Resent-From: b@y.fr\r\nFrom: a@x.fr", ["a@x.fr"]),
    # lengths (RFC 5321 section 4.5.3.1)
    (b"From: " + b"a" * 64 + b"@x.fr", ["a" * 64 + "@x.fr"]),
    (b"From: " + b"a" * 65 + b"@x.fr", REFUSED),
    (b"From: a@" + b"x" * 256, REFUSED),
]


@pytest.mark.parametrize(("header", "expected"), FROM_CASES)
def test_from(header: bytes, expected: list[str] | None) -> None:
    message = split(header + b"\r\n\r\nbody\r\n")

    if expected is REFUSED:
        with pytest.raises(HeaderAmbiguous) as refusal:
            from_addresses(message)
        assert "{" not in str(refusal.value)
    else:
        assert from_addresses(message) == expected


def test_visible_recipients_are_those_of_to_cc_and_their_resent_forms() -> None:
    message = split(
        b"From: f@x.fr\r\nTo: a@x.fr, G: b@x.fr;\r\nCc: c@x.fr\r\nBcc: hidden@x.fr\r\n"
        b"Resent-To: d@x.fr\r\nResent-Cc: e@x.fr\r\nReply-To: r@x.fr\r\n\r\n"
    )

    assert visible_recipients(message) == ["a@x.fr", "b@x.fr", "c@x.fr", "d@x.fr", "e@x.fr"]
    assert addresses(message, "bcc") == ["hidden@x.fr"]
    assert addresses(message, "sender") == []


def test_unreadable_recipients_are_said_not_guessed() -> None:
    with pytest.raises(HeaderAmbiguous, match="to"):
        visible_recipients(split(b"To: a@x.fr; b@x.fr\r\n\r\n"))


def test_hostile_headers_take_no_time() -> None:
    """Each of these is 0.15 to 1 MB; quadratic reading would take minutes."""
    many = b", ".join(b"user%d@example.org" % n for n in range(8000))
    assert len(from_addresses(split(b"From: " + many + b"\r\n\r\n"))) == 8000
    for value in (
        b"(" * 1_000_000,
        b'"\\' * 500_000,
        b'"a" ' * 250_000,
        b"a" * 1_000_000,
        b"a." * 500_000,
        b"<" * 1_000_000,
        b"a:" * 500_000,
        b"=?utf-8?q?a" * 80_000,
        b"(" + b"\\(" * 400_000,
    ):
        with pytest.raises(HeaderAmbiguous):
            from_addresses(split(b"From: " + value + b"\r\n\r\n"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?q?R=C3=A9union_=C3=A0_10h?=", "Réunion à 10h"),
        (b"=?UTF-8?B?w6k=?=", "é"),
        (b"=?iso-8859-1?q?=E9t=E9?= !", "été !"),
        (b"a =?utf-8?q?b?= c", "a b c"),
        (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?=\r\n =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?= - =?utf-8?q?b?=", "a - b"),
        (b"=?utf-8?b?w4M=?= =?utf-8?b?wqk=?=", "Ã©"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),  # a character cut in two
        (b"=?utf-8*fr?q?=C3=A9?=", "é"),
        (b"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        (b"=?windows-1252?q?=80?=", "€"),
        (b"=?utf-8?q?=E9?=", "é"),  # says UTF-8, is Latin-1
        (b"=?us-ascii?q?=C3=A9?=", "é"),
        (b"=?x-unknown?q?=C3=A9?=", "é"),
        (b"=?idna?q?abc?=", "abc"),
        (b"=?zlib?q?abc?=", "abc"),
        (b"=?utf-8?x?abc?=", "=?x?"),
        (b"=?utf-8?q?abc", "=?utf-8?q?abc"),
        (b"=?utf-8?b?!!!?=", ""),
        (b"=?utf-8?b?YWJj?", "=?utf-8?b?YWJj?"),
        ("été".encode(), "été"),
        ("été".encode("latin-1"), "été"),
        (b"", ""),
    ],
)
def test_words(value: bytes, text: str) -> None:
    decoded = decode_words(value)

    assert decoded == (text if text != "=?x?" else value.decode())


@given(st.text(alphabet='ab.-_+@<> ",;:()=?é1', max_size=24))
@example("Ada Lovelace <ada.l+x@a-b.example>")
@example("ada@b.example")
@example("<ada@b.example")
@example("ada@b.example>")
@example("Ada  L<ada@b.example>")
def test_the_short_way_of_plain_addresses_reads_what_the_parser_reads(text: str) -> None:
    value = text.encode()
    try:
        with mock.patch.object(parser, "_PLAIN", re.compile(rb"(?!)")):
            expected: object = parser.parse(value)
    except parser.Malformed as error:
        expected = error.template
    try:
        found: object = parser.parse(value)
    except parser.Malformed as error:
        found = error.template
    assert found == expected
