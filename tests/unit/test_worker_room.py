"""Mail for many blind recipients becomes many times what it was; a worker's memory does not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from gateway import clock
from gateway.mail import Peer, Submission
from gateway.queue import hand, sealing
from gateway.queue.hand import Hand
from gateway.queue.models import recipients
from gateway.queue.states import State
from gateway.smtp.client import NextHop, Outcome
from tests.unit.test_outbound import job
from tests.unit.test_worker import ANNA, CARL, House, Sink, expire, house

__all__ = ["expire", "house"]

MANY = [f"person{number}@justice.example" for number in range(120)]
MAILS = 6
SIZE = 10_000
ROOM = 2_000_000


class Stalls(Sink):
    """Takes mail for Carl at once, and all other when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.held = 0

    async def deliver(
        self, hop: NextHop, mail_from: str, to: Sequence[str], data: bytes, **more: Any
    ) -> list[Outcome]:
        if CARL not in to:
            self.held += len(data)
            await self.go_on.wait()
            self.held -= len(data)
        return await super().deliver(hop, mail_from, to, data, **more)


async def take(house: House, *to: str, size: int = 100) -> str:
    raw = f"From: {ANNA}\r\nTo: list@justice.example\r\nSubject: fine\r\n\r\n".encode()
    raw += b"Hello, all of you.\r\n" * (size // 20)
    peer = Peer("127.0.0.1", 1, "mail", relay="mail")
    return await house.intake.accept(Submission(raw, ANNA, to, peer, clock.now()))


def test_what_is_sealed_for_many_waits_for_room_and_no_other_mail_does(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand, "_SEALED_ROOM", ROOM)
    monkeypatch.setattr(sealing, "_CROWDED", 0.05)
    most = 0
    keep = Hand.keep

    def watched(self: Hand, job: Any, octets: int) -> None:
        nonlocal most
        keep(self, job, octets)
        most = max(most, sum(self._sealed.values()))

    monkeypatch.setattr(Hand, "keep", watched)

    async def run() -> None:
        sink: Any = Stalls()
        house.sink = house.worker.deliverer = sink
        for _ in range(MAILS):
            await take(house, *MANY, size=SIZE)
        stop = asyncio.Event()
        running = asyncio.create_task(house.worker.run(stop))
        async with asyncio.timeout(120):
            while not house.worker._hand.crowded:
                await asyncio.sleep(0.01)
            await take(house, CARL)  # goes on although many wait
            while not sink.got:
                await asyncio.sleep(0.01)
            assert [to for to, _ in sink.got] == [(CARL,)]
            sink.go_on.set()
            while len(sink.got) < 1 + MAILS * len(MANY):
                assert not running.done()
                await asyncio.sleep(0.01)
            stop.set()
            await running

    asyncio.run(run())
    one = len(MANY) * SIZE  # and a header each
    assert ROOM < most < ROOM + 1.2 * one
    got = sorted(to for tos, _ in house.sink.got for to in tos if to != CARL)
    assert got == sorted(MANY * MAILS)
    with house.database.read() as conn:
        rows = conn.execute(sa.select(recipients.c.state, recipients.c.attempts)).all()
    # Waiting for room is no attempt.
    assert {tuple(row) for row in rows} == {(State.DELIVERED, 1)}
    assert not house.worker._hand._sealed


def test_what_is_beyond_a_mail_s_own_size_counts() -> None:
    held, one = Hand(), job(CARL)
    held.take([one])
    held.keep(one, 2 * one.size)
    assert not held._sealed
    held.keep(one, 2 * one.size + 64_000_000)
    assert not held.crowded
    held.keep(one, 2 * one.size + 64_000_001)
    assert held.crowded
    held.put(one)
    assert not held.crowded
