"""Reading is logged first, or nothing is served (I7)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from archive import store
from archive.access import find, read_content, read_fields
from archive.errors import Damaged, NotInArchive, ReadRefused, SearchError
from archive.index import Extracted, Indexer
from archive.seal import PrivateKeyUnwrapper, Wrap
from archive.store import Draft
from gateway.database import Database
from tests.unit.archive_world import MAIL, World


@pytest.fixture
def world(tmp_path: Path, database: Database) -> Iterator[World]:
    with World(tmp_path, database) as world:
        yield world


def kinds(world: World) -> list[str]:
    with world.database.read() as conn:
        return [one.kind for one in store.read_entries(conn)]


class Watching:
    """An unwrapper that notes what the log said when the key was used."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.inner: PrivateKeyUnwrapper = world.authority
        self.seen: list[list[str]] = []

    def unwrap(self, archive_id: str, wrap: Wrap) -> bytes:
        self.seen.append(kinds(self.world))
        return self.inner.unwrap(archive_id, wrap)


def test_the_log_says_who_reads_before_the_key_is_used(world: World) -> None:
    mail = world.accepted()
    world.append(mail)
    watching = Watching(world)
    content = read_content(
        lambda drafts: world.append(*drafts),
        world.database.read,
        mail.archive_id,
        watching,
        reader="Juge Dupont",
        case="PNF-2026-17",
    )
    assert content == MAIL
    assert watching.seen
    assert all(seen == ["accepted", "read"] for seen in watching.seen)
    with world.database.read() as conn:
        record = store.history(conn, mail.archive_id)[-1]
    assert record.entry.org == "ministere"
    assert record.value("reader") == b"Juge Dupont"
    assert record.value("case") == b"PNF-2026-17"
    assert record.value("what") == b"content"


def test_header_fields_are_read_without_the_content_and_logged_as_such(world: World) -> None:
    mail = world.accepted()
    world.append(mail)
    world.change("UPDATE log_contents SET sealed = ?", b"\0")
    found = read_fields(
        lambda drafts: world.append(*drafts),
        world.database.read,
        mail.archive_id,
        world.authority,
        reader="r",
        case="c",
    )
    assert found["header.subject"].value == "Décision".encode()
    assert kinds(world)[-1] == "read"


def test_when_the_log_cannot_be_written_nothing_is_opened(world: World) -> None:
    mail = world.accepted()
    world.append(mail)

    def full(_drafts: list[Draft]) -> None:
        raise OSError("disk full")

    watching = Watching(world)
    with pytest.raises(OSError, match="disk full"):
        read_content(full, world.database.read, mail.archive_id, watching, reader="r", case="c")
    assert watching.seen == []


@pytest.mark.parametrize(("reader", "case"), [("", "c"), ("r", ""), (" ", "c")])
def test_no_reading_without_a_reason(world: World, reader: str, case: str) -> None:
    mail = world.accepted()
    world.append(mail)
    with pytest.raises(ReadRefused):
        read_content(
            lambda drafts: world.append(*drafts),
            world.database.read,
            mail.archive_id,
            world.authority,
            reader=reader,
            case=case,
        )
    assert kinds(world) == ["accepted"]


def test_changed_bytes_are_not_served(world: World) -> None:
    """A stored mail exchanged for another one, seals and all."""
    one, two = world.accepted(b"one"), world.accepted(b"two")
    world.append(one, two)
    for table in ("log_contents", "log_content_keys"):
        world.change(f"DELETE FROM {table} WHERE archive_id = ?", one.archive_id)
        world.change(f"UPDATE {table} SET archive_id = ?", one.archive_id)
    with pytest.raises(Damaged):
        read_content(
            lambda drafts: world.append(*drafts),
            world.database.read,
            one.archive_id,
            world.authority,
            reader="r",
            case="c",
        )


@pytest.mark.parametrize("archive_id", ["0" * 32, "../x", "%", "é" * 99])
def test_what_is_not_there_is_not_logged_as_read(world: World, archive_id: str) -> None:
    with pytest.raises(NotInArchive):
        read_content(
            lambda drafts: world.append(*drafts),
            world.database.read,
            archive_id,
            world.authority,
            reader="r",
            case="c",
        )
    assert kinds(world) == []


def test_a_search_is_one_entry_even_if_it_finds_nothing(world: World, tmp_path: Path) -> None:
    world.append(world.accepted())

    def extract(_raw: bytes) -> Extracted:
        return Extracted("Décision", ("a@x.example",), (), "texte", (), None)

    indexer = Indexer(tmp_path / "index", extract, world.database.read, world.gateway)
    indexer.step()
    indexer.close()
    for query, hits in (("decision", 1), ("absent", 0)):
        found = find(
            lambda drafts: world.append(*drafts),
            tmp_path / "index",
            query,
            org="ministere",
            reader="r",
            case="c",
        )
        assert len(found) == hits
    assert kinds(world) == ["accepted", "searched", "searched"]
    with pytest.raises(SearchError):
        find(
            lambda drafts: world.append(*drafts),
            tmp_path / "index",
            "(",
            org="ministere",
            reader="r",
            case="c",
        )
