"""A header that makes its reader busy: what happens before the 250 takes time in proportion.

The bounds are some hundred times what it takes; without the limits each took minutes, in which
the process answered nobody.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from gateway.accept import sealed_headers
from gateway.mime.authors import authorship
from gateway.mime.entity import split
from gateway.mime.headers import HeaderAmbiguous

FROM = b"From: anna@a.example\r\n"


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    begun = time.process_time()
    yield
    assert time.process_time() - begun < 10


@pytest.mark.parametrize(
    "header",
    [
        b"Resent-From: " + b", ".join(b"a%d@a.example" % n for n in range(5_000)) + b" (@)",
        b"Resent-Sender: anna@a.example\r\n" * 5_000,
    ],
    ids=["authors in a field", "fields with authors"],
)
def test_a_header_nobody_would_write_is_refused_quickly(header: bytes) -> None:
    with pytest.raises(HeaderAmbiguous, match="more than 100"):
        authorship(split(FROM + header + b"\r\n\r\n"))


def test_comments_in_comments_are_read_over_quickly() -> None:
    header = b"Content-Type: text/plain " + b"(" * 40_000 + b")" * 40_000
    assert authorship(split(FROM + header + b"\r\n\r\n"))


def test_a_hundred_people_may_resend_a_mail() -> None:
    people = b", ".join(b"a%d@a.example" % n for n in range(100))
    found = authorship(split(FROM + b"Resent-From: " + people + b"\r\n\r\n"))
    assert len(found.others) == 100


def test_each_of_many_fields_of_one_name_is_kept() -> None:
    fields = b"".join(b"To: a%d@a.example\r\n" % n for n in range(40_000))

    kept = sealed_headers(split(FROM + b"Tomato: x\r\n" + fields + b"Cc: c@a.example\r\n\r\n"))

    assert len(kept) == 40_002
    assert kept["header.to"] == b"a0@a.example"
    assert [kept[f"header.to.{n}"] for n in (1, 39_999)] == [b"a1@a.example", b"a39999@a.example"]
    assert kept["header.cc"] == b"c@a.example"
