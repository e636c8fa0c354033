"""Headers that cost more than they are long: an intake that reads one answers nobody else.

To put combining marks in order (UAX #15) takes time with the square of their number: one such From
stopped an intake for minutes, one such Subject a worker, one such certificate a verification. A
header of millions of fields, or a Content-Type of millions of comments, took gigabytes.
"""

from __future__ import annotations

import time
import tracemalloc
from base64 import b64encode

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from gateway.mime.authors import authorship
from gateway.mime.entity import FIELD_LIMIT, split
from gateway.mime.headers import HeaderAmbiguous
from gateway.policy.folding import fold
from pki.names import name_key

# In the worst order there is: each of the second half belongs before all of the first.
MARKS = "e" + "\u0301" * 30_000 + "\u0323" * 30_000
SECONDS = 8.0  # quadratic, they take that for each reading, and are read twice


@pytest.fixture(autouse=True)
def quickly() -> object:
    begun = time.process_time()
    yield
    assert time.process_time() - begun < SECONDS


@pytest.mark.parametrize("field", [b"From: ", b"Sender: ", b"Resent-From: "])
def test_the_names_of_authors(field: bytes) -> None:
    word = b"=?utf-8?b?" + b64encode(MARKS.encode()) + b"?="
    for name in (b'"' + MARKS.encode() + b'"', word):
        author = b"From: alice@example.org\r\n" if field != b"From: " else b""
        header = author + field + name + b" <alice@example.org>\r\n"

        assert authorship(split(header + b"\r\n")).author == "alice@example.org"


def test_a_mask_behind_them_is_still_seen() -> None:
    """U+FF20 is an @ for who sees it."""
    name = ("boss\uff20bank.example " + MARKS).encode()

    with pytest.raises(HeaderAmbiguous, match="shows another address"):
        authorship(split(b'From: "' + name + b'" <alice@example.org>\r\n\r\n'))


def test_subjects_as_the_policy_compares_them() -> None:
    assert fold(MARKS + "a\u0301") == "ea"
    assert fold("ÉTÉ ﬁnal\u00ad \u1e69") == "ete final s"


def test_names_in_certificates() -> None:
    def key(text: str) -> object:
        attribute = x509.NameAttribute(NameOID.TITLE, text)
        return name_key(x509.Name([attribute]))

    assert key(MARKS) == key(MARKS)
    assert key(MARKS) != key(MARKS[:-1])
    assert key("E\u0301va  B") == key("éva b")


FROM = b"From: alice@example.org\r\n"
FLOOD = b"ab:\r\n" * 300_000


def refused(mail: bytes) -> str:
    """Why nobody is its author, in little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(HeaderAmbiguous) as caught:
            authorship(split(mail))
        assert tracemalloc.get_traced_memory()[1] < 30_000_000 + 3 * len(mail)
    finally:
        tracemalloc.stop()
    return str(caught.value)


def test_millions_of_fields() -> None:
    message = split(FROM + FLOOD + b"\r\nbody\r\n")

    assert len(message.fields) == FIELD_LIMIT + 1
    assert b"".join(field.raw for field in message.fields) == FROM + FLOOD
    assert bytes(message.body) == b"body\r\n"
    assert "not a header field" in refused(FROM + FLOOD + b"\r\n")
    assert "not a header field" in refused(
        FROM + b"Content-Type: message/rfc822\r\n\r\n" + FROM + FLOOD + b"\r\n"
    )


def test_as_many_fields_as_there_may_be() -> None:
    header = FROM + b"ab:\r\n" * (FIELD_LIMIT - 1)

    assert authorship(split(header + b"\r\n")).author == "alice@example.org"
    assert "not a header field" in refused(header + b"Sender: eve@example.org\r\n\r\n")


@pytest.mark.parametrize(
    "field",
    [
        b"From: (" + b"\\(" * 500_000 + b") alice@example.org\r\n",
        FROM + b"Content-Type: message" + b"()" * 500_000 + b"/rfc822\r\n",
        FROM + b"Sender: " + b"=?utf-8?q?a?= =?utf-7?q?b?= " * 50_000 + b"<a@example.org>\r\n",
        FROM + (b"Resent-From: " + b"x " * 4_000 + b"<a@example.org>\r\n") * 99,
    ],
    ids=["comments", "type", "words", "many"],
)
def test_fields_that_name_the_author_and_never_end(field: bytes) -> None:
    assert "too long" in refused(field + b"\r\n")
