"""One rule for who the author is: intake, archive, policy and signing give the same answer.

Shapes of threats S8. Each case is the From part of a header; the answer is the canonical author,
or None where nobody may be signed for. A mail that is refused is in no archive, meets no policy,
and gets no signature; for one that is taken, all four must name the same address.
"""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_network
from types import SimpleNamespace
from typing import cast

import pytest

from gateway.accept import accepted_fields, sealed_headers
from gateway.errors import Refusal
from gateway.mail import Identity, Peer, Submission
from gateway.mime.authors import authorship
from gateway.mime.entity import Message, split
from gateway.mime.headers import HeaderAmbiguous
from gateway.mime.text import extract
from gateway.policy import Encryption, Pattern, Policy, Rule, Sign, WithoutCertificate
from gateway.policy.mails import Mail
from gateway.senders.rights import Relay, Rights
from gateway.signers import Signers
from pki.models import Signer
from tests.unit.signing import FIT, any_seal

A = "anna@a.example"
IDN = "anna@xn--bcher-kva.example"

CASES: list[tuple[str, bytes, str | None]] = [
    ("plain", b"From: anna@a.example", A),
    ("angle", b"From: Anna <anna@a.example>", A),
    ("no space", b"From:anna@a.example", A),
    ("name of the field in capitals", b"FROM: anna@a.example", A),
    ("white space before the colon", b"From : anna@a.example", None),
    ("tab before the colon", b"From\t: anna@a.example", None),
    ("case of the domain", b"From: anna@A.EXAMPLE", A),
    ("case of the local part", b"From: ANNA@a.example", A),
    ("folded before", b"From:\r\n anna@a.example", A),
    ("folded between", b"From: Anna\r\n\t<anna@a.example>", A),
    ("folded inside", b"From: <anna@\r\n a.example>", None),
    ("blank inside", b"From: <anna @a.example>", None),
    ("blank in brackets", b"From: < anna@a.example >", A),
    ("comment after", b"From: anna@a.example (Anna)", A),
    ("comment before", b"From: (Anna) anna@a.example", A),
    ("comment inside", b"From: anna(x)@a.example", None),
    ("comment with an address", b"From: anna@a.example (boss@a.example)", None),
    ("comment without end", b"From: anna@a.example (Anna", None),
    ("name in quotes", b'From: "Anna, of A" <anna@a.example>', A),
    ("name is the address", b'From: "anna@a.example" <anna@a.example>', A),
    ("name is another address", b'From: "boss@a.example" <anna@a.example>', None),
    ("name holds another address", b"From: \"Boss <boss@a.example>\" <anna@a.example>", None),
    ("encoded name", b"From: =?utf-8?q?=C3=89lodie?= <anna@a.example>", A),
    ("encoded name is an address", b"From: =?utf-8?q?boss=40a.example?= <anna@a.example>", None),
    ("name with a look-alike @", "From: boss＠a.example <anna@a.example>".encode(), None),
    ("encoded name of no charset", b"From: =??q?boss=40a.example?= <anna@a.example>", None),
    ("encoded name with a tab", b"From: =?utf-8?q?boss=40a\t.example?= <anna@a.example>", None),
    (
        "encoded name of a long charset",
        b"From: =?utf-8*" + b"e" * 70 + b"?q?boss=40a.example?= <anna@a.example>",
        None,
    ),
    ("encoded name without an end", b"From: =?utf-8?q?boss=40a.example <anna@a.example>", None),
    ("encoded name hides a line end", b"From: =?utf-8?q?x=0D=0AFrom:?= <anna@a.example>", None),
    ("encoded word is the address", b"From: =?utf-8?q?anna=40a.example?=", None),
    ("encoded word in the local part", b"From: <=?utf-8?q?anna?=@a.example>", None),
    ("encoded word in the domain", b"From: <anna@=?utf-8?q?a.example?=>", None),
    ("quotes that are not needed", b'From: "anna"@a.example', A),
    ("quoted pair that is not needed", b'From: "an\\na"@a.example', A),
    ("quoted dots", b'From: "anna..b"@a.example', '"anna..b"@a.example'),
    ("quoted blank", b'From: "anna b"@a.example', None),
    ("quoted @ in the local part", b'From: "boss@a.example"@a.example', None),
    ("two addresses", b"From: anna@a.example, boss@a.example", None),
    ("the same address twice", b"From: anna@a.example, anna@a.example", None),
    ("two fields", b"From: anna@a.example\r\nFrom: boss@a.example", None),
    ("two fields, the same", b"From: anna@a.example\r\nFrom: anna@a.example", None),
    ("two brackets", b"From: <boss@a.example> <anna@a.example>", None),
    ("a name and two brackets", b"From: Boss <boss@a.example> <anna@a.example>", None),
    ("an address before brackets", b"From: boss@a.example <anna@a.example>", None),
    ("empty list members", b"From: ,anna@a.example,", A),
    ("no field", b"Subject: x", None),
    ("empty field", b"From:", None),
    ("name only", b"From: Anna", None),
    ("empty brackets", b"From: Anna <>", None),
    ("group", b"From: Team: anna@a.example;", None),
    ("group hidden by comments with quotes", b'From: (") Team: anna@a.example; (")', None),
    ("empty group", b"From: undisclosed:;", None),
    ("route", b"From: <@boss.example:anna@a.example>", None),
    ("percent hack", b"From: boss%a.example@a.example", "boss%a.example@a.example"),
    ("trailing dot", b"From: anna@a.example.", None),
    ("leading dot", b"From: .anna@a.example", None),
    ("two dots", b"From: anna@a..example", None),
    ("two @", b"From: anna@boss@a.example", None),
    ("NUL", b"From: anna@a.example\0.evil.example", None),
    ("control character", b"From: anna\x07@a.example", None),
    ("bare CR", b"From: boss@a.example\rX: <anna@a.example>", None),
    ("domain literal", b"From: anna@[192.0.2.1]", None),
    ("U-label", "From: anna@bücher.example".encode(), IDN),
    ("A-label", b"From: anna@xn--bcher-kva.example", IDN),
    ("A-label in capitals", b"From: anna@XN--BCHER-KVA.example", IDN),
    ("U-label, decomposed", "From: anna@bu\u0308cher.example".encode(), IDN),
    ("Latin-1", b"From: anna@b\xfccher.example", None),
    ("full-width dot", "From: anna@a。example".encode(), None),
    ("full-width letters", "From: ａnna@a.example".encode(), "ａnna@a.example"),
    ("soft hyphen", "From: an\u00adna@a.example".encode(), None),
    ("zero width", "From: anna\u200b@a.example".encode(), None),
    ("right to left override", "From: \u202eanna@a.example".encode(), None),
    ("sharp s", "From: anna@straße.example".encode(), None),
    ("Kelvin", "From: \u212aim@a.example".encode(), None),
    ("Cyrillic a is another person", "From: аnna@a.example".encode(), "аnna@a.example"),
    ("combining mark", "From: e\u0301lodie@a.example".encode(), "élodie@a.example"),
    ("field name with a Cyrillic o", "Frоm: anna@a.example".encode(), None),
    ("a line that is no field", b"X\r\nFrom: anna@a.example", None),
    ("mbox line", b"From boss@a.example Mon\r\nFrom: anna@a.example", None),
    ("local part too long", b"From: " + b"a" * 65 + b"@a.example", None),
    ("a semicolon", b"From: anna@a.example;boss@a.example", None),
    ("a quote in the middle", b'From: an"n"a@a.example', None),
    ("Sender is somebody too", b"From: anna@a.example\r\nSender: bruno@a.example", A),
    ("two Sender", b"From: anna@a.example\r\nSender: a@a.example\r\nSender: b@a.example", None),
    ("Sender with two", b"From: anna@a.example\r\nSender: a@a.example, b@a.example", None),
    ("Sender is empty", b"From: anna@a.example\r\nSender:", None),
    ("Sender is a group", b"From: anna@a.example\r\nSender: T: b@a.example;", None),
    ("Resent-From with two", b"From: anna@a.example\r\nResent-From: b@a.example, c@a.example", A),
    ("Resent-From is a group", b"From: anna@a.example\r\nResent-From: T:;", None),
]  # fmt: skip

DOMAINS = ("a.example", "xn--bcher-kva.example")
PEER = Peer("192.0.2.1", 25, "h", relay="all")
RIGHTS = Rights([Relay("all", (ip_network("192.0.2.1/32"),), DOMAINS)], DOMAINS)
RULE = Rule(
    "r", (Pattern("@a.example"), Pattern("@xn--bcher-kva.example")), (Pattern("*"),),
    Encryption.REQUIRED, WithoutCertificate.HOLD, Sign.PERSON,
)  # fmt: skip


class Persons:
    """Who is asked for a person's key."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def signer_for(self, address: str, _moment: datetime) -> Signer | None:
        self.asked.append(address)
        return cast("Signer", SimpleNamespace(certificate=b"certificate", consent="", checked=FIT))


def mail(header: bytes, *more: bytes) -> bytes:
    return b"\r\n".join((header, *more, b"To: x@b.example", b"", b"text", b""))


def author_of(raw: bytes) -> str | None:
    """What the intake makes of it: the author it was granted for, or None."""
    try:
        found = authorship(split(raw))
        RIGHTS.grant(PEER, found.author, envelope=A)
    except (HeaderAmbiguous, Refusal):
        return None
    return found.author


@pytest.mark.parametrize(("name", "header", "expected"), CASES, ids=[case[0] for case in CASES])
def test_all_four_give_the_same_answer(name: str, header: bytes, expected: str | None) -> None:
    raw = mail(header)
    assert author_of(raw) == expected
    if expected is None:
        return
    # the archive: what it stores of the header is read to the same author again
    stored = sealed_headers(split(raw))["header.from"]
    again = Message(b"", split(b"From: " + stored + b"\r\n\r\n").fields, memoryview(b""))
    assert authorship(again).author == expected
    # policy
    decision = Policy([RULE]).decide(Mail(expected), "x@b.example")
    assert (decision.rule, decision.sender) == ("r", expected)
    # signing
    persons = Persons()
    Signers({}, persons, any_seal).choose(expected, Sign.PERSON, datetime(2026, 6, 1, tzinfo=UTC))
    assert persons.asked == [expected]


@pytest.mark.parametrize(
    ("header", "expected"),
    [(c[1], c[2]) for c in CASES if c[2] and c[2].isascii() and '"' not in c[2]],
)
def test_search_finds_it_under_the_author(header: bytes, expected: str) -> None:
    from pki.addresses import canonical

    found = {canonical(one) for one in extract(mail(header)).senders}
    assert expected in found


def test_there_are_sixty_at_least() -> None:
    assert len(CASES) >= 60
    assert len({case[1] for case in CASES}) == len(CASES)


# -- a mail that is the whole content of another (RFC 8551 §3.1) ---------------------------------

INNER = b"From: boss@a.example\r\n\r\nPay him.\r\n"


@pytest.mark.parametrize(
    "kind",
    [
        b"Content-Type: message/rfc822",
        b"content-type: MESSAGE/RFC822; forwarded=no",
        b"Content-Type: message/global",
        b"Content-Type: (x) message/rfc822",
        b"Content-Type: message(x)/(y)rfc822",
        b"Content-Type: message/\r\n rfc822",
        b"Content-Type: message/rfc822 x",
        b"Content-Type: message/rfc822, text/plain",
        b"Content-Type: message / rfc822 charset=utf-8",
        b"Content-Type: message/rfc822 (without end",
        b"Content-Type: text/plain\r\nContent-Type: message/rfc822",
        b"Content-Type : message/rfc822",
    ],
)
def test_the_author_inside_counts_too(kind: bytes) -> None:
    message = split(b"From: anna@a.example\r\n" + kind + b"\r\n\r\n" + INNER)
    found = authorship(message)
    assert [(each.field, each.address) for each in found.others] == [
        ("inner-from", "boss@a.example")
    ]


@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Type: message/partial; id=x; number=1; total=1\r\n\r\n" + INNER,
        b"Content-Type: message/external-body\r\n\r\n" + INNER,
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + INNER,
        b"Content-Type: message/rfc822\r\n\r\nno header at all\r\n",
        b"Content-Type: message/rfc822\r\n\r\n" * 9 + INNER,
        b"Content-Type: message/rfc822\r\n\r\nFrom: T: boss@a.example;\r\n\r\n",
    ],
)
def test_what_would_be_put_together_elsewhere_is_refused(raw: bytes) -> None:
    with pytest.raises(HeaderAmbiguous):
        authorship(split(b"From: anna@a.example\r\n" + raw))


def test_a_base64_mail_inside_is_read_as_generous_readers_do() -> None:
    from base64 import encodebytes

    head = b"From: anna@a.example\r\nContent-Type: message/rfc822\r\n"
    raw = head + b"Content-Transfer-Encoding: base64\r\n\r\n" + encodebytes(INNER)
    (inner,) = authorship(split(raw)).others
    assert inner.address == "boss@a.example"


def test_an_attached_mail_is_nobodys_claim() -> None:
    raw = (
        b"From: anna@a.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + INNER + b"--b--\r\n"
    )
    assert authorship(split(raw)).others == ()


# -- what is written down ------------------------------------------------------------------------


def test_the_proof_stands_in_the_entry() -> None:
    import json

    peer = Peer(
        "203.0.113.1", 25, "h", tls="TLSv1.3 X", identity=Identity("auth-file", "anna", (A,))
    )
    submission = Submission(
        mail(b"From: " + A.encode()), A, ("x@b.example",), peer, datetime.now(UTC)
    )
    fields = accepted_fields(submission, {"from": "own-address", "sender": "press"})
    assert json.loads(fields["sender.proof"]) == {
        "address": "203.0.113.1",
        "login": "anna",
        "method": "auth-file",
        "rule": "own-address",
        "rule.sender": "press",
    }
