"""Next hops: connected to, greeted, and TLS as each route demands it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.check.expiry import validity
from gateway.check.finding import Finding, error, good, unknown, warning
from gateway.growth import leaves_as
from gateway.smtp.nexthop import NextHop, Timeouts, TlsDemand
from gateway.smtp.transaction import greet
from gateway.smtp.wire import TlsError, WireError
from gateway.wiring import Wiring

_PATIENCE = Timeouts(connect=5, greeting=10, command=5)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a next hop said. fault: why it cannot be used now, None if it can."""

    fault: WireError | None
    extensions: dict[str, str]
    tls: str
    certificate: bytes


def routes(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """All side by side: one that is silent must not keep the others waiting."""
    named = wiring.config.routes
    hops = []
    for each in named:
        route = wiring.routes.get(each.name)
        assert route is not None
        hops.append(route.hop)
    for each, hop, seen in zip(named, hops, asyncio.run(_see_all(hops)), strict=True):
        yield from _judge(f"route {each.name}", hop, seen, moment)
        if seen.fault is None:
            yield from _size(f"route {each.name}", hop, seen, wiring)


async def _see_all(hops: list[NextHop]) -> list[_Seen]:
    return await asyncio.gather(*(_see(replace(hop, timeouts=_PATIENCE)) for hop in hops))


async def _see(hop: NextHop) -> _Seen:
    try:
        try:
            wire = await greet(hop, lambda: None, allow_tls=True)
        except TlsError:
            if hop.tls is TlsDemand.VERIFIED:
                raise
            wire = await greet(hop, lambda: None, allow_tls=False)
    except WireError as fault:
        return _Seen(fault, {}, "", b"")
    try:
        return _Seen(None, dict(wire.extensions), wire.tls, wire.peer_certificate)
    finally:
        wire.quit()
        await asyncio.sleep(0)


def _judge(subject: str, hop: NextHop, seen: _Seen, moment: datetime) -> Iterator[Finding]:
    facts = {"host": hop.host, "port": str(hop.port)}
    if seen.fault is not None:
        reason = str(seen.fault)
        if seen.fault.status.startswith("4.7"):  # RFC 3463: security
            yield error(
                subject,
                "route.tls",
                "{host}:{port}: {reason}",
                meaning="mail for it waits in the queue",
                advice="compare ca and host of the route with the certificate there",
                reason=reason,
                **facts,
            )
        else:
            yield unknown(
                subject,
                "route.silent",
                "{host}:{port} does not answer: {reason}",
                meaning="mail for it waits in the queue",
                advice="host and port of the route; a firewall on the way",
                reason=reason,
                **facts,
            )
        return
    yield good(subject, "{host}:{port} answers ({tls})", tls=seen.tls or "no TLS", **facts)
    if hop.tls is TlsDemand.VERIFIED:
        yield validity(subject, seen.certificate, moment)
    if "8BITMIME" not in seen.extensions:
        yield warning(
            subject,
            "route.8bitmime",
            "{host}:{port} does not offer 8BITMIME",
            meaning="mail with 8-bit data that leaves unsigned fails there",
            advice="turn it on there",
            **facts,
        )


def _size(subject: str, hop: NextHop, seen: _Seen, wiring: Wiring) -> Iterator[Finding]:
    """Whether it takes what a mail as large as we take has become (RFC 1870)."""
    ours, two = wiring.config.listen.max_size, wiring.policy.two_envelopes_anywhere
    offered = seen.extensions.get("SIZE", "")
    if not offered.isdecimal() or not 0 < int(offered) < leaves_as(ours, two_envelopes=two):
        return
    yield warning(
        subject,
        "route.size",
        "{host}:{port} takes {offered} octets, and we take {ours}",
        meaning=(
            "mail in two envelopes is nearly twice as large: a large one fails, and its sender is "
            "told"
            if two
            else "encrypted mail is a third larger: a large one fails, and its sender is told"
        ),
        advice="a higher limit there (message_size_limit), or a lower listen.max_size",
        host=hop.host,
        port=str(hop.port),
        offered=offered,
        ours=str(ours),
    )
