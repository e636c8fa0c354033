"""What every blob store promises (`archive.blobs.BlobStore`), as tests for each of them."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from archive.blob_names import MARKER, blob_name
from archive.blobs import BlobStore
from archive.errors import BlobMissing, BlobTrouble

TODAY = datetime(2026, 11, 21, 23, 59, tzinfo=UTC)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(store: BlobStore, data: bytes, moment: datetime = TODAY) -> str:
    name = blob_name(digest(data), moment)
    store.put(name, data, digest(data))
    return name


def mark(store: BlobStore, whose: bytes = b"test") -> None:
    store.put(MARKER, whose, digest(whose))


class BlobStoreContract:
    """Give it fixtures: `store` (empty, not marked) and `again` (another client of the same)."""

    def test_what_was_put_is_given_back(self, store: BlobStore, again: BlobStore) -> None:
        mark(store)
        for data in (b"x", b"\x00\r\n\xff" * 1000, bytes(range(256)) * 12_000):
            name = put(store, data)
            assert store.get(name) == data
            assert again.get(name) == data

    def test_the_same_may_be_put_again(self, store: BlobStore) -> None:
        mark(store)
        name = put(store, b"once")
        assert put(store, b"once") == name
        assert store.get(name) == b"once"
        assert [one.name for one in store.names("2026-11-21")] == [name]

    def test_many_at_once(self, store: BlobStore, again: BlobStore) -> None:
        mark(store)
        data = [b"%d" % n * 30_000 for n in range(12)]
        with ThreadPoolExecutor(6) as threads:
            names = list(threads.map(lambda n: put((store, again)[n % 2], data[n]), range(12)))
            assert list(threads.map(store.get, names)) == data

    def test_what_is_not_there_is_missing(self, store: BlobStore) -> None:
        mark(store)
        with pytest.raises(BlobMissing, match="2026-11-21/0"):
            store.get("2026-11-21/" + "0" * 64)
        with pytest.raises(BlobMissing):
            store.get("2020-01-01/" + "0" * 64)

    def test_what_was_deleted_is_missing_and_may_be_deleted_again(self, store: BlobStore) -> None:
        mark(store)
        name = put(store, b"soon gone")
        store.delete(name)
        store.delete(name)
        store.delete("2020-01-01/" + "0" * 64)
        with pytest.raises(BlobMissing):
            store.get(name)

    def test_names_come_by_day_with_size_and_age(self, store: BlobStore) -> None:
        mark(store)
        assert store.days() == []
        first = put(store, b"one")
        second = put(store, b"three")
        other = put(store, b"next day", TODAY + timedelta(days=1))
        assert store.days() == ["2026-11-21", "2026-11-22"]
        found = {one.name: one for one in store.names("2026-11-21")}
        assert found.keys() == {first, second}
        assert (found[first].size, found[second].size) == (3, 5)
        for one in found.values():
            assert timedelta(seconds=-2) < one.age < timedelta(seconds=60)
            assert not one.unfinished
        assert [one.name for one in store.names("2026-11-22")] == [other]

    def test_many_names(self, store: BlobStore) -> None:
        mark(store)
        with ThreadPoolExecutor(8) as threads:
            names = list(threads.map(lambda n: put(store, b"%d" % n), range(50)))
        assert {one.name for one in store.names("2026-11-21")} == set(names)

    def test_the_first_mark_stays(self, store: BlobStore, again: BlobStore) -> None:
        mark(store, b"one.example/archive")
        mark(again, b"two.example/archive")
        assert store.get(MARKER) == again.get(MARKER) == b"one.example/archive"

    def test_names_that_are_none_touch_nothing(self, store: BlobStore) -> None:
        """A name comes from a database that somebody else may have written to."""
        mark(store)
        for name in ("../../etc/passwd", "2026-11-21/../origin", "/etc/passwd", "2026-11-21/x", ""):
            with pytest.raises((BlobMissing, BlobTrouble)):
                store.get(name)
            with pytest.raises((BlobMissing, BlobTrouble)):
                store.put(name, b"x", digest(b"x"))
            with pytest.raises((BlobMissing, BlobTrouble)):
                store.delete(name)
        assert store.get(MARKER) == b"test"
