"""What older programs show of a hidden subject, read by Python's parsers."""

from __future__ import annotations

import email.policy
import hashlib
import time
from email.message import EmailMessage
from email.parser import BytesParser
from html.parser import HTMLParser

import pytest

from gateway.mime.display_element import with_display_element
from gateway.mime.entity import content_entity, split
from gateway.mime.protect import protect
from gateway.mime.transfer import encode_base64, encode_quoted_printable

SUBJECT = "Réunion <à huis clos> & suite"
HEAD = (
    "From: a@example.org\r\n"
    "Subject: =?utf-8?q?R=C3=A9union_=3C=C3=A0_huis_clos=3E_=26?=\r\n suite\r\n"
)


def made(content: bytes) -> tuple[EmailMessage, bytes]:
    """The payload as Python reads it, and its octets."""
    message, _ = with_display_element(split(HEAD.encode() + content), ("subject",))
    entity = protect(message, encrypted=True, confidential=True).entity
    return BytesParser(policy=email.policy.SMTP).parsebytes(entity), entity


def leaf(charset: str, encoding: str, body: bytes, kind: str = "plain") -> bytes:
    return (
        f"Content-Type: text/{kind}; charset={charset}\r\n"
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    ).encode() + body


@pytest.mark.parametrize(
    ("charset", "encoding", "body", "shown"),
    [
        ("utf-8", "8bit", "à demain\r\n".encode(), SUBJECT),
        ("UTF-8", "7bit", b"tomorrow =20\r\n", SUBJECT),
        ("utf-8", "quoted-printable", b"=C3=A0 dem=\r\nain=20\r\n", SUBJECT),
        ("utf-8", "base64", b"w6AgZGVtYWluDQo=\r\n", SUBJECT),
        ("iso-8859-1", "8bit", b"\xe0 demain\r\n", SUBJECT),
        ("windows-1252", "quoted-printable", b"=E0 demain\r\n", SUBJECT),
        ("koi8-r", "8bit", b"\xc1\r\n", "Reunion <a huis clos> & suite"),
        ("us-ascii", "7bit", b"tomorrow\r\n", "Reunion <a huis clos> & suite"),
    ],
)
def test_the_subject_is_the_first_line_of_the_text(
    charset: str, encoding: str, body: bytes, shown: str
) -> None:
    read, entity = made(leaf(charset, encoding, body))
    came = BytesParser(policy=email.policy.SMTP).parsebytes(leaf(charset, encoding, body))

    lines = came.get_content().splitlines()
    assert read.get_content().splitlines() == [f"Subject: {shown}", "", *lines]
    assert read["content-type"].params["hp-legacy-display"] == "1"
    assert read["content-type"].params["hp"] == "cipher"
    assert read["content-type"].params["charset"] == charset
    assert read.defects == []
    if encoding in ("8bit", "quoted-printable"):
        assert entity.endswith(body), "the author's octets are where they were"


def test_a_mail_without_content_fields() -> None:
    read, entity = made(b"\r\nhello\r\n")

    assert entity.endswith(b"\r\n\r\nSubject: Reunion <a huis clos> & suite\r\n\r\nhello\r\n")
    assert read["content-type"].params["hp-legacy-display"] == "1"


class Shown(HTMLParser):
    """Text, and in which elements it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("br", "meta"):
            self.open.append(tag + "".join(f".{value}" for name, value in attrs if name == "class"))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop().partition(".")[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.found.append((data.strip(), list(self.open)))


@pytest.mark.parametrize(
    ("markup", "around"),
    [
        ("<html><head><title>t</title></head><body>\r\n<p>x</p></body></html>", ["html", "body"]),
        ('<!DOCTYPE html><HTML><BODY onload="a>b" class=k><p>x</BODY>', ["html", "body.k"]),
        ("<!-- <body> --><body><p>x</body>", ["body"]),
        ("<head><style>a:after{content:'<body>'}</style></head><p>x", []),
        ("<html><p>x", ["html"]),
        ("<p>x", []),
    ],
)
@pytest.mark.parametrize("encoding", ["8bit", "7bit", "base64", "quoted-printable"])
def test_in_html_it_is_the_first_thing_a_browser_shows(
    markup: str, around: list[str], encoding: str
) -> None:
    octets = markup.encode()
    body = {"base64": encode_base64, "quoted-printable": encode_quoted_printable}.get(
        encoding, bytes
    )(octets)
    read, _ = made(leaf("iso-8859-1", encoding, body, "html"))
    shown = Shown()
    shown.feed(read.get_content())

    texts = [item for item in shown.found if item[1][-1:] not in (["title"], ["style"])]
    element = "div.header-protection-legacy-display"
    assert texts[0] == (f"Subject: {SUBJECT}", [*around, element, "pre"])
    assert texts[-1][0] == "x"


def multipart(kind: str, *parts: bytes) -> bytes:
    inner = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="b"\r\n\r\n'.encode() + inner + b"--b--\r\n"


PLAIN, HTML = leaf("utf-8", "8bit", b"text"), leaf("utf-8", "8bit", b"<p>text", "html")
FILE = b"Content-Type: text/plain\r\nContent-Disposition: ATTACHMENT; filename=a.txt\r\n\r\nfile"


@pytest.mark.parametrize(
    ("content", "numbers"),
    [
        (PLAIN, [""]),
        (multipart("alternative", PLAIN, HTML), ["1", "2"]),
        (multipart("mixed", PLAIN, FILE, HTML), ["1"]),
        (multipart("mixed", FILE, PLAIN), []),
        (multipart("related", multipart("alternative", PLAIN, HTML).replace(b'"b"', b'"c"')
                   .replace(b"--b", b"--c"), FILE), ["1.1", "1.2"]),
        (FILE, []),
        (multipart("signed", PLAIN, FILE).replace(b"signed", b"x-signed"), ["1"]),
        (multipart("mixed", multipart("signed", PLAIN).replace(b'"b"', b'"c"')
                   .replace(b"--b", b"--c")), []),
        (leaf("utf-16", "base64", b"//5hAA=="), []),
        (leaf("utf-8", "x-uuencode", b"?"), []),
        (PLAIN.replace(b"text/plain;", b"text/plain; hp-legacy-display=0;"), []),
        (PLAIN.replace(b"text/plain", b"text/calendar"), []),
        (b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nx", []),
    ],
)  # fmt: skip
def test_which_parts_get_it_and_what_is_recorded(content: bytes, numbers: list[str]) -> None:
    mail = split(HEAD.encode() + content)
    message, done = with_display_element(mail, ("subject",))

    assert [change.part for change in done] == numbers
    assert content_entity(message).count(b'hp-legacy-display="1"') == len(numbers)
    for change in done:
        assert (change.before, change.after) == ("text", "hp-legacy-display")
    if numbers == [""]:
        assert done[0].sha256_before == hashlib.sha256(content_entity(mail)).hexdigest()
        assert done[0].sha256_after == hashlib.sha256(content_entity(message)).hexdigest()
    if not numbers:
        assert message is mail


@pytest.mark.parametrize("subject", [b"", b"Subject: \r\n", b"Subject: =?utf-8?q?=07?=\r\n"])
def test_nothing_to_repeat(subject: bytes) -> None:
    mail = split(subject + b"\r\nhello")
    assert with_display_element(mail, ("subject",)) == (mail, ())


def test_it_is_one_line_and_has_an_end() -> None:
    long = b"Subject: =?utf-8?q?a=0D=0ABcc=3A_x?= " + b"y" * 5000 + b"\r\n\r\nhello"
    message, _ = with_display_element(split(long), ("subject",))
    first, empty, rest = bytes(message.body).split(b"\r\n")

    assert first.startswith(b"Subject: a Bcc: x yyy")
    assert (len(first) < 998, empty, rest) == (True, b"", b"hello")


@pytest.mark.parametrize("piece", [b"<body ", b'<body "', b"<!--", b"<script>", b"<html '"])
def test_wild_markup_takes_linear_time(piece: bytes) -> None:
    content = leaf("utf-8", "8bit", piece * 200_000, "html")
    start = time.process_time()
    with_display_element(split(HEAD.encode() + content), ("subject",))
    assert time.process_time() - start < 2
