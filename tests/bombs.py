"""Mails made to break whoever reads them. All are below 1 MB but where the size is the point."""

from __future__ import annotations

import base64
import gzip
import random
import zlib
from collections.abc import Callable

JEANNE = "jeanne.moreau@interieur.example"
AMELIE = "amelie.roux@justice.example"

HEAD = f"From: {JEANNE}\r\nTo: {AMELIE}\r\nSubject: bombe\r\nMIME-Version: 1.0\r\n".encode()


def _nested(levels: int, inner: bytes = b"mot\r\n") -> bytes:
    """Multiparts one in the other, each with a boundary of its own."""
    kind = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"
    lines = [HEAD, *(kind % (n, n) for n in range(levels))]
    lines.append(b"Content-Type: text/plain\r\n\r\n" + inner)
    lines += [b"--b%d--\r\n" % n for n in reversed(range(levels))]
    return b"".join(lines)


def _parts(number: int) -> bytes:
    part = b"--x\r\n\r\nmot\r\n"
    return (
        HEAD + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + part * number + b"--x--\r\n"
    )


def _text(charset: bytes, body: bytes, encoding: bytes = b"8bit") -> bytes:
    return (
        HEAD
        + b"Content-Type: text/plain; charset="
        + charset
        + b"\r\nContent-Transfer-Encoding: "
        + encoding
        + b"\r\n\r\n"
        + body
        + b"\r\n"
    )


def _wrapped(data: bytes) -> bytes:
    text = base64.b64encode(data)
    return b"\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))


def _folded(name: bytes, piece: bytes, times: int) -> bytes:
    return name + b": " + b"\r\n ".join([piece] * times) + b"\r\n"


_ADDRESSES = b",\r\n ".join(b"p%d@justice.example" % n for n in range(8000))
_MESSAGES = b"Content-Type: message/rfc822\r\n\r\n"

BOMBS: dict[str, Callable[[], bytes]] = {
    "2,000 nested parts": lambda: _nested(2000),
    "28 kB that make readers recurse": lambda: _nested(500),
    "20,000 parts": lambda: _parts(20_000),
    "8,000 addresses": lambda: HEAD + b"Cc: " + _ADDRESSES + b"\r\n\r\nmot\r\n",
    "a header of 900 kB": lambda: HEAD + b"X-A: b\r\n" * 110_000 + b"\r\nmot\r\n",
    "200,000 header fields": lambda: HEAD + b"X-A: b\r\n" * 200_000 + b"\r\nmot\r\n",
    "a header field of 900 kB": lambda: (
        HEAD + _folded(b"X-Long", b"y" * 70, 12_000) + b"\r\nmot\r\n"
    ),
    "a header name of 900 kB": lambda: HEAD + b"X" * 900_000 + b": y\r\n\r\nmot\r\n",
    "a header without an end": lambda: HEAD + b"X-A: b\r\n" * 10_000,
    "no header field at all after ours": lambda: HEAD + b"pas un champ\r\n\r\nmot\r\n",
    "mails in mails in mails": lambda: HEAD + _MESSAGES * 2000 + b"Subject: s\r\n\r\nmot\r\n",
    "UTF-16 that is not": lambda: _text(b"utf-16", b"\xff\xfe\xd8\xd8mot\xe9" * 3000),
    "UTF-7 that lies": lambda: _text(b"utf-7", b"+AGE-+" * 30_000),
    "a charset that does not exist": lambda: _text(b"x-" + b"n" * 5000, b"\xff\xfe" * 1000),
    "a charset that is a codec": lambda: _text(
        b"zlib_codec", _wrapped(zlib.compress(b"m" * 10**7))
    ),
    "a charset of quadratic cost": lambda: _text(b"punycode", b"a-" * 40_000),
    "ISO-2022 that never ends": lambda: _text(b"iso-2022-jp", b"\x1b$B" * 30_000),
    "base64 that is not": lambda: _text(b"utf-8", b"=" * 100_000 + b"!?" * 100_000, b"base64"),
    "quoted-printable that is not": lambda: _text(b"utf-8", b"=" * 300_000, b"quoted-printable"),
    "a transfer encoding that lies": lambda: _text(b"utf-8", b"mot" * 9, b"x-uuencode"),
    "an archive of zeros": lambda: (
        HEAD
        + b"Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + _wrapped(gzip.compress(bytes(200_000_000), 9))
        + b"\r\n"
    ),
    "the same boundary inside and outside": lambda: (
        HEAD
        + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
        + b"--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" * 3000
        + b"--x--\r\n"
    ),
    "boundaries that begin alike": lambda: (
        HEAD
        + b"Content-Type: multipart/mixed; boundary="
        + b"a" * 60
        + b"\r\n\r\n"
        + (b"--" + b"a" * 61 + b"\r\n") * 12_000
    ),
    "an empty boundary": lambda: (
        HEAD + b'Content-Type: multipart/mixed; boundary=""\r\n\r\n' + b"--\r\n\r\nmot\r\n" * 20_000
    ),
    "a boundary of 70 dashes": lambda: (
        HEAD
        + b"Content-Type: multipart/mixed; boundary="
        + b"-" * 70
        + b"\r\n\r\n"
        + b"-" * 72 * 10_000
        + b"\r\n"
    ),
    "30,000 parameters": lambda: (
        HEAD + _folded(b"Content-Type", b"text/plain; a*0*=utf-8''x;", 30_000) + b"\r\nmot\r\n"
    ),
    "comments in Content-Type": lambda: (
        HEAD
        + b"Content-Type: "
        + b"(" * 50_000
        + b"text/plain"
        + b")" * 50_000
        + b"\r\n\r\nmot\r\n"
    ),
    "encoded words by the thousand": lambda: (
        HEAD.replace(b"bombe", b"bombe\r\n " + b"\r\n ".join([b"=?utf-8?q?=41?="] * 20_000))
        + b"\r\nmot\r\n"
    ),
    "nested comments in To": lambda: (
        HEAD + b"Cc: " + b"(" * 10_000 + b")" * 10_000 + b" a@justice.example\r\n\r\nmot\r\n"
    ),
    "a group without an end": lambda: HEAD + b"Cc: g:" + b"h:" * 20_000 + b"\r\n\r\nmot\r\n",
    "HTML that nests": lambda: (
        HEAD
        + b"Content-Type: text/html\r\n\r\n"
        + b"<b id=a><p><table><tr><td>" * 20_000
        + b"mot\r\n"
    ),
    "HTML that never closes": lambda: (
        HEAD + b"Content-Type: text/html\r\n\r\n" + b"<a b='<!--<script" * 40_000 + b"mot\r\n"
    ),
    "a date from nowhere": lambda: HEAD + b"Date: " + b"9" * 50_000 + b" Jan 99999\r\n\r\nmot\r\n",
    "noise": lambda: HEAD + b"\r\n" + _wrapped(random.Random(1).randbytes(600_000)) + b"\r\n",
}

# Whose From nobody can tell: they are refused at the port, in words, and nothing is stored.
NO_AUTHOR: dict[str, Callable[[], bytes]] = {
    "10,000 nested comments in From": lambda: (
        b"From: " + b"(" * 10_000 + b")" * 10_000 + HEAD[6:] + b"\r\nmot\r\n"
    ),
    "10,000 From fields": lambda: HEAD[: HEAD.index(b"To:")] * 10_000 + HEAD + b"\r\nmot\r\n",
    "8,000 addresses in From": lambda: b"From: " + _ADDRESSES + b"\r\n\r\nmot\r\n",
    "a From that never ends": lambda: b"From: " + b'"' * 100_001 + HEAD[6:] + b"\r\nmot\r\n",
}
