"""The gateway with a blob store: what a client, the sender and an officer see when it fails."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from archive.blob_folder import FolderStore
from archive.blobs import Blobs
from archive.errors import BlobTrouble, Problem
from archive.fsck import verify
from archive.store import append, history
from archive.sweep import in_use
from gateway import clock
from gateway.errors import Refusal
from gateway.mail import Peer, Submission
from gateway.outside import _PUTS, Outside
from gateway.queue import acts
from gateway.queue.models import messages, recipients
from gateway.queue.states import State
from gateway.queue.store.take import take as take_from_queue
from tests.conftest import ORIGIN
from tests.unit.test_worker import ANNA, BOB, CARL, House

HEAD = f"From: {ANNA}\r\nTo: {BOB}\r\nSubject: large\r\n\r\n".encode()
SMALL = HEAD + b"Hello.\r\n"
PEER = Peer("127.0.0.1", 1, "mail", relay="mail")
LONG = 40  # seconds; more than any machine takes for what is waited for


def large(size: int = 60_000) -> bytes:
    """A mail that cannot be compressed by much."""
    return HEAD + b"\r\n".join(os.urandom(36).hex().encode() for _ in range(size // 74)) + b"\r\n"


class Slow(FolderStore):
    """Keeps whoever puts waiting until it is told to go on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.go_on = threading.Event()
        self._waiting = threading.Lock()
        self.waiting = 0

    def put(self, name: str, data: bytes, sha256: str) -> None:
        if name != "origin":
            with self._waiting:
                self.waiting += 1
            assert self.go_on.wait(3 * LONG)
        super().put(name, data, sha256)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def house(database: Any, tmp_path: Path, folder: Path) -> Iterator[House]:
    made = House(database, tmp_path, timedelta(days=5))
    with_store(made, FolderStore(folder))
    yield made
    made.appender.close()


def with_store(house: House, store: Any, *, seconds: float = 10) -> Blobs:
    def used() -> bool:
        with house.database.read() as conn:
            return in_use(conn)

    blobs = Blobs(store, origin=ORIGIN, above=20_000, in_use=used)
    house.intake.outside = Outside(blobs, seconds=seconds)
    house.worker.blobs = blobs
    return blobs


async def take(house: House, raw: bytes, to: str = BOB) -> str:
    return await house.intake.accept(Submission(raw, ANNA, (to,), PEER, clock.now()))


def refused(house: House, raw: bytes) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        asyncio.run(take(house, raw))
    assert stored(house) == 0
    return caught.value.code, caught.value.status


def stored(house: House) -> int:
    with house.database.read() as conn:
        tables = ("log_entries", "log_contents", "log_payloads", "messages", "log_blobs")
        return sum(conn.exec_driver_sql(f"SELECT count(*) FROM {t}").scalar_one() for t in tables)


def blob_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*-*-*/*"))


def report(house: House) -> str:
    with house.database.read() as conn:
        return verify(conn, blobs=house.worker.blobs).status


def test_large_mail_lies_outside_and_leaves_octet_for_octet(house: House, folder: Path) -> None:
    mail = large()

    async def run() -> None:
        await take(house, mail)
        await take(house, SMALL, CARL)
        await house.work_until(BOB, CARL)

    asyncio.run(run())
    assert len(blob_files(folder)) == 1
    by_recipient = {to: data for (to,), data in house.sink.got}
    assert by_recipient[BOB].endswith(mail.partition(b"\r\n\r\n")[2])
    assert report(house) == "valid"


def test_the_blob_is_there_before_the_commit_begins(house: House, folder: Path) -> None:
    seen: list[int] = []
    real = house.appender.submit

    def submit(*arguments: Any) -> Any:
        seen.append(len([path for path in blob_files(folder) if path.stat().st_size > 20_000]))
        return real(*arguments)

    house.appender.submit = submit  # type: ignore[method-assign]
    asyncio.run(take(house, large()))
    assert seen == [1]


def test_a_full_disk_is_452_and_small_mail_goes_on(house: House, folder: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Where every file must end; those of the database are shorter.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, before[1]))
    try:
        assert refused(house, large(4_000_000)) == (452, "4.3.1")
        asyncio.run(take(house, SMALL))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path for path in blob_files(folder) if path.stat().st_size] == []
    asyncio.run(take(house, large(4_000_000)))  # room again, no restart
    assert len(blob_files(folder)) == 1


def test_no_room_is_told_at_mail_before_anything_is_sent(house: House, folder: Path) -> None:
    class Full(FolderStore):
        def free(self) -> int:
            return 1_400

    house.intake.sender(PEER, ANNA, None)
    with_store(house, Full(folder))
    with pytest.raises(Refusal) as caught:
        house.intake.sender(PEER, ANNA, None)  # room for a mail: 1,500 bytes
    assert (caught.value.code, caught.value.status) == (452, "4.3.1")


def test_a_store_that_is_away_is_451_and_nothing_is_stored(house: House, folder: Path) -> None:
    folder.write_text("not a folder")
    assert refused(house, large()) == (451, "4.3.0")
    asyncio.run(take(house, SMALL))


def test_the_reply_says_nothing_of_the_inside(house: House, folder: Path) -> None:
    folder.write_text("not a folder")
    with pytest.raises(Refusal) as caught:
        asyncio.run(take(house, large()))
    assert str(folder) not in caught.value.text
    assert caught.value.text.isascii()


def test_a_slow_store_is_451_in_time(house: House, folder: Path) -> None:
    """The store answers when all clients have their answers: nobody has waited for it."""
    slow = Slow(folder)
    with_store(house, slow, seconds=0.5)

    async def run() -> None:
        async with asyncio.timeout(LONG):
            large_ones = (take(house, large()) for _ in range(6))
            results = await asyncio.gather(*large_ones, return_exceptions=True)
        slow.go_on.set()
        assert all(isinstance(one, Refusal) and one.code == 451 for one in results), results

    asyncio.run(run())
    with house.database.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM log_blobs").scalar() == 0


def test_a_slow_store_holds_up_nobody_else(house: House, folder: Path) -> None:
    """Small mail is taken while all large ones wait, more than there are threads to put them."""
    slow = Slow(folder)
    with_store(house, slow, seconds=2 * LONG)

    async def run() -> None:
        tasks = [asyncio.create_task(take(house, large())) for _ in range(6)]
        async with asyncio.timeout(LONG):
            while slow.waiting < _PUTS:
                await asyncio.sleep(0.01)
            await take(house, SMALL, CARL)
        assert not any(task.done() for task in tasks)
        slow.go_on.set()
        async with asyncio.timeout(LONG):
            await asyncio.gather(*tasks)

    asyncio.run(run())
    assert len(blob_files(folder)) == 6


def test_a_commit_that_failed_leaves_no_blob(house: House, folder: Path) -> None:
    with house.database.write() as conn:
        conn.exec_driver_sql("ALTER TABLE messages RENAME TO elsewhere")
    with pytest.raises((Refusal, sa.exc.DatabaseError)):
        asyncio.run(take(house, large()))
    deadline = time.monotonic() + LONG
    while blob_files(folder) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert blob_files(folder) == []


def test_mail_whose_store_is_away_waits_and_leaves_when_it_is_back(
    house: House, folder: Path
) -> None:
    house.worker.waits = [timedelta(0)]
    away = folder.with_name("away")

    async def run() -> str:
        mail = await take(house, large())
        await asyncio.sleep(0)
        folder.rename(away)
        await take(house, SMALL, CARL)
        await house.work_until(CARL)
        return mail

    mail = asyncio.run(run())
    line = house.line(mail)
    assert line.state is State.QUEUED
    assert line.reason is not None
    assert line.reason.code.startswith("blobs.")
    assert kinds(house, mail) == ["accepted", "deferred"]
    away.rename(folder)
    assert house.worker.blobs is not None
    house.worker.blobs._trouble = None  # some seconds later
    with house.database.write() as conn:
        conn.execute(sa.update(recipients).values(next_attempt_at=0))
        conn.execute(sa.update(messages).values(due_at=0))
    asyncio.run(house.work_until(BOB, CARL))
    assert house.line(mail).state is State.DELIVERED


def test_a_reason_that_stays_the_same_is_one_entry(house: House, folder: Path) -> None:
    house.worker.waits = [timedelta(0)]

    async def run() -> str:
        mail = await take(house, large())
        folder.rename(folder.with_name("away"))
        stop = asyncio.Event()
        worker = asyncio.create_task(house.worker.run(stop))
        async with asyncio.timeout(LONG):
            while house.line(mail).attempts < 4:
                await asyncio.sleep(0.01)
        stop.set()
        await worker
        return mail

    assert kinds(house, asyncio.run(run())) == ["accepted", "deferred"]


@pytest.mark.parametrize("how", ["changed", "missing"])
def test_mail_whose_blob_is_damaged_is_held_and_said_so(
    house: House, folder: Path, how: str
) -> None:
    whole: dict[Path, bytes] = {}

    async def run() -> str:
        mail = await take(house, large())
        (path,) = blob_files(folder)
        whole[path] = path.read_bytes()
        if how == "changed":
            path.write_bytes(bytes([whole[path][0] ^ 1]) + whole[path][1:])
        else:
            path.unlink()
        await take(house, SMALL, CARL)
        await house.work_until(ANNA, CARL)  # she is told that the large one is held
        return mail

    mail = asyncio.run(run())
    line = house.line(mail)
    assert line.state is State.HELD
    assert line.reason is not None
    assert line.reason.code == ("blobs.damaged" if how == "changed" else "blobs.missing")
    assert kinds(house, mail) == ["accepted", "held", "notified"]
    assert sorted(to for (to,), _ in house.sink.got) == sorted([ANNA, CARL])

    ((path, data),) = whole.items()
    path.write_bytes(data)  # a person has brought it back from a copy
    now, expire = clock.now(), timedelta(days=5)
    with house.database.write() as conn:
        job = take_from_queue(conn, mail)
        append(
            conn,
            acts.release(conn, job, by="officer", reason="", now=now, expire=expire),
            origin=ORIGIN,
            now=now,
        )
    asyncio.run(house.work_until(ANNA, BOB, CARL))
    assert house.line(mail).state is State.DELIVERED
    assert report(house) == "valid"


def test_a_store_that_swallows_requests_holds_up_its_own_mail_only(
    house: House, folder: Path
) -> None:
    class Swallows(FolderStore):
        def __init__(self) -> None:
            super().__init__(folder)
            self.asked, self.give_up = threading.Event(), threading.Event()

        def get(self, name: str) -> bytes:
            if name != "origin":
                self.asked.set()
                assert self.give_up.wait(3 * LONG)
                raise BlobTrouble(Problem("blobs.s3", "timed out"))
            return super().get(name)

    store = Swallows()
    with_store(house, store)

    async def run() -> None:
        await take(house, large())
        stop = asyncio.Event()
        worker = asyncio.create_task(house.worker.run(stop))
        async with asyncio.timeout(LONG):
            while not store.asked.is_set():
                await asyncio.sleep(0.01)
            await take(house, SMALL, CARL)
            while not house.sink.got:
                await asyncio.sleep(0.01)
        store.give_up.set()  # small mail has left: it did not wait for the answer
        stop.set()
        await worker

    asyncio.run(run())
    assert [to for to, _ in house.sink.got] == [(CARL,)]


def kinds(house: House, archive_id: str) -> list[str]:
    with house.database.read() as conn:
        return [one.entry.kind for one in history(conn, archive_id)]
