"""Verification finds every change, and names the first damaged entry."""

from __future__ import annotations

import random
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive import models, store
from archive.chain import Walk, link, start
from archive.entry import decode, new_archive_id
from archive.errors import LogMissing
from archive.fsck import verify
from archive.seal import generate_recipient, load_private_key
from archive.store import Draft
from gateway.database import open_database
from tests.unit.archive_world import MAIL, MOMENT, World

MAILS = 4  # of three entries each


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("fsck")) as world:
        world.fill(MAILS, outside=1)
        yield world


@pytest.fixture
def world(filled: World, tmp_path: Path) -> Iterator[World]:
    """A copy of the filled archive that may be damaged."""
    for path in filled.folder.glob("archive.db*"):
        shutil.copy(path, tmp_path)
    copy = World.__new__(World)
    copy.__dict__.update(filled.__dict__)
    copy.database = open_database(f"sqlite:///{tmp_path}/archive.db")
    with copy:
        yield copy


def test_an_untouched_archive_is_valid_with_and_without_a_key(world: World) -> None:
    report = world.verify()
    assert (report.status, report.entries, report.first_bad) == ("valid", 3 * MAILS, None)
    assert report.opened is None
    assert world.verify(open_with=world.authority).opened == MAILS
    assert world.verify(since=5).entries == 3 * MAILS - 5


def test_a_key_that_opens_nothing_leaves_the_verdict_open(world: World, tmp_path: Path) -> None:
    generate_recipient("stranger", tmp_path / "s.pub", tmp_path / "s.key")
    report = world.verify(open_with=load_private_key(tmp_path / "s.key"))
    assert (report.status, report.opened) == ("indeterminate", 0)


def test_an_erased_working_wrap_is_no_damage(world: World) -> None:
    assert world.change("DELETE FROM log_working_wraps") == MAILS
    assert world.verify().status == "valid"
    assert world.verify(open_with=world.gateway).status == "indeterminate"


COLUMNS = [
    (table.name, column.name) for table in models.metadata.sorted_tables for column in table.columns
]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_one_flipped_bit_anywhere_is_found(world: World, table: str, column: str) -> None:
    """Rows are changed as a failing disk or an administrator would; each flip is put back."""
    rng = random.Random(f"{table}.{column}")
    primary = [c.name for c in models.metadata.tables[table].primary_key]
    key_columns = ", ".join(primary)
    for _ in range(12):
        with world.database.read() as conn:
            rows = conn.exec_driver_sql(f"SELECT {key_columns}, {column} FROM {table}").all()
        rows = [row for row in rows if row[-1] != b""]  # that one lies in a blob
        *key, value = rng.choice(rows)
        if isinstance(value, int):
            changed: object = value ^ (1 << rng.randrange(8))
        else:
            data = bytearray(value.encode() if isinstance(value, str) else value)
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(7)
            changed = data.decode() if isinstance(value, str) else bytes(data)
        where = " AND ".join(f"{name} = ?" for name in primary)
        new_key = [changed if name == column else k for name, k in zip(primary, key, strict=True)]
        if column in primary and tuple(new_key) in {tuple(row[:-1]) for row in rows}:
            continue  # the flip makes it a row that is there already: the database refuses it
        statement = f"UPDATE {table} SET {column} = ? WHERE {where}"
        assert world.change(statement, changed, *key) == 1
        report = world.verify()
        assert report.status == "invalid", (key, value, changed)
        assert report.problems
        assert world.change(statement, value, *new_key) == 1
    assert world.verify().status == "valid"


@pytest.mark.parametrize("index", range(3 * MAILS))
def test_the_first_damaged_entry_is_named(world: World, index: int) -> None:
    with world.database.read() as conn:
        stored = next(
            iter(
                conn.exec_driver_sql(
                    "SELECT entry FROM log_entries WHERE entry_index = ?", (index,)
                )
            )
        )[0]
    # Still a well-formed entry: only the chain can tell.
    forged = stored.replace(b"19:00:00.000000Z", b"18:59:59.000000Z")
    decode(forged)
    world.change("UPDATE log_entries SET entry = ? WHERE entry_index = ?", forged, index)
    report = world.verify()
    assert (report.status, report.first_bad) == ("invalid", index)
    assert len(report.problems) == 1


@pytest.mark.parametrize(
    ("statement", "first_bad", "code"),
    [
        ("DELETE FROM log_entries WHERE entry_index = 0", 0, "chain.gap"),
        ("DELETE FROM log_entries WHERE entry_index IN (4, 5)", 4, "chain.gap"),
        ("DELETE FROM log_entries WHERE entry_index = 11", 11, "log.head-disagrees"),
        ("DELETE FROM log_entries", 0, "log.head-disagrees"),
        ("UPDATE log_head SET size = 10", 10, "log.head-disagrees"),
        ("DELETE FROM log_payloads", 0, "payload.missing"),
        ("DELETE FROM log_contents", 0, "content.missing"),
        ("DELETE FROM log_content_keys", 0, "content.changed"),
        (
            "UPDATE log_entries SET entry_index = -1 WHERE entry_index = 7;",
            7,
            "chain.gap",
        ),
    ],
)
def test_what_is_removed_is_missed(world: World, statement: str, first_bad: int, code: str) -> None:
    world.change(statement)
    report = world.verify()
    assert (report.status, report.first_bad) == ("invalid", first_bad)
    assert code in {problem.code for problem in report.problems}


def test_two_entries_that_changed_places_are_found(world: World) -> None:
    for old, new in ((3, 100), (4, 3), (100, 4)):
        world.change("UPDATE log_entries SET entry_index = ? WHERE entry_index = ?", new, old)
    report = world.verify()
    assert (report.status, report.first_bad) == ("invalid", 3)


def test_rows_that_no_entry_explains_are_found(world: World) -> None:
    world.change("INSERT INTO log_contents VALUES (?, ?, ?)", "f" * 32, b"x", b"y")
    world.change("INSERT INTO log_content_keys VALUES (?, ?, ?)", "e" * 32, "h", b"y")
    report = world.verify()
    assert [problem.code for problem in report.problems] == ["log.stray"] * 2
    assert report.first_bad is None


def test_damage_before_the_asked_part_is_not_looked_for(world: World) -> None:
    world.change("UPDATE log_entries SET entry = ? WHERE entry_index = 2", b"junk")
    assert world.verify(since=4).status == "valid"
    assert world.verify().first_bad == 2
    beyond = world.verify(since=1000)
    assert (beyond.status, beyond.entries) == ("indeterminate", 0)
    assert beyond.problems[0].code == "log.since"


def test_a_seal_over_other_content_is_found_with_the_key_only(world: World) -> None:
    """An inside job: the gateway sealed other bytes than it committed to."""
    sealed = world.seal(MAIL)
    lie = type(sealed)(
        **{name: getattr(sealed, name) for name in sealed.__slots__} | {"content_sha256": "0" * 64}
    )
    world.append(Draft("accepted", "ministere", lie.archive_id, {"a": b"b"}, lie))
    assert world.verify().status == "valid"
    report = world.verify(open_with=world.authority)
    assert (report.status, report.first_bad) == ("invalid", 3 * MAILS)


def test_a_database_without_a_log_says_so(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/empty.db")
    with database.write() as conn:
        models.metadata.create_all(conn)
        with pytest.raises(LogMissing):
            verify(conn)
    database.close()


def test_memory_stays_small_on_a_long_log(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        for _ in range(5):
            world.append(
                *(Draft("noted", "o", new_archive_id(), {"text": b"x" * 200}) for _ in range(1000))
            )
        seen: list[tuple[int, int]] = []
        tracemalloc.start()
        with world.database.read() as conn:
            report = verify(conn, progress=lambda *so_far: seen.append(so_far))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert report.status == "valid"
        assert report.entries == 5000
        assert seen[-1] == (5000, 5000)
        assert peak < 4 << 20  # 5,000 entries and payloads are 5 MB


def test_walk_blames_the_entry_and_not_its_neighbour() -> None:
    tip, raws = start("t/a"), []
    for _ in range(6):
        _, data, tip = link(
            tip, time=MOMENT, kind="k", org="o", archive_id="0" * 32, commitment="0" * 64
        )
        raws.append(data)
    for index in range(6):
        walk = Walk(start("t/a"))
        faults = []
        for place, data in enumerate(raws):
            changed = data.replace(b'"org":"o"', b'"org":"p"') if place == index else data
            faults += walk.step(changed)[1]
        faults += walk.finish(tip)
        assert [fault.index for fault in faults] == [index]


def test_history_never_shows_a_payload_that_was_changed(world: World) -> None:
    with world.database.read() as conn:
        archive_id = next(store.read_entries(conn)).id
        records = store.history(conn, archive_id)
    assert [one.entry.kind for one in records] == ["accepted", "sealed", "delivered"]
    assert records[0].value("envelope.from") == b"a@ministere.example"
    assert records[0].value("header.subject") is None


@pytest.mark.parametrize(
    ("statement", "first_bad"),
    [
        ("UPDATE log_entries SET archive_id = {bad} WHERE entry_index = 4", 4),
        ("UPDATE log_entries SET entry = 'text' WHERE entry_index = 4", 4),
        ("UPDATE log_entries SET entry = 17 WHERE entry_index = 4", 4),
        ("UPDATE log_entries SET entry_index = 'text' WHERE entry_index = 4", 4),
        ("UPDATE log_content_keys SET holder = {bad} || holder", 0),
        ("UPDATE log_working_wraps SET wrapped = 'text' WHERE archive_id = {sixth}", 6),
        ("UPDATE log_contents SET sealed = 'text' WHERE archive_id = {sixth}", 6),
        ("UPDATE log_contents SET sealed_fields = 1.5 WHERE archive_id = {sixth}", 6),
        ("UPDATE log_payloads SET payload = 'text'", 0),
        ("UPDATE log_head SET prev = {bad}", None),
        ("UPDATE log_head SET origin = 'not an origin'", None),
        ("UPDATE log_head SET size = 'text'", None),
        ("UPDATE log_head SET epoch = 'text'", None),
    ],
)
def test_what_is_not_even_of_the_right_type_is_damage_too(
    world: World, statement: str, first_bad: int | None
) -> None:
    """A flipped high bit makes text that is not UTF-8; SQLite takes any type anywhere."""
    sixth = "(SELECT archive_id FROM log_entries WHERE entry_index = 6)"
    world.change(statement.format(bad="CAST(x'e9' AS TEXT)", sixth=sixth))
    report = world.verify(open_with=world.authority)
    assert (report.status, report.first_bad) == ("invalid", first_bad)
    assert report.problems[0].text
