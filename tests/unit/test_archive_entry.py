"""Log entries: one canonical form, and nothing else is read."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive import entry as entries
from archive.entry import Entry, decode, encode
from archive.errors import EntryMalformed

GOOD = Entry(
    origin="sceau.test/a",
    epoch=0,
    index=7,
    time=datetime(2026, 11, 21, 19, 0, tzinfo=UTC),
    kind="accepted",
    org="ministere",
    id="00112233445566778899aabbccddeeff",
    prev="ab" * 32,
    commitment="cd" * 32,
)

entry_values = st.builds(
    Entry,
    origin=st.from_regex(r"[a-z.]{1,20}/[!#-*,-\[\]-~]{1,9}", fullmatch=True),
    epoch=st.integers(0, 2**53 - 1),
    index=st.integers(0, 2**53 - 1),
    time=st.datetimes(timezones=st.just(UTC)),
    kind=st.from_regex(r"[a-z]{1,9}([.-][a-z0-9]{1,9})?", fullmatch=True),
    org=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
    id=st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    prev=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    commitment=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
)


@given(entry_values)
def test_every_entry_is_written_as_rfc_8785_says_and_read_back(entry: Entry) -> None:
    data = encode(entry)
    assert decode(data) == entry
    # The general rule, by another road: sorted keys, no blanks, minimal escapes.
    fields = {name: getattr(entry, name) for name in Entry.__slots__}
    fields["time"] = entries.format_time(entry.time)
    general = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert data == general.encode()


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(EntryMalformed):
        decode(data)


@given(st.integers(0, len(encode(GOOD)) * 8 - 1))
def test_a_flipped_bit_never_reads_as_the_same_entry(bit: int) -> None:
    data = bytearray(encode(GOOD))
    data[bit // 8] ^= 1 << bit % 8
    with suppress(EntryMalformed):
        assert decode(bytes(data)) != GOOD


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text.replace('":', '": ', 1),
        lambda text: text.replace('"v":1', '"v":1,"v":1'),
        lambda text: text.replace('"v":1', '"v":1.0'),
        lambda text: text.replace('"v":1', '"v":2'),
        lambda text: text.replace('"v":1', '"v":true'),
        lambda text: text.replace('"v":1', '"v":1,"w":1'),
        lambda text: text.replace('"epoch":0', '"epoch":00'),
        lambda text: text.replace('"epoch":0', '"epoch":-0'),
        lambda text: text.replace('"index":7', '"index":9007199254740992'),
        lambda text: text.replace('"index":7', '"index":"7"'),
        lambda text: text.replace('"index":7', '"index":' + "7" * 5000),
        lambda text: text.replace(',"v":1', ""),
        lambda text: text.replace("ministere", "minist\\u0065re"),
        lambda text: text.replace("ministere", "minist\u00e8re"),
        lambda text: text.replace("abab", "ABAB", 1),
        lambda text: text.replace("19:00:00.000000Z", "19:00:00Z"),
        lambda text: text.replace("19:00:00.000000Z", "25:00:00.000000Z"),
        lambda text: text.replace('"kind":"accepted"', '"kind":["accepted"]'),
        lambda text: text + text,
        lambda text: "[" * 100_000,
    ],
)
def test_another_spelling_of_an_entry_is_refused(damage) -> None:
    with pytest.raises(EntryMalformed):
        decode(damage(encode(GOOD).decode()).encode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("origin", 'a"b'),
        ("origin", "a b"),
        ("origin", "a+b"),
        ("origin", ""),
        ("kind", "Accepted"),
        ("kind", "accepted\n"),
        ("org", "ministère"),
        ("id", "0" * 31),
        ("id", "A" * 32),
        ("prev", ""),
        ("index", -1),
        ("index", 2**53),
        ("index", True),
        ("time", datetime(2026, 11, 21)),  # noqa: DTZ001
        ("time", datetime(2026, 11, 21, tzinfo=timezone(timedelta(hours=1)))),
    ],
)
def test_no_entry_comes_to_be_that_could_not_be_read(name: str, value: object) -> None:
    with pytest.raises(EntryMalformed, match=name):
        Entry(**{slot: getattr(GOOD, slot) for slot in Entry.__slots__} | {name: value})


def test_kinds_that_come_later_are_not_refused() -> None:
    for kind in ("read", "checkpoint.cosigned", "hold-2"):
        data = encode(GOOD).replace(b"accepted", kind.encode())
        assert decode(data).kind == kind


def test_hashes_are_those_of_the_design() -> None:
    data = encode(GOOD)
    assert entries.entry_hash(data) == hashlib.sha256(data).hexdigest()
    assert entries.leaf_hash(data) == hashlib.sha256(b"\0" + data).hexdigest()
    assert entries.first_prev("a/b") == hashlib.sha256(b"a/b").hexdigest()


def test_archive_ids_are_random_and_safe_everywhere() -> None:
    ids = {entries.new_archive_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(entries.is_archive_id(one) and one.isalnum() for one in ids)
