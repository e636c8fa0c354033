"""Taking a mail apart and putting it together changes nothing but what the design names (I6)."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.entity import content_entity, split, with_crlf
from gateway.mime.outgoing import assemble, forward
from gateway.mime.received import received_field
from tests.corpora import corpus

RECEIVED = b"Received: from a ([192.0.2.1])\r\n\tby b with ESMTP\r\n\tid 1; now\r\n"

# Everyday mails that Python's email package does not give back as they came (threats F11).
SHAPES = {
    "folded": b"Subject: a\r\n b\r\n\tc\r\nFrom: a@x\r\n\r\nx\r\n",
    "long line": b"Subject: " + b"a" * 2000 + b"\r\n\r\nx\r\n",
    "8-bit header": "Subject: été\r\n\r\nx\r\n".encode("latin-1"),
    "8-bit body": "Content-Transfer-Encoding: 8bit\r\n\r\nété\r\n".encode("latin-1"),
    "no space after the colon": b"Subject:x\r\nX:\r\n\r\nx\r\n",
    "space before the colon": b"Subject : x\r\n\r\nx\r\n",
    "white space at line ends": b"Subject: x  \r\nX: \t\r\n\r\nx  \r\n",
    "odd spelling": b"sUBJECT: x\r\ncontent-TYPE: TEXT/plain\r\n\r\nx\r\n",
    "repeated fields": b"X: 1\r\nX: 2\r\nX: 1\r\n\r\n",
    "folded part header inside signed": (
        b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: text/plain;\r\n   charset=us-ascii\r\n\r\nx\r\n--b--\r\n"
    ),
    "no final line end": b"Subject: x\r\n\r\nno end",
    "no body": b"Subject: x\r\n",
    "only a body": b"\r\nx\r\n",
    "epilogue": b"Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\n\r\n--b--\r\npost",
    "no header at all": b"just text\r\nand more\r\n",
    "empty": b"",
    "blank fold": b"Subject: x\r\n \r\n y\r\n\r\nz\r\n",
}


def _rejoined(raw: bytes) -> bytes:
    message = split(raw)
    header = b"".join(field.raw for field in message.fields)
    separator = raw[len(header) : len(raw) - len(message.body)]
    assert separator in (b"", b"\r\n")
    return header + separator + bytes(message.body)


@pytest.mark.parametrize("raw", SHAPES.values(), ids=SHAPES)
def test_nothing_is_lost_or_changed_in_everyday_shapes(raw: bytes) -> None:
    assert _rejoined(raw) == raw
    _check_outgoing(raw)


@given(st.lists(st.sampled_from(
    [b"\r\n", b"\r", b"\n", b" ", b"\t", b":", b"Content-Type: x", b"Bcc: b", b"A",
     b"MIME-Version:", b"\xff", b"\0", b"Sceau-X: y"]
)).map(b"".join))  # fmt: skip
def test_any_octets_come_back(raw: bytes) -> None:
    assert _rejoined(raw) == raw
    _check_outgoing(raw)


def _check_outgoing(raw: bytes) -> None:
    """assemble and forward against a second, slow reading of the header written as a rule."""
    message = split(raw)
    entity = content_entity(message)
    kept, content = [], []
    for line in re.findall(rb"(?:[^\r]|\r(?!\n)|\r\n[ \t])+(?:\r\n|\Z)", raw[: _header_size(raw)]):
        name = line.partition(b":")[0].rstrip(b" \t").lower() if b":" in line else b""
        if not re.fullmatch(rb"[!-9;-~]+", name):
            name = b""
        line = line if line.endswith(b"\r\n") else line + b"\r\n"
        if name.startswith(b"content-"):
            content.append(line)
        elif name not in (b"bcc", b"resent-bcc", b"return-path", b"mime-version") and not (
            name.startswith(b"sceau-")
        ):
            kept.append(line)
    body = bytes(message.body)
    assert entity == b"".join(content) + b"\r\n" + body
    assert assemble(message, entity, received=RECEIVED) == b"".join(
        [RECEIVED, *kept, b"MIME-Version: 1.0\r\n", *content, b"\r\n", body]
    )


def _header_size(raw: bytes) -> int:
    if raw.startswith(b"\r\n"):
        return 0
    end = raw.find(b"\r\n\r\n")
    return len(raw) if end < 0 else end + 2


def _corpus_mails() -> Iterator[tuple[str, bytes]]:
    with tarfile.open(corpus("ham") / "easy-ham-1.tar.xz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                yield member.name, file.read()
    for folder, pattern in (("mimekit", "**/*"), ("mime4j", "**/*.msg"), ("mail-ruby", "**/*")):
        for path in sorted(corpus(folder).glob(pattern)):
            if path.is_file():
                yield str(path), path.read_bytes()


def test_thousands_of_real_mails_keep_every_octet() -> None:
    count = 0
    for name, raw in _corpus_mails():
        for form in (raw, with_crlf(raw)):
            assert _rejoined(form) == form, name
        message = split(with_crlf(raw))
        entity = content_entity(message)
        assert entity.endswith(bytes(message.body)), name
        # A receiver that takes the mail apart again finds the same entity.
        assert content_entity(split(assemble(message, entity, received=RECEIVED))) == entity, name
        count += 1
    assert count > 2500


def test_what_goes_out_of_a_usual_mail() -> None:
    message = split(
        b"Return-Path: <a@x>\r\nReceived: old\r\nFrom: a@x\r\nBCC: secret@y\r\n"
        b"Sceau-Verdict: signed by the minister\r\nMime-Version: 1.0\r\n"
        b"Content-Type: text/plain\r\nTo: b@y\r\nResent-Bcc: secret2@y\r\nSubject: s\r\n t\r\n"
        b"Content-Language: fr\r\n\r\nbody\r\n"
    )

    assert content_entity(message) == (
        b"Content-Type: text/plain\r\nContent-Language: fr\r\n\r\nbody\r\n"
    )
    assert assemble(message, b"Content-Type: x/y\r\n\r\nsealed\r\n", received=RECEIVED) == (
        RECEIVED + b"Received: old\r\nFrom: a@x\r\nTo: b@y\r\nSubject: s\r\n t\r\n"
        b"MIME-Version: 1.0\r\nContent-Type: x/y\r\n\r\nsealed\r\n"
    )
    assert forward(message, received=RECEIVED) == (
        RECEIVED
        + b"Received: old\r\nFrom: a@x\r\nMime-Version: 1.0\r\nContent-Type: text/plain\r\n"
        b"To: b@y\r\nSubject: s\r\n t\r\nContent-Language: fr\r\n\r\nbody\r\n"
    )


def test_a_field_shows_its_unfolded_value() -> None:
    (field,) = split(b"Subject:  a\r\n\tb \r\n\r\n").fields

    assert (field.name, field.value) == ("subject", b"a\tb")


def test_files_with_unix_line_ends_become_mails() -> None:
    assert with_crlf(b"A: b\n\nx\ny") == b"A: b\r\n\r\nx\r\ny"
    assert with_crlf(b"A: b\r\n\r\nx\ny") == b"A: b\r\n\r\nx\ny"
    assert with_crlf(b"none") == b"none"


MOMENT = datetime(2026, 11, 1, 9, 5, 3, tzinfo=timezone(timedelta(hours=1)))


def _received(**changes: object) -> bytes:
    values: dict[str, object] = {
        "helo": "client.example.org",
        "ip": "192.0.2.7",
        "by": "gw.example.org",
        "protocol": "ESMTPS",
        "identity": "0123abcd",
        "moment": MOMENT,
        "tls": "TLSv1.3 TLS_AES_256_GCM_SHA384",
    }
    return received_field(**(values | changes))  # type: ignore[arg-type]


def test_the_trace_field_says_who_when_and_how() -> None:
    assert _received() == (
        b"Received: from client.example.org ([192.0.2.7])\r\n"
        b"\tby gw.example.org with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
        b"\tid 0123abcd; Sun, 1 Nov 2026 09:05:03 +0100\r\n"
    )
    assert b"([IPv6:2001:db8::1])" in _received(ip="2001:db8::1", helo="[IPv6:2001:db8::1]")


@pytest.mark.parametrize(
    "helo",
    [
        "",
        "a b",
        "x\r\nBcc: y",
        "x) by evil",
        "x;y",
        "été",
        "a" * 400,
        "-x",
        "[x",
        "x\n",
        "(c)",
        "x\0",
    ],
)
def test_a_peer_cannot_write_into_the_trace_field(helo: str) -> None:
    assert _received(helo=helo) == _received(helo="unknown")


@pytest.mark.parametrize(
    "changes",
    [
        {"by": "a b"},
        {"by": "x\r\nBcc: y"},
        {"protocol": "esmtp\r\n"},
        {"identity": "a; b"},
        {"ip": "not an address"},
        {"moment": datetime(2026, 1, 1)},  # noqa: DTZ001
    ],
)
def test_values_of_ours_that_do_not_fit_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        _received(**changes)


def test_odd_tls_text_is_left_out() -> None:
    assert _received(tls="x)\r\nBcc: y") == _received(tls="")
    assert _received(moment=MOMENT.astimezone(UTC)).endswith(b"Sun, 1 Nov 2026 08:05:03 +0000\r\n")
