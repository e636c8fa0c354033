"""Neighbours that are dead for a minute, under load: what is lost, what it costs, how it ends.

Each round is an outage of the length of a minute, drawn by the seed. Judged from outside: what
clients were told, the receiving server's ledger, `/proc`, and what the gateway says of it. The
gateway's `queue.retry` is the default one: what waited must not wait for it.
"""

from __future__ import annotations

import random
import time

from gateway.demo.house import DEFAULT_RULES, House
from gateway.demo.pki import Keys
from gateway.demo.postgres import Postgres
from gateway.demo.stage import Stage, stage
from tests.flows.way_out_scene import until
from tests.services import outages
from tests.services.outages import Outage
from tests.services.steady_load import (
    Load,
    arrived,
    family,
    megabytes,
    processor_seconds,
    wait,
)
from tests.soak._folder import folder_of

SECONDS = 60.0
_ANSWERED = 60.0  # no client waits longer for any answer
_FIRST = 10.0  # from the end of an outage to the first 250
_SHARE = 0.3  # of one core, while a neighbour is dead and clients come
_GROWTH = 60  # MB that the largest process may grow meanwhile

OUTAGES: tuple[Outage, ...] = (
    outages.database_stopped,
    outages.database_frozen,
    outages.table_locked,
    outages.database_read_only,
    outages.out_of_connections,
    outages.standby_away,
    outages.next_hop_gone,
    outages.next_hop_frozen,
    outages.directory_frozen,
    outages.crl_server_gone,
    outages.everybody_gone,
)
# Clients are told 250 through these, and somebody is named by the alarm.
_NAMED = {
    "database_stopped": "database",
    "database_frozen": "database",
    "next_hop_gone": "next-hop",
    "everybody_gone": "database",
}
_RETRY = '["5m", "15m", "30m", "1h", "2h", "4h"]'


def run(seed: int, rounds: int = len(OUTAGES), *, seconds: float = SECONDS) -> None:
    """`rounds` outages, each kind once before any comes again. Raises AssertionError."""
    draw = random.Random(seed)
    with (
        folder_of("dead-neighbours") as folder,
        Postgres(folder / "postgres", settings={"max_connections": "100"}) as server,
        stage(folder / "stage", keys=Keys(), postgres=server) as made,
    ):
        rules = DEFAULT_RULES.replace('"person"', '"seal"')
        house = made.house(rules=rules, retry=_RETRY).make(persons=False).start()
        try:
            _rounds(made, house, draw, rounds, seconds)
            assert house.stop() == 0
            _no_trace(house, "stopping")
        finally:
            house.stop()


def _rounds(made: Stage, house: House, draw: random.Random, rounds: int, seconds: float) -> None:
    order: list[Outage] = []
    for number in range(rounds):
        order = order or draw.sample(OUTAGES, len(OUTAGES))
        outage = order.pop()
        name = str(getattr(outage, "__name__", outage))
        _say(f"round {number + 1}: {name}: {_round(made, house, outage, name, seconds)}")
        _no_trace(house, name)


def _round(made: Stage, house: House, outage: Outage, name: str, seconds: float) -> str:
    mark = house.log.stat().st_size
    with Load(house, clients=4) as load:
        until(lambda: len(load.taken()) > 20, 60, lambda: str(load.told[-3:]))
        before, small = processor_seconds(family(house)), megabytes(family(house))
        begun = time.monotonic()
        with outage(made, house):
            wait(seconds)
            lasted = time.monotonic() - begun
            spent = processor_seconds(family(house)) - before
            grown = megabytes(family(house)) - small
            alarms = [e for e in house.events(since=mark) if e["event"] == "alarm"]
        over, told = time.monotonic(), len(load.told)
        until(lambda: len(load.taken(told)) > 0, 60, lambda: house.log.read_text()[-3000:])
        first = time.monotonic() - over
        until(lambda: len(load.taken(told)) > 20, 60, lambda: str(load.told[-3:]))
    assert load.faults(seconds=_ANSWERED) == [], load.faults(seconds=_ANSWERED)[:3]
    wanted = set(load.taken())
    until(
        lambda: wanted <= arrived(made).keys(),
        2 * seconds,
        lambda: (
            f"{len(wanted - arrived(made).keys())} are missing\n{house.log.read_text()[-3000:]}"
        ),
    )
    drained = time.monotonic() - over
    assert drained < 2 * seconds
    assert house.wait_settled(seconds=60)
    copies = {key: number for key, number in arrived(made).items() if key in wanted}
    again = sum(copies.values()) - len(copies)
    refused = len(load.told) - len(wanted)
    figures = (
        f"{len(wanted)} taken, {refused} refused, {again} twice, first 250 after {first:.1f} s, "
        f"drained after {drained:.1f} s, {spent:.1f} s of processor in {lasted:.0f} s, "
        f"largest process grew by {grown} MB"
    )
    # In flight when somebody went away, and its outcome not written: once more, and no more.
    assert max(copies.values()) <= 2, figures
    assert first < _FIRST, figures
    # While next hops and directories are away the gateway does its work with all that comes.
    idle = refused > len(wanted)
    assert not idle or spent < 5 + _SHARE * lasted, figures
    assert grown < _GROWTH, figures
    if kind := _NAMED.get(name):
        assert any(str(alarm["subject"]).startswith(kind) for alarm in alarms), figures
    assert not house.json("queue", "list", "--state", "held"), figures
    (report,) = house.json("archive", "verify")
    assert report["status"] == "valid", figures
    return figures


def _no_trace(house: House, name: str) -> None:
    found = [line for line in house.log.read_text().split("\n{") if "Traceback" in line]
    assert not found, f"{name}: {found[0][-6000:]}"


def _say(line: str) -> None:
    print(line, flush=True)
