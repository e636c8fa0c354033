"""Our way of reading DATA against aiosmtpd's own, in one run over the same kind of connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from gateway.smtp.client import Deliverer, NextHop, Result, TlsDemand
from gateway.smtp.room import Room
from gateway.smtp.session import Session
from gateway.smtp.settings import ListenSettings
from tests.services.smtp_listener import NotingIntake

pytestmark = pytest.mark.flow


class StockHandler:
    """Takes everything."""

    async def handle_DATA(self, _server: Any, _session: Any, _envelope: Any) -> str:
        return "250 2.0.0 ok"


class LightHouse:
    """A House without a listener."""

    settings = ListenSettings("gw.example")
    stopping = False
    proofs = None  # nobody logs in

    def __init__(self) -> None:
        self.intake = NotingIntake()
        self.room = Room(self.settings.max_size * 2)
        self.tasks: set[Any] = set()

    def clock(self) -> Any:
        return None

    def arrived(self, _session: Any) -> str:
        return ""

    def left(self, _session: Any) -> None: ...

    def keep(self, task: Any) -> None:
        self.tasks = {task}


def seconds_per_mail(factory: Callable[[], Any], data: bytes, count: int) -> float:
    """CPU seconds of this process (client and server) for each mail of `count`."""

    async def flow() -> float:
        server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
        hop = NextHop("127.0.0.1", server.sockets[0].getsockname()[1], tls=TlsDemand.NONE)
        deliverer = Deliverer()

        async def one() -> None:
            (outcome,) = await deliverer.deliver(
                hop, "a@example.org", ["b@example.net"], data, eight_bit=False, smtputf8=False
            )
            assert outcome.result is Result.DELIVERED, outcome

        await one()
        start = time.process_time()
        for _ in range(count):
            await one()
        spent = time.process_time() - start
        await deliverer.close()
        await asyncio.sleep(0.05)
        server.close()
        return spent / count

    return asyncio.run(flow())


@pytest.mark.parametrize(("size", "count"), [(75_000, 30), (1_000_000, 4)])
def test_data_is_read_much_faster_than_line_by_line(
    size: int, count: int, record_property: Callable[[str, object], None]
) -> None:
    data = b"From: a@example.org\r\n\r\n" + (b"x" * 74 + b"\r\n") * (size // 76)

    def ours() -> Session:
        return Session(LightHouse(), asyncio.get_running_loop())

    def stock() -> SMTP:
        return SMTP(StockHandler(), loop=asyncio.get_running_loop(), hostname="gw.example")

    # Rounds of both, the best of each: noise of other processes only ever adds.
    rounds = [
        (seconds_per_mail(ours, data, count), seconds_per_mail(stock, data, count))
        for _ in range(3)
    ]
    mine, theirs = min(r[0] for r in rounds), min(r[1] for r in rounds)
    ratio = theirs / mine
    record_property("ratio", ratio)
    print(
        f"{size} octets: ours {mine * 1e3:.2f} ms, stock {theirs * 1e3:.2f} ms, {ratio:.1f} times"
    )
    assert ratio >= 2
