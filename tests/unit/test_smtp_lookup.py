"""Names of next hops: one look-up at a time, and none of them in anybody's way."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import pytest

from gateway.smtp.client import Deliverer
from gateway.smtp.lookup import Resolver
from gateway.smtp.nexthop import NextHop, Outcome, Result, Timeouts

QUICK = Timeouts(connect=0.3, greeting=1, command=1)
PATIENT = Timeouts(connect=60, greeting=60, command=60)  # where nothing has to run out


async def deliver(deliverer: Deliverer, hop: NextHop) -> Outcome:
    (outcome,) = await deliverer.deliver(
        hop, "", ["b@example.net"], b"x\r\n", eight_bit=False, smtputf8=False
    )
    return outcome


def test_a_resolver_that_does_not_answer_keeps_no_one_else_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twenty mails for its name: one thread, and the event loop's own threads are free."""
    over = threading.Event()
    asked: list[str] = []

    def stuck(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        over.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", stuck)

    async def flow() -> None:
        deliverer = Deliverer()
        hop = NextHop("mx.example", timeouts=QUICK)
        outcomes = await asyncio.gather(*(deliver(deliverer, hop) for _ in range(20)))
        assert {(o.result, o.status) for o in outcomes} == {(Result.TEMPORARY, "4.4.1")}
        assert asked == ["mx.example"]
        begun = time.monotonic()
        await asyncio.to_thread(lambda: None)
        by_address = await deliver(deliverer, NextHop("127.0.0.1", port=1, timeouts=PATIENT))
        assert "cannot connect" in by_address.text
        assert time.monotonic() - begun < 5
        await deliverer.close()

    begun = time.monotonic()
    asyncio.run(flow())  # its end does not wait for the resolver either
    assert time.monotonic() - begun < 15
    over.set()


@pytest.mark.parametrize("fault", [socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL])
def test_whatever_the_resolver_says_is_temporary(
    monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    """NXDOMAIN, no answer, SERVFAIL: the name is ours to mend, and the mail waits."""

    def failing(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(fault, "no")

    monkeypatch.setattr(socket, "getaddrinfo", failing)

    async def flow() -> None:
        outcome = await deliver(Deliverer(), NextHop("mx.example", timeouts=PATIENT))
        assert (outcome.result, outcome.status) == (Result.TEMPORARY, "4.4.3")
        assert "cannot look up its address" in outcome.text

    asyncio.run(flow())


def test_an_address_that_does_not_answer_leads_to_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def two(*_: Any, **__: Any) -> Any:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", two)

    async def flow() -> None:
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        outcome = await deliver(Deliverer(), NextHop("mx.example", port=port, timeouts=PATIENT))
        assert "127.0.0.1" in outcome.host or "connection lost" in outcome.text
        assert (await Resolver().addresses("mx.example"))[0][0] == "::1"
        server.close()

    asyncio.run(flow())
