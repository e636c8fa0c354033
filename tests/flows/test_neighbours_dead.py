"""PostgreSQL and the next hop in trouble, under load: what clients hear, what is there afterwards.

The length of these outages is some seconds; `./dev soak neighbours` has them for a minute.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gateway.demo.house import DEFAULT_RULES
from gateway.demo.pki import Keys
from gateway.demo.postgres import Postgres
from gateway.demo.process import free_port
from tests.flows.stages import stage
from tests.flows.way_out_scene import AMELIE, Scene, mail, until
from tests.services import outages
from tests.services.outages import Outage
from tests.services.steady_load import Load, arrived, family, processor_seconds, wait

pytestmark = pytest.mark.flow

# The longest that a client may wait for an answer: a lock, then a database that is frozen.
ANSWERED = 60.0


@dataclass
class Started(Scene):
    """spent: processor seconds that its start has taken."""

    spent: float


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory, keys: Keys, postgres: Postgres
) -> Iterator[Started]:
    with stage(tmp_path_factory.mktemp("dead"), keys=keys, postgres=postgres) as made:
        house = made.house(
            rules=DEFAULT_RULES.replace('"person"', '"seal"'),
            retry='["1h"]',  # so that what arrives in seconds was not waited for
            workers=1,
            intake=1,
        ).make(persons=False)
        house.config.write_text(house.config.read_text() + f"[metrics]\nport = {free_port()}\n")
        house.start()
        yield Started(made, house, processor_seconds(family(house)))
        assert house.stop() == 0
        assert "Traceback" not in house.log.read_text()


def metrics(scene: Scene) -> str:
    port = scene.house.config.read_text().rpartition("port = ")[2].strip()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return str(answer.read().decode())


def told_away(scene: Scene) -> list[dict[str, object]]:
    """What `sceau check` says of neighbours that do not answer."""
    lines = scene.house.json("check", check=False)
    return [one for one in lines if one["subject"] == "neighbours" and one["code"]]


@pytest.mark.parametrize(
    ("outage", "seconds"),
    [
        (outages.database_frozen, 6.0),
        (outages.table_locked, 2.0),
        (outages.database_read_only, 2.0),
        (outages.out_of_connections, 2.0),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_database_in_trouble_costs_neither_mail_nor_patience(
    scene: Started, outage: Outage, seconds: float
) -> None:
    house = scene.house
    with Load(house) as load:
        until(lambda: len(load.taken()) > 3, 30, lambda: str(load.told))
        before = processor_seconds(family(house))
        with outage(scene.stage, house):
            begun = time.monotonic()
            wait(seconds)
            spent = processor_seconds(family(house)) - before
            lasted = time.monotonic() - begun
        told = len(load.told)
        until(lambda: len(load.taken(told)) > 3, 30, lambda: house.log.read_text()[-3000:])
    assert load.faults(seconds=ANSWERED) == []
    wanted = set(load.taken())
    until(
        lambda: wanted <= arrived(scene.stage).keys(),
        40,
        lambda: f"{wanted - arrived(scene.stage).keys()}\n{house.log.read_text()[-3000:]}",
    )
    assert house.wait_settled(seconds=120)
    # A process that ended was started once; nobody asks a dead database without a pause. What a
    # start costs is this machine's: 4 s of a good one.
    assert spent < max(4.0, scene.spent) + lasted / 2
    (report,) = scene.json("archive", "verify")
    assert report["status"] == "valid"
    assert scene.json("queue", "list", "--state", "held") == []  # no mail is blamed


def test_who_is_away_is_named_and_mail_goes_when_he_is_back(scene: Scene) -> None:
    """With an hour between two attempts."""
    house = scene.house
    # An idle process may notice only now that the database was away in an earlier test.
    until(lambda: not told_away(scene), 20, lambda: str(told_away(scene)))
    mark = house.log.stat().st_size
    with outages.next_hop_gone(scene.stage, house):
        waiting = [scene.accepted(mail(f"n {n}"), AMELIE) for n in range(5)]
        for archive_id in waiting:
            scene.wait_reason(archive_id, AMELIE, "delivery.deferred")
        lines = told_away(scene)
        assert [one["code"] for one in lines] == ["neighbour.away"], lines
        assert "route all has not answered since 20" in str(lines[0]["text"])
        assert 'sceau_neighbours_away{kind="next-hop"} 1.0' in metrics(scene)
    for archive_id in waiting:
        scene.wait_arrived(archive_id, seconds=40)

    def names() -> list[object]:
        return [e["event"] for e in house.events(since=mark) if e.get("kind") == "next-hop"]

    until(lambda: "neighbour_back" in names(), 20, lambda: str(names()))
    assert names().count("neighbour_away") == 1
    well = 'sceau_neighbours_away{kind="next-hop"} 0.0'
    until(lambda: well in metrics(scene), 20, lambda: metrics(scene))
    assert {arrived(scene.stage)[archive_id] for archive_id in waiting} == {1}
