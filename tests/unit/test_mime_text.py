"""What search knows of a mail: everything a reader would see, at no more than a bounded cost."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.markup import text_of
from gateway.mime.text import BODY_LIMIT, Extracted, extract
from tests.corpora import corpus


def _mail(fields: str, body: bytes) -> bytes:
    return fields.replace("\n", "\r\n").encode() + b"\r\n" + body


def test_a_usual_mail() -> None:
    found = extract(
        _mail(
            "From: André <andre@x.fr>\nSender: office@x.fr\nTo: b@y.fr, B <b@y.fr>\nCc: c@y.fr\n"
            "Subject: =?utf-8?q?R=C3=A9union?=\nDate: Sat, 21 Nov 2026 14:00:05 +0100\n"
            'Content-Type: multipart/mixed; boundary="=_x"\n',
            b"--=_x\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n"
            b"--y\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=E9t=E9\r\n"
            b"--y\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
            b"<style>p{}</style><p>h&ocirc;tel<br>de ville</p>\r\n--y--\r\n"
            b'--=_x\r\nContent-Type: application/pdf; name="=?utf-8?q?r=C3=A9sum=C3=A9.pdf?="\r\n'
            b"Content-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n"
            b"--=_x\r\nContent-Type: text/plain\r\nContent-Disposition: attachment;\r\n"
            b" filename*0*=utf-8'fr'%C3%A9t%C3%A9; filename*1=\" 2026.txt\"\r\n\r\nnotes\r\n"
            b"--=_x\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nforwarded\r\n"
            b"--=_x--\r\n",
        )
    )

    assert found == Extracted(
        subject="Réunion",
        senders=("andre@x.fr", "office@x.fr"),
        recipients=("b@y.fr", "c@y.fr"),
        body="été\nhôtel\nde ville\nnotes\ninner\nforwarded",
        attachment_names=("résumé.pdf", "été 2026.txt"),
        date=datetime(2026, 11, 21, 14, 0, 5, tzinfo=timezone(timedelta(hours=1))),
    )


@pytest.mark.parametrize(
    ("charset", "octets", "text"),
    [
        ("utf-8", "été".encode("latin-1"), "été"),  # lies
        ("us-ascii", "été".encode(), "été"),
        ("iso-2022-jp", "日本".encode("iso2022_jp"), "日本"),
        ("gb2312", "中文".encode("gbk"), "中文"),
        ("unicode-1-1-utf-7", b"+AOk-", "é"),
        ("nonsense-42", "été".encode(), "été"),
        ("idna", b"xn--a", "xn--a"),
        ("", "été".encode(), "été"),
        ("utf-16", b"\xff\xfee\x00t\x00", "et"),
        ("utf-16", b"odd", "odd"),
    ],
)
def test_charsets_that_lie_and_those_that_do_not(charset: str, octets: bytes, text: str) -> None:
    found = extract(_mail(f"Content-Type: text/plain; charset={charset}\n", octets))

    assert found.body == text


def test_a_mail_that_the_gateway_refuses_is_still_found() -> None:
    found = extract(b"garbage\nFrom: boss@min.fr <a@x.fr>\nTo: b@y.fr; c@y.fr\n\nunix lines\n")

    assert found.senders == ("boss@min.fr", "a@x.fr")
    assert found.recipients == ("b@y.fr", "c@y.fr")
    assert found.body == "unix lines"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("a<b>b</b>c", "abc"),
        ("<p>a</p><p>b</p>", "\na\n\nb\n"),
        ("a<br/>b", "a\nb"),
        ("x<!-- hidden -->y<!-->z", "xyz"),
        ("<script>if (a<b) c</script>d", "d"),
        ("<SCRIPT >x</SCRIPT\n>d", "d"),
        ('<a title="a>b" href=x>t</a>', "t"),
        ("1 < 2 &amp; 3 > 2", "1 < 2 & 3 > 2"),
        ("&#233;&eacute;&#xE9;&nosuch;", "ééé&nosuch;"),
        ("&#" + "9" * 5000 + ";", "\ufffd"),
        ("<!DOCTYPE html><?x y?>z", "z"),
        ("a<script>never ends", "a"),
        ("a<b title='never ends", "a"),
        ("<o:p>x</o:p><param>y", "xy"),
    ],
)
def test_text_between_the_tags(markup: str, text: str) -> None:
    assert text_of(markup) == text


def test_hostile_mails_take_no_time() -> None:
    started = time.process_time()
    html = b"Content-Type: text/html\r\n\r\n"
    multi = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    for raw in (
        b"To: " + b", ".join(b"u%d@x.fr" % n for n in range(8000)) + b"\r\n\r\n",
        b"Subject: " + b"=?utf-8?q?" * 100_000 + b"\r\n\r\n",
        b"Content-Type: a/b" + b"; x" * 300_000 + b"\r\n\r\n",
        b'Content-Type: a/b; n="' + b"\\" * 500_000 + b"\r\n\r\n",
        b"".join(
            b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
            for n in range(2000)
        ),
        b"Content-Type: message/rfc822\r\n\r\n" * 20_000,
        multi + b"--b\r\n\r\nx\r\n" * 20_000,
        html + b'<b id="x"><p>' * 50_000,
        html + b"<div>" * 200_000,
        html + b"<a " * 300_000,
        html + b"<!--" * 200_000,
        html + b"<script>" * 100_000,
        html + b"&#" * 400_000,
        html + b'<a x="' * 150_000,
    ):
        extract(raw)

    assert time.process_time() - started < 10


def test_the_output_is_bounded() -> None:
    text = base64.encodebytes(b"word " * 4_000_000).replace(b"\n", b"\r\n")
    found = extract(b"Content-Transfer-Encoding: base64\r\n\r\n" + text)

    assert BODY_LIMIT * 0.99 < len(found.body) <= BODY_LIMIT


@given(st.binary(max_size=400))
def test_any_octets(raw: bytes) -> None:
    extract(raw)
    extract(b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n" + raw)
    extract(b"Content-Type: text/html; charset=" + raw[:20] + b"\r\n\r\n" + raw)


def test_odd_mails_of_others_never_raise() -> None:
    count = 0
    for folder in ("mail-ruby", "mime4j", "mimekit", "stalwart-mail-parser"):
        for path in sorted(corpus(folder).rglob("*")):
            if path.is_file() and path.stat().st_size < 1_000_000:
                extract(path.read_bytes())
                count += 1
    assert count > 250


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Sat, 21 Nov 2026 14:00:05 +0000", datetime(2026, 11, 21, 14, 0, 5, tzinfo=UTC)),
        ("Mon, 1 Jan 0001 00:00:00 +2359", None),
        ("Fri, 31 Dec 9999 23:59:59 -0001", None),
        ("21 Nov 26 14:00 GMT", datetime(2026, 11, 21, 14, 0, tzinfo=UTC)),
        ("Sat, 21 Nov 98 14:00 EST", datetime(1998, 11, 21, 19, 0, tzinfo=UTC)),
        ("Sat, 21 Nov 2026 14:00:60 -0130 (x)", datetime(2026, 11, 21, 15, 30, 59, tzinfo=UTC)),
        ("21 Foo 2026 14:00 +0000", None),
        ("32 Nov 2026 14:00 +0000", None),
        ("21 Nov 2026 14:00 +9999", None),
        ("", None),
        ("9" * 10_000, None),
    ],
)
def test_dates(value: str, expected: datetime | None) -> None:
    assert extract(f"Date: {value}\r\n\r\n".encode()).date == expected
