"""Trust ended and given back while `sceau serve` runs: what its workers do with the next mail."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes

from gateway.demo.pki import JUSTICE, Keys
from tests.flows.stages import stage
from tests.flows.way_out_scene import AMELIE, HUGO, JEANNE, Scene, mail

pytestmark = pytest.mark.flow

# Until every process has heard of a decision (docs/pki.md): each asks the database once a second.
HEARD = 2.0


@pytest.fixture
def scene(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Scene]:
    """The partner's root is not in the configuration: persons decide about it."""
    with stage(tmp_path_factory.mktemp("anchors"), keys=keys) as made:
        house = made.house(workers=1).make(persons=False)
        section = rf'\n\[\[pki\.anchors\]\]\nname = "{re.escape(JUSTICE)}"\n(?:[^\n]+\n)+'
        text, count = re.subn(section, "\n", house.config.read_text("utf-8"))
        assert count == 1
        house.config.write_text(text, "utf-8")
        found = Scene(made, house)
        enrol(found)
        root = made.world.justice.root.credential
        request = decide(
            found, "propose", str(root.certificate_file),
            "--fingerprint", root.certificate.fingerprint(hashes.SHA256()).hex(":"),
            "--name", "justice", "--purpose", "encrypt", "--purpose", "sign",
            "--domain", JUSTICE, by=JEANNE,
        )  # fmt: skip
        decide(found, "approve", str(request["id"]), by=HUGO)
        house.run("pki", "crl", "refresh")
        house.start()
        yield found
        assert found.faults() == []
        assert house.stop() == 0


def pen(scene: Scene, who: str) -> tuple[str, ...]:
    one = scene.credential(who)
    return "--as", str(one.certificate_file), "--key", str(one.key_file)


def decide(scene: Scene, verb: str, *words: str, by: str) -> dict[str, Any]:
    (said,) = scene.json("pki", "anchor", verb, *words, *pen(scene, by))
    return said


def enrol(scene: Scene) -> None:
    files = [str(scene.credential(who).certificate_file) for who in (JEANNE, HUGO)]
    (asked,) = scene.json(
        "person", "enrol", *files, "--name", "Jeanne Moreau", "--name", "Hugo Blanc",
        "--verified", "ID cards seen", *pen(scene, JEANNE),
    )  # fmt: skip
    scene.json("person", "approve", str(asked["id"]), *pen(scene, HUGO))


def test_a_suspended_anchor_holds_the_next_mail_and_a_resumed_one_lets_it_go(scene: Scene) -> None:
    first = scene.accepted(mail("Bonjour."), AMELIE)
    ((_, file),) = scene.wait_arrived(first)
    assert b"Bonjour." in scene.opened(file, AMELIE).entity

    decide(scene, "suspend", "justice", "--reason", "a break-in", by=JEANNE)
    time.sleep(HEARD)
    second = scene.accepted(mail("Secret."), AMELIE)
    line = scene.wait_state(second, AMELIE, "held")
    assert line["reason"]["code"] == "path.anchor-suspended"
    assert scene.arrived(second) == []

    asked = decide(scene, "resume", "justice", "--reason", "a false alarm", by=HUGO)
    time.sleep(HEARD)
    third = scene.accepted(mail("Encore."), AMELIE)  # one person alone gives no trust back
    line = scene.wait_state(third, AMELIE, "held")
    assert line["reason"]["code"] == "path.anchor-suspended"

    decide(scene, "approve", str(asked["id"]), by=JEANNE)
    time.sleep(HEARD)
    fourth = scene.accepted(mail("Enfin."), AMELIE)
    scene.wait_arrived(fourth)
    for archive_id, text in ((second, b"Secret."), (third, b"Encore.")):
        assert scene.arrived(archive_id) == []
        assert scene.sceau("queue", "release", archive_id).returncode == 0
        ((_, file),) = scene.wait_arrived(archive_id)
        assert text not in file.read_bytes()
        assert text in scene.opened(file, AMELIE).entity
