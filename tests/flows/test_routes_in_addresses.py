"""One machine, one Postfix, as in the README: nobody gets clear text by way of an address at home.

Postfix still reads a route in the local part of an address of its own ("percent hack", "bang
path", a quoted @). Whoever writes to `amelie%justice.example@interieur.example` is judged by the
rule for home, where mail stays in clear, and Postfix would send it to justice.example.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.demo.pki import Keys
from tests.flows.stages import stage
from tests.flows.way_out_scene import AMELIE, NOBODY, REGISTRY, Scene, mail
from tests.services.postfix import Postfix

pytestmark = pytest.mark.flow

RULES = """
[[policy.rules]]
name = "justice"
recipient = "@justice.example"
encryption = "required"
without_certificate = "hold"

[[policy.rules]]
name = "home"
recipient = "@interieur.example"
encryption = "never"
sign = "none"
"""
LOCAL, DOMAIN = AMELIE.split("@")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("one-postfix")
    with stage(folder / "stage", keys=keys) as made:
        # What it has no mailbox for goes to the world, which is the sink.
        home = {"mydestination": "interieur.example", "local_transport": "smtp:[127.0.0.1]"}
        home["local_transport"] += f":{made.sink.port}"
        with Postfix(relayhost=f"[127.0.0.1]:{made.sink.port}", main=home) as postfix:
            house = made.house(rules=RULES, sink_port=postfix.port, workers=1, intake=1)
            house.make().start()
            there = Scene(made, house)
            yield there
            assert house.stop() == 0
            assert there.faults() == []


@pytest.mark.parametrize(
    "routed",
    [
        f"{LOCAL}%{DOMAIN}@interieur.example",
        f"{DOMAIN}!{LOCAL}@interieur.example",
        f'"{LOCAL}@{DOMAIN}"@interieur.example',
        f'"{LOCAL}%{DOMAIN}"@interieur.example',
    ],
)
def test_a_route_in_a_local_part_is_refused(scene: Scene, routed: str) -> None:
    receipt = scene.send(mail("Rien en clair.", to=routed), routed)
    assert receipt.refused[routed].startswith("553 5.1.3"), receipt
    assert not receipt.archive_id


def test_nor_does_a_notice_take_such_a_way(scene: Scene) -> None:
    receipt = scene.send(mail(), NOBODY, sender=f"{LOCAL}%{DOMAIN}@interieur.example")
    assert receipt.code == 553, receipt


def test_an_address_without_a_route_goes_home_in_clear_and_away_encrypted(scene: Scene) -> None:
    archive_id = scene.accepted(mail("Bonjour."), AMELIE, REGISTRY)
    scene.wait_arrived(archive_id, 2)
    for delivery, file in scene.arrived(archive_id):
        assert (b"Bonjour." in file.read_bytes()) == (delivery.rcpt_to == (REGISTRY,))
