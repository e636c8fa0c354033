"""The worker: what a fault with one mail does to it, to its sender and to the others."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from archive.appender import Appender
from archive.models import log_working_wraps
from archive.recipients import generate_recipient, load_recipient
from archive.working import WorkingKeys, WorkingUnwrapper
from gateway import clock
from gateway.accept import Intake
from gateway.database import Database
from gateway.dsn import Languages
from gateway.mail import Peer, Submission
from gateway.notices import Notices
from gateway.outbound.steps import Outbound
from gateway.outbound.work import Work
from gateway.policy import Encryption, Pattern, Policy, Rule, Sign, WithoutCertificate
from gateway.queue import sealing, view
from gateway.queue.jobs import Job
from gateway.queue.models import groups, messages, recipients
from gateway.queue.states import State
from gateway.queue.worker import Worker
from gateway.routes import Route, Routes
from gateway.senders.rights import Relay, Rights
from gateway.signers import Signers
from gateway.smtp.client import NextHop, Outcome, Result
from pki.errors import Problem
from pki.evidence import Evidence
from pki.models import Finding, NoCertificate
from tests.conftest import ORIGIN
from tests.unit.signing import any_seal
from tests.unit.smime_world import world

ANNA = "anna@interieur.example"
BOB, CARL = "bob@justice.example", "carl@justice.example"
CLEAR = Rule(
    "clear",
    (Pattern("*"),),
    (Pattern("*"),),
    Encryption.NEVER,
    WithoutCertificate.HOLD,
    Sign.NONE,
)
ROUTES = Routes([Route("border", NextHop("127.0.0.1", 1), (), default=True)])


class HalfMade(Outbound):
    """Seals, and then fails for mails that say so: whatever it did to the job is lost."""

    def sealing(
        self, work: Work, raw: bytes, findings: Mapping[str, Finding], *, moment: datetime
    ) -> Iterator[None]:
        yield from super().sealing(work, raw, findings, moment=moment)
        if work.job.kind == "mail" and b"Subject: fault" in raw:
            raise RuntimeError("a fault nobody foresaw")


class Nobody:
    """No persons, no findings."""

    def signer_for(self, address: str, moment: datetime) -> None:
        return None

    def find_all(self, addresses: list[str], *, moment: datetime) -> Mapping[str, Finding]:
        return {}


@dataclass
class Sink:
    """Takes every mail, but for the first ones if it is told so."""

    refusals: int = 0
    got: list[tuple[tuple[str, ...], bytes]] = field(default_factory=list)

    async def deliver(
        self, hop: NextHop, mail_from: str, recipients: Sequence[str], data: bytes, **_: Any
    ) -> list[Outcome]:
        if self.refusals:
            self.refusals -= 1
            return [Outcome(to, Result.TEMPORARY, 451, "4.3.0", "no", "sink") for to in recipients]
        self.got.append((tuple(recipients), data))
        return [Outcome(to, Result.DELIVERED, 250, "2.0.0", "ok", "sink") for to in recipients]

    async def close(self) -> None:
        pass


class SlowForBob(Nobody):
    """Answers for everyone but Bob's directory, which takes its time."""

    def __init__(self) -> None:
        self.asked, self.answer = threading.Event(), threading.Event()

    def find_all(self, addresses: list[str], *, moment: datetime) -> Mapping[str, Finding]:
        if BOB in addresses:
            self.asked.set()
            assert self.answer.wait(120)
        none = Problem("directory.none", "none")
        return {address: NoCertificate(("d",), (), none) for address in addresses}


class House:
    """Intake and worker on one database."""

    def __init__(self, database: Database, folder: Path, expire: timedelta) -> None:
        for name in ("authority", "escrow"):
            generate_recipient(name, folder / f"{name}.pub", folder / f"{name}.key")
        keys = WorkingKeys(folder / "working")
        recipients = tuple(load_recipient(folder / f"{n}.pub") for n in ("authority", "escrow"))
        self.database = database
        self.appender = Appender(database.write, origin=ORIGIN, now=clock.now)
        self.sink = Sink()
        relays = (Relay("mail", (), ("interieur.example",)),)
        self.intake = Intake(
            "interieur", relays, recipients, keys,
            self.appender, lambda _sender, _recipient: False, expire, folder, 1500,
            Rights(relays, ("interieur.example",)),
        )  # fmt: skip
        notices = Notices(
            "interieur", "gw.interieur.example", "postmaster@interieur.example", Languages(),
            recipients, keys, timedelta(days=5), timedelta(hours=4), timedelta(days=30),
        )  # fmt: skip
        nobody: Any = Nobody()
        sink: Any = self.sink
        self.worker = Worker(
            name="worker-1",
            read=database.read,
            appender=self.appender,
            unwrapper=WorkingUnwrapper(keys),
            finder=nobody,
            outbound=HalfMade(
                "gw.interieur.example", Policy([CLEAR]), ROUTES, Signers({}, nobody, any_seal)
            ),
            routes=ROUTES,
            deliverer=sink,
            notices=notices,
            evidence=Evidence(),
            waits=[timedelta(hours=1)],
            now=clock.now,
        )

    async def take(self, subject: str, to: str) -> str:
        raw = f"From: {ANNA}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nHello.\r\n".encode()
        peer = Peer("127.0.0.1", 1, "mail", relay="mail")
        return await self.intake.accept(Submission(raw, ANNA, (to,), peer, clock.now()))

    async def work_until(self, *deliveries: str) -> None:
        """Run the worker until these recipients, in any order, have got mail."""
        stop = asyncio.Event()
        run = asyncio.create_task(self.worker.run(stop))
        async with asyncio.timeout(60):
            while sorted(to for tos, _ in self.sink.got for to in tos) != sorted(deliveries):
                assert not run.done(), "the worker has ended"
                await asyncio.sleep(0.01)
            stop.set()
            await run

    def line(self, archive_id: str) -> view.Line:
        with self.database.read() as conn:
            (line,) = view.lines(conn, archive_id=archive_id)
        return line


@pytest.fixture
def expire() -> timedelta:
    return timedelta(days=5)


@pytest.fixture
def house(database: Database, tmp_path: Path, expire: timedelta) -> Iterator[House]:
    made = House(database, tmp_path, expire)
    yield made
    made.appender.close()


class Watcher:
    """Notes in whose hands the worker's thread is, step by step."""

    def __init__(self, seen: list[str], job: Job) -> None:
        self.seen, self.id = seen, job.archive_id

    def __enter__(self) -> None:
        self.seen.append(self.id)

    def __exit__(self, *_raised: object) -> None:
        self.seen.append("")


@pytest.mark.parametrize("limit", [100_000, 0])
def test_one_mail_at_a_time_is_in_hand_in_each_step(
    house: House, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(sealing, "_SIDE_BY_SIDE", limit)
    seen: list[str] = []
    house.worker.watched = partial(Watcher, seen)

    async def run() -> list[str]:
        mails = [await house.take("fine", to) for to in (BOB, CARL)]
        await house.work_until(BOB, CARL)
        return mails

    mails = asyncio.run(run())
    assert set(seen[1::2]) == {""}  # left before the next one is taken up
    steps = seen[::2]
    assert set(steps) == set(mails)
    together = steps[0] != steps[1]
    assert together == (limit > 0)  # large ones are brought to an end one by one


def test_a_fault_while_sealing_keeps_its_mail_queued_and_the_others_going(house: House) -> None:
    async def run() -> tuple[str, str]:
        bad, good = await house.take("fault", BOB), await house.take("fine", CARL)
        await house.work_until(CARL)
        return bad, good

    bad, good = asyncio.run(run())
    assert house.line(good).state is State.DELIVERED
    line = house.line(bad)
    assert line.state is State.QUEUED
    assert line.reason is not None
    assert line.reason.code == "limits.internal"


@pytest.mark.parametrize("expire", [timedelta(0)])
def test_the_sender_hears_of_a_mail_that_was_never_sealed_when_it_expires(house: House) -> None:
    async def run() -> str:
        bad = await house.take("fault", BOB)
        await house.work_until(ANNA)
        return bad

    assert house.line(asyncio.run(run())).state is State.FAILED
    ((_, notice),) = house.sink.got
    assert b"Status: 4.3.0" in notice
    assert b"Given up: delivery time expired" in notice
    assert b"Subject: fault" not in notice  # nobody knows whether it may be shown


@pytest.mark.parametrize("expire", [timedelta(0)])
def test_the_sender_hears_of_a_mail_that_cannot_be_opened_any_more(house: House) -> None:
    async def run() -> str:
        bad = await house.take("fine", BOB)
        with house.database.write() as conn:
            conn.execute(sa.delete(log_working_wraps))
        await house.work_until(ANNA)
        return bad

    assert house.line(asyncio.run(run())).state is State.FAILED
    ((_, notice),) = house.sink.got
    assert b"Status: 4.3.0" in notice
    assert b"Given up: delivery time expired" in notice


@pytest.mark.parametrize("damage", [b"From: mallory@justice.example\r\n\r\n", None])
def test_only_the_octets_that_the_log_names_ever_leave(house: House, damage: bytes | None) -> None:
    """Changed or lost in the queue between two attempts: sealed anew, neither sent nor stuck."""
    house.sink.refusals = 1

    async def run() -> str:
        mail = await house.take("fine", BOB)
        stop = asyncio.Event()
        first = asyncio.create_task(house.worker.run(stop))
        async with asyncio.timeout(60):
            while house.sink.refusals:
                await asyncio.sleep(0.01)
        stop.set()
        await first
        with house.database.write() as conn:
            conn.execute(sa.update(groups).values(emitted=damage))
            conn.execute(sa.update(recipients).values(next_attempt_at=0))
            conn.execute(sa.update(messages).values(due_at=0))
        house.worker.waits = [timedelta(0)]
        await house.work_until(BOB)
        return mail

    mail = asyncio.run(run())
    ((_, octets),) = house.sink.got
    assert b"Subject: fine" in octets
    assert house.line(mail).state is State.DELIVERED
    assert house.line(mail).emitted_sha256 == hashlib.sha256(octets).hexdigest()


def test_a_slow_directory_holds_up_its_own_mail_only(
    house: House,
) -> None:
    slow: Any = SlowForBob()
    house.worker.finder = slow
    signed = replace(CLEAR, encryption=Encryption.IF_POSSIBLE, sign=Sign.SEAL,
                     without_certificate=WithoutCertificate.SEND_SIGNED)  # fmt: skip
    nobody: Any = Nobody()
    seals = {"interieur.example": world().alice.signer}
    object.__setattr__(house.worker.outbound, "policy", Policy([signed]))
    object.__setattr__(house.worker.outbound, "signers", Signers(seals, nobody, any_seal))

    async def run() -> None:
        await house.take("to the slow one", BOB)
        stop = asyncio.Event()
        task = asyncio.create_task(house.worker.run(stop))
        async with asyncio.timeout(60):
            while not slow.asked.is_set():  # Bob's mail is claimed and waits for his directory
                await asyncio.sleep(0.01)
        await house.take("to the others", CARL)
        async with asyncio.timeout(60):
            while not house.sink.got:
                await asyncio.sleep(0.01)
        assert [to for to, _ in house.sink.got] == [(CARL,)]
        slow.answer.set()
        async with asyncio.timeout(60):
            while len(house.sink.got) < 2:
                await asyncio.sleep(0.01)
        stop.set()
        await task

    asyncio.run(run())
