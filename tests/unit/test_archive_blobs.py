"""Content in blobs: kept, fetched, verified, swept; and stores that are the wrong one or away."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from archive import store, sweep
from archive.access import read_content, read_fields
from archive.appender import Appender
from archive.blob_folder import FolderStore
from archive.blobs import Blobs, Stored, filled
from archive.errors import BlobMissing, BlobStoreForeign, BlobTrouble, Damaged, Problem
from archive.fields import decode_payload
from archive.index import Extracted, Indexer, unreadable
from archive.models import log_blobs
from archive.reading import InFlight, load_in_flight, load_sealed
from archive.seal import open_content, open_fields
from archive.sweep import Sweeper
from tests.unit.archive_world import MAIL, MOMENT, ORIGIN, World

DAY = timedelta(days=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


@pytest.fixture
def folder(world: World) -> Path:
    return world.folder / "blobs"


def files(folder: Path) -> list[str]:
    return sorted(f"{path.parent.name}/{path.name}" for path in folder.glob("*-*-*/*"))


def large(world: World) -> str:
    draft = world.accepted(outside=True)
    world.append(draft)
    return draft.archive_id


def load(world: World, archive_id: str) -> bytes:
    with world.database.read() as conn:
        sealed = load_sealed(conn, archive_id)
    return open_content(filled(sealed, world.blobs), world.authority)


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def sweeper(world: World, *, after: timedelta = DAY) -> Sweeper:
    return Sweeper(world.blobs, world.database.read, world.database.write, after=after)


def grow_old(path: Path, age: timedelta = 2 * DAY) -> None:
    stamp = path.stat().st_mtime - age.total_seconds()
    os.utime(path, (stamp, stamp))


# -- keeping and fetching --


def test_the_row_names_the_blob_and_the_log_commits_to_the_same_hash(
    world: World, folder: Path
) -> None:
    archive_id = large(world)
    (name,) = files(folder)
    with world.database.read() as conn:
        (row,) = conn.exec_driver_sql("SELECT name, archive_id FROM log_blobs").all()
        ((stored,),) = conn.exec_driver_sql("SELECT sealed FROM log_contents").all()
        record = store.history(conn, archive_id)[0]
    assert tuple(row) == (name, archive_id)
    assert stored == b""
    assert name == "2026-11-21/" + record.value("sealed.sha256").decode()
    assert load(world, archive_id) == MAIL


def test_where_content_lies_changes_nothing_the_log_commits_to(world: World) -> None:
    sealed = world.seal()
    inside = store.prepare(store.Draft("accepted", "o", sealed.archive_id, {}, sealed))
    kept = world.blobs.keep(sealed, MOMENT)
    outside = store.prepare(store.Draft("accepted", "o", sealed.archive_id, {}, kept))
    names = ("content.sha256", "content.size", "sealed.sha256", "wraps.sha256")
    for name in names:
        assert _value(inside.payload, name) == _value(outside.payload, name)


def _value(payload: bytes, name: str) -> object:
    return decode_payload(payload)[name].value  # type: ignore[union-attr]


def test_mail_in_flight_is_opened_from_its_blob(world: World) -> None:
    draft = world.accepted(outside=True)
    world.append(draft)
    assert draft.sealed is not None
    mail = InFlight(draft.archive_id, draft.sealed.content_sha256, len(MAIL))
    with world.database.read() as conn:
        sealed = load_in_flight(conn, [mail])[draft.archive_id]
    assert open_content(filled(sealed, world.blobs), world.gateway) == MAIL


def test_without_its_store_content_is_not_called_damaged(world: World) -> None:
    archive_id = large(world)
    with world.database.read() as conn:
        sealed = load_sealed(conn, archive_id)
    with pytest.raises(BlobTrouble, match="none is configured"):
        open_content(filled(sealed, None), world.authority)
    assert open_fields(sealed, world.authority)["header.subject"].value == "Décision".encode()


def test_a_blob_that_was_changed_is_never_served(world: World, folder: Path) -> None:
    archive_id = large(world)
    damage(folder / files(folder)[0])
    with pytest.raises(Damaged, match="hash"):
        load(world, archive_id)


def test_a_blob_that_is_gone_is_missing_and_a_store_that_is_gone_is_trouble(
    world: World, folder: Path
) -> None:
    archive_id = large(world)
    (name,) = files(folder)
    (folder / name).rename(folder / "aside")
    with pytest.raises(BlobMissing):
        load(world, archive_id)
    (folder / "aside").rename(folder / name)
    folder.rename(folder.with_name("unmounted"))
    folder.mkdir()
    with pytest.raises(BlobTrouble, match="mounted"):
        load(world, archive_id)
    assert list(folder.iterdir()) == []


def test_a_store_in_trouble_is_left_alone_for_a_while(world: World, folder: Path) -> None:
    archive_id = large(world)
    clock = [0.0]
    blobs = Blobs(
        FolderStore(folder), origin=ORIGIN, above=1, in_use=lambda: True, monotonic=lambda: clock[0]
    )
    with world.database.read() as conn:
        sealed = load_sealed(conn, archive_id)
    folder.rename(folder.with_name("away"))
    with pytest.raises(BlobTrouble):
        filled(sealed, blobs)
    folder.with_name("away").rename(folder)
    with pytest.raises(BlobTrouble):
        filled(sealed, blobs)  # not asked
    clock[0] = 60
    assert open_content(filled(sealed, blobs), world.authority) == MAIL


def test_a_store_of_another_log_is_not_touched(world: World, folder: Path) -> None:
    large(world)
    other = Blobs(FolderStore(folder), origin="other.example/a", above=1, in_use=lambda: False)
    with pytest.raises(BlobStoreForeign, match=ORIGIN):
        other.prepare()
    with pytest.raises(BlobStoreForeign):
        other.keep(world.seal(), MOMENT)
    swept = Sweeper(other, world.database.read, world.database.write, after=timedelta())
    with pytest.raises(BlobStoreForeign):
        list(swept.step())
    assert len(files(folder)) == 1


def test_an_empty_store_where_there_must_be_blobs_is_the_wrong_one(
    world: World, tmp_path: Path
) -> None:
    large(world)
    wrong = Blobs(
        FolderStore(tmp_path / "empty"), origin=ORIGIN, above=1, in_use=world.blobs_in_use
    )
    with pytest.raises(BlobTrouble, match="should"):
        wrong.keep(world.seal(), MOMENT)
    assert not (tmp_path / "empty").exists()


def test_many_beginners_at_once_make_one_mark(world: World, folder: Path) -> None:
    def begin(_: int) -> str:
        one = Blobs(FolderStore(folder), origin=ORIGIN, above=1, in_use=lambda: False)
        return str(one.keep(world.seal(), MOMENT).blob)

    with ThreadPoolExecutor(8) as threads:
        names = list(threads.map(begin, range(8)))
    assert sorted(names) == files(folder)
    assert (folder / "origin").read_text() == ORIGIN


# -- verification --


def test_verification_reads_blobs_and_opens_them(world: World) -> None:
    world.fill(3, outside=2)
    assert world.verify().status == "valid"
    report = world.verify(open_with=world.authority)
    assert (report.status, report.opened) == ("valid", 3)


@pytest.mark.parametrize("how", ["changed", "missing", "cut", "another"])
def test_verification_names_the_entry_of_a_bad_blob(world: World, folder: Path, how: str) -> None:
    world.fill(3, outside=2)  # entries 3 and 6 bring content that lies outside
    with world.database.read() as conn:
        query = (
            "SELECT name FROM log_blobs JOIN log_entries USING (archive_id) WHERE entry_index = ?"
        )
        (bad,) = conn.exec_driver_sql(query, (6,)).one()
        (other,) = conn.exec_driver_sql(query, (3,)).one()
    path = folder / bad
    if how == "changed":
        damage(path)
    elif how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.write_bytes((folder / other).read_bytes())
    for key in (None, world.authority):
        report = world.verify(open_with=key)
        assert (report.status, report.first_bad) == ("invalid", 6)
        (problem,) = report.problems
        assert problem.code == ("blobs.missing" if how == "missing" else "blobs.damaged")
        assert bad in problem.text
        assert "6" in problem.facts["index"]


def test_a_row_that_names_another_mails_blob_is_found(world: World) -> None:
    world.fill(3, outside=2)
    with world.database.read() as conn:
        one, two = conn.exec_driver_sql("SELECT name FROM log_blobs ORDER BY name").scalars()
    for old, new in ((one, "aside"), (two, one), ("aside", two)):
        world.change("UPDATE log_blobs SET name = ? WHERE name = ?", new, old)
    report = world.verify()
    assert (report.status, report.first_bad) == ("invalid", 3)
    assert {problem.code for problem in report.problems} == {"content.changed"}


def test_a_store_that_is_away_leaves_the_verdict_open(world: World, folder: Path) -> None:
    world.fill(3, outside=2)
    folder.rename(folder.with_name("away"))
    report = world.verify()
    assert (report.status, report.first_bad) == ("indeterminate", None)
    assert {problem.code for problem in report.problems} == {"blobs.unreachable"}


def test_rows_of_blobs_that_belong_to_no_mail_are_found(world: World) -> None:
    world.fill(1, outside=1)
    world.change("INSERT INTO log_blobs VALUES (?, ?)", "2026-11-21/" + "0" * 64, None)
    assert world.verify().status == "valid"  # swept: explained
    world.change("INSERT INTO log_blobs VALUES (?, ?)", "2026-11-21/" + "1" * 64, "f" * 32)
    assert [problem.code for problem in world.verify().problems] == ["log.stray"]


# -- reading for a person, and the index --


def test_a_person_reads_from_a_blob_and_a_dead_store_leaves_no_entry(
    world: World, folder: Path
) -> None:
    archive_id = large(world)

    def read() -> bytes:
        return read_content(
            lambda drafts: world.append(*drafts), world.database.read, archive_id,
            world.authority, reader="r", case="c", blobs=world.blobs,
        )  # fmt: skip

    assert read() == MAIL
    folder.rename(folder.with_name("away"))
    with pytest.raises(BlobTrouble):
        read()
    found = read_fields(
        lambda drafts: world.append(*drafts), world.database.read, archive_id,
        world.authority, reader="r", case="c",
    )  # fmt: skip
    assert found["header.subject"].value == "Décision".encode()
    with world.database.read() as conn:
        kinds = [one.entry.kind for one in store.history(conn, archive_id)]
    assert kinds == ["accepted", "read", "read"]


def test_the_index_waits_for_a_store_and_goes_on_past_a_damaged_blob(
    world: World, folder: Path
) -> None:
    seen: list[bytes] = []

    def extract(raw: bytes) -> Extracted:
        seen.append(raw)
        return Extracted("", (), (), "", (), None)

    world.fill(3, outside=2)
    clock = [0.0]
    blobs = Blobs(
        FolderStore(folder), origin=ORIGIN, above=1, in_use=lambda: True, monotonic=lambda: clock[0]
    )
    index = world.folder / "index"
    indexer = Indexer(index, extract, world.database.read, world.gateway, blobs=blobs)
    folder.rename(folder.with_name("away"))
    with pytest.raises(BlobTrouble):
        indexer.step()
    folder.with_name("away").rename(folder)
    (folder / files(folder)[0]).unlink()
    clock[0] = 60
    seen.clear()
    while indexer.step():
        pass
    indexer.close()
    assert len(seen) == 2
    assert unreadable(index) == 1


# -- the sweep --


def test_only_old_blobs_without_a_row_are_swept(world: World, folder: Path) -> None:
    kept = large(world)
    (live,) = files(folder)
    orphan = world.blobs.keep(world.seal(), MOMENT).blob
    young = world.blobs.keep(world.seal(), MOMENT).blob
    half = folder / "2026-11-21" / ".new-0011223344556677"
    half.write_bytes(b"half")
    strange = folder / "2026-11-21" / "README"
    strange.write_bytes(b"not ours")
    for path in (folder / live, folder / str(orphan), half, strange):
        grow_old(path)
    removed = {one.name for one in sweeper(world).step()}
    assert removed == {orphan, "2026-11-21/.new-0011223344556677"}
    assert files(folder) == sorted([live, str(young), "2026-11-21/README"])
    assert list(sweeper(world).step()) == []
    assert load(world, kept) == MAIL
    assert world.verify().status == "valid"


def test_a_sweep_that_was_killed_is_finished_by_the_next(world: World, folder: Path) -> None:
    world.blobs.prepare()
    orphan = str(world.blobs.keep(world.seal(), MOMENT).blob)
    grow_old(folder / orphan)

    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(sweeper(world).step(die))
    assert files(folder) == [orphan]
    assert [one.name for one in sweeper(world).step()] == [orphan]
    assert files(folder) == []


def test_a_commit_that_comes_after_the_sweep_fails_and_stores_nothing(
    world: World, folder: Path
) -> None:
    """A machine that was suspended between put and commit; clocks that say anything."""
    late = world.accepted(outside=True)
    assert len(list(sweeper(world, after=timedelta(days=-1)).step())) == 1
    with pytest.raises(sa.exc.IntegrityError):
        world.append(late)
    with world.database.read() as conn:
        for table in ("log_entries", "log_contents", "log_payloads"):
            assert conn.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0
    assert world.verify().status == "valid"


def test_a_commit_between_the_look_and_the_taking_is_spared(world: World, folder: Path) -> None:
    late = world.accepted(outside=True)
    grow_old(folder / files(folder)[0])

    swept = sweeper(world)
    real = swept._write

    def write() -> object:
        world.append(late)  # committed after the read of the sweep, before its write
        swept._write = real
        return real()

    swept._write = write  # type: ignore[assignment]
    assert list(swept.step()) == []
    assert load(world, late.archive_id) == MAIL


def test_two_writers_at_the_same_time_exclude_each_other(world: World, folder: Path) -> None:
    """Where a database lets several in: the look of the sweep does not see the other's row."""
    late = world.accepted(outside=True)
    grow_old(folder / files(folder)[0])
    swept = sweeper(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "_KNOWN", sa.select(log_blobs).where(sa.false()))
        world.append(late)
        assert list(swept.step()) == []
    assert load(world, late.archive_id) == MAIL


def test_mail_that_comes_in_while_it_is_swept_without_mercy_is_whole_or_refused(
    world: World, folder: Path
) -> None:
    """No safe age at all: what was committed has its blob, every time."""

    class Finished(FolderStore):
        def names(self, day: str) -> Iterator[Stored]:
            return (one for one in super().names(day) if not one.unfinished)

    world.blobs.prepare()
    merciless = Blobs(Finished(folder), origin=ORIGIN, above=1, in_use=lambda: True)
    appender = Appender(world.database.write, origin=ORIGIN, now=lambda: MOMENT)
    stop = threading.Event()

    def sweep_on() -> int:
        count = 0
        after = timedelta(days=-1)
        one = Sweeper(merciless, world.database.read, world.database.write, after=after)
        while not stop.is_set():
            count += len(list(one.step()))
        return count

    def take(_: int) -> str | None:
        draft = world.accepted(outside=True)
        try:
            appender.submit([draft], lambda _conn: None).result()
        except sa.exc.IntegrityError:
            return None
        return draft.archive_id

    with ThreadPoolExecutor(5) as threads:
        sweeping = threads.submit(sweep_on)
        try:
            taken = list(threads.map(take, range(60)))
        finally:
            stop.set()
        swept = sweeping.result()
    appender.close()
    committed = [one for one in taken if one is not None]
    assert swept == len(taken) - len(committed) > 0
    assert all(load(world, one) == MAIL for one in committed)
    report = world.verify(open_with=world.authority)
    assert (report.status, report.opened) == ("valid", len(committed))


def test_every_day_has_its_turn_and_the_newest_always(world: World, folder: Path) -> None:
    for n in range(6):
        name = str(world.blobs.keep(world.seal(), MOMENT + n * DAY).blob)
        grow_old(folder / name)
    one = sweeper(world)
    assert len(list(one.step())) == 4  # the three newest days, and one older
    assert len(list(one.step())) == 1
    assert len(list(one.step())) == 1
    assert files(folder) == []
    grow_old(folder / str(world.blobs.keep(world.seal(), MOMENT).blob))
    assert [len(list(one.step())) for _ in range(3)] == [1, 0, 0]


def test_a_blob_that_cannot_be_removed_is_tried_again(world: World, folder: Path) -> None:
    world.blobs.prepare()
    orphan = str(world.blobs.keep(world.seal(), MOMENT).blob)
    grow_old(folder / orphan)

    class Locked(FolderStore):
        def delete(self, name: str) -> None:
            raise BlobTrouble(Problem("blobs.s3", "object lock"))

    locked = Blobs(Locked(folder), origin=ORIGIN, above=1, in_use=lambda: False)
    swept = Sweeper(locked, world.database.read, world.database.write, after=DAY)
    for _ in range(2):
        with pytest.raises(BlobTrouble, match="object lock"):
            list(swept.step())
    assert [one.name for one in sweeper(world).step()] == [orphan]
