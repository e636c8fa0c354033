"""Pieces of work that share commits are still stored whole, or not at all, each on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from archive.appender import Appender
from archive.entry import new_archive_id
from archive.reading import read_entries
from archive.store import Draft
from gateway.database import Database
from gateway.queue.batches import Batches
from tests.conftest import ORIGIN

NOTES = sa.table("notes", sa.column("text"))


@pytest.fixture
def appender(database: Database) -> Iterator[Appender]:
    with database.write() as conn:
        conn.exec_driver_sql("CREATE TABLE notes (text TEXT NOT NULL UNIQUE)")
    appender = Appender(database.write, origin=ORIGIN, now=lambda: datetime.now(UTC))
    yield appender
    appender.close()


def batches(appender: Appender, sizes: list[int]) -> Batches[str]:
    def rows(conn: sa.Connection, texts: Sequence[str]) -> None:
        sizes.append(len(texts))
        conn.execute(sa.insert(NOTES), [{"text": text} for text in texts])

    def drafts(text: str) -> list[Draft]:
        return [Draft("noted", "o", new_archive_id(), {"text": text.encode()})]

    return Batches(appender, drafts, rows)


def stored(database: Database) -> list[str]:
    with database.read() as conn:
        return sorted(conn.execute(sa.select(NOTES.c.text)).scalars())


def entries(database: Database) -> int:
    with database.read() as conn:
        return len(list(read_entries(conn)))


def test_what_comes_during_a_commit_shares_the_next(database: Database, appender: Appender) -> None:
    sizes: list[int] = []

    async def run() -> None:
        collected = batches(appender, sizes)
        await asyncio.gather(*(collected.commit(f"n{n:02}") for n in range(20)))

    asyncio.run(run())
    assert stored(database) == [f"n{n:02}" for n in range(20)]
    assert entries(database) == 20
    assert sum(sizes) == 20
    assert len(sizes) < 20


def test_one_bad_piece_takes_no_other_with_it(database: Database, appender: Appender) -> None:
    async def run() -> list[object]:
        collected = batches(appender, [])
        await collected.commit("twice")
        return await asyncio.gather(
            *(collected.commit(text) for text in ("a", "twice", "b", "c")), return_exceptions=True
        )

    results = asyncio.run(run())
    assert [isinstance(one, Exception) for one in results] == [False, True, False, False]
    assert stored(database) == ["a", "b", "c", "twice"]
    assert entries(database) == 4  # and no entry of the bad one


def test_a_caller_that_gives_up_leaves_its_piece_whole(
    database: Database, appender: Appender
) -> None:
    async def run() -> None:
        collected = batches(appender, [])
        impatient = asyncio.create_task(collected.commit("impatient"))
        patient = asyncio.create_task(collected.commit("patient"))
        await asyncio.sleep(0)
        impatient.cancel()
        await patient

    asyncio.run(run())
    assert stored(database) == ["impatient", "patient"]
    assert entries(database) == 2


def test_after_a_failed_commit_nobody_is_told_that_all_is_well(
    database: Database, appender: Appender
) -> None:
    async def run() -> list[object]:
        collected = batches(appender, [])
        appender.close()
        return await asyncio.gather(
            *(collected.commit(text) for text in "ab"), return_exceptions=True
        )

    assert all(isinstance(one, Exception) for one in asyncio.run(run()))
    assert stored(database) == []
