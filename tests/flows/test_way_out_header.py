"""A subject that was agreed to be confidential: what the next hop, the sender and the log see."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from gateway.demo.pki import Keys
from gateway.mime.entity import split
from tests.flows.stages import one_house
from tests.flows.way_out_scene import AMELIE, NOBODY, Scene, mail

pytestmark = pytest.mark.flow

SECRET = "Fusion"
AGREED = """
[[policy.partners]]
domains = ["justice.example"]
crypto = "readable"
header_protection = "off"
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Scene]:
    with one_house(tmp_path_factory.mktemp("header"), keys, AGREED) as scene:
        yield scene


def test_from_a_reload_on_the_subject_is_hidden(scene: Scene) -> None:
    before = scene.accepted(mail(to=AMELIE, subject=SECRET), AMELIE)
    ((_, file),) = scene.wait_arrived(before)
    assert f"\r\nSubject: {SECRET}\r\n".encode() in file.read_bytes()

    text = scene.house.config.read_text()
    scene.house.config.write_text(
        text.replace('header_protection = "off"', 'header_protection = "confidential"')
    )
    assert scene.house.run("reload", check=False).returncode == 0
    content = mail("Le projet.", to=AMELIE, subject=SECRET, extra=f"Keywords: {SECRET}\r\n")
    archive_id = scene.accepted(content, AMELIE, NOBODY)
    ((_, file),) = scene.wait_arrived(archive_id)
    delivered = file.read_bytes()

    outer = split(delivered)
    assert [field.value for field in outer.all("subject")] == [b"[...]"]
    assert SECRET.encode() not in delivered
    opened = scene.opened(file, AMELIE)
    inner = split(opened.entity)
    assert [field.value for field in inner.all("subject")] == [SECRET.encode()]
    assert [field.value for field in inner.all("keywords")] == [SECRET.encode()]
    assert inner.body == split(content).body
    # The log has what was signed, and how it came from what the author sent.
    (sealed,) = (e for e in scene.history(archive_id) if e["kind"] == "sealed")
    signed = hashlib.sha256(opened.entity).hexdigest()
    assert sealed["fields"]["entity.sha256"] == signed
    assert sealed["fields"]["transformation.000000"].startswith("root content->hp=cipher ")
    assert sealed["fields"]["transformation.000000"].endswith(signed)
    # Nobody is told the subject: no notice about the one who is held, no line of the log.
    scene.wait_state(archive_id, NOBODY, "held")
    _, notice = scene.wait_notice(archive_id, "delayed")
    assert SECRET.encode() not in notice
    assert SECRET not in str(scene.queue(archive_id)) + str(scene.history(archive_id))
    assert SECRET not in scene.house.log.read_text()
