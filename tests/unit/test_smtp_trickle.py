"""A next hop that says one octet after the other: it is not dead, and it is of no use."""

from __future__ import annotations

import asyncio
import socket
import time

from gateway.smtp.client import Deliverer
from gateway.smtp.nexthop import NextHop, Outcome, Result, Timeouts
from gateway.smtp.transaction import greet
from tests.services.hostile_smtp import Hostile, running

GREETING = 6.0


async def trickle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            writer.write(b"2")
            await writer.drain()
            await asyncio.sleep(0.05)
    except ConnectionError:
        pass
    finally:
        writer.close()


async def deliver(deliverer: Deliverer, hop: NextHop) -> tuple[Outcome, float]:
    begun = time.monotonic()
    (outcome,) = await deliverer.deliver(
        hop, "", ["b@example.net"], b"x\r\n", eight_bit=False, smtputf8=False
    )
    return outcome, time.monotonic() - begun


def test_mail_does_not_gather_before_a_hop_that_trickles() -> None:
    """Its octets are no sign of life: otherwise it would hold up mail to everybody else."""

    async def flow() -> None:
        server = await asyncio.start_server(trickle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        hop = NextHop("127.0.0.1", port=port, timeouts=Timeouts(greeting=GREETING))
        deliverer = Deliverer(max_connections_per_hop=2, patience_seconds=0.5)
        told = await asyncio.gather(*(deliver(deliverer, hop) for _ in range(8)))
        assert {outcome.result for outcome, _ in told} == {Result.TEMPORARY}
        soon = [seconds for outcome, seconds in told if "silent" in outcome.text]
        assert len(soon) == 6
        assert max(soon) < GREETING
        assert all("no reply in time" in o.text for o, _ in told if "silent" not in o.text)
        await deliverer.close()
        server.close()

    asyncio.run(flow())


def test_a_machine_that_is_gone_is_noticed_while_its_reply_is_waited_for() -> None:
    """The kernel asks for it: nothing of ours is on its way that would come back unanswered."""

    async def flow() -> None:
        async with running(Hostile()) as server:
            hop = NextHop("127.0.0.1", port=server.port, ehlo_name="gw.example")
            wire = await greet(hop, lambda: None, allow_tls=False)
            assert wire._transport is not None
            own = wire._transport.get_extra_info("socket")
            assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            idle, every, count = (
                own.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert idle + every * count <= 90
            wire.quit()
            await asyncio.sleep(0)

    asyncio.run(flow())
