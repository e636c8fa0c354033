"""Hostile mails through the whole gateway: taken at once, archived, sealed, opened, found."""

from __future__ import annotations

import hashlib

import pytest

from gateway.demo.client import Letter, send
from gateway.mime.entity import content_entity, split
from tests.bombs import BOMBS, NO_AUTHOR
from tests.flows.way_out_scene import AMELIE, JEANNE, Scene

pytestmark = pytest.mark.flow


def test_every_bomb_is_archived_as_it_came_and_opens_at_the_recipient(ministry: Scene) -> None:
    letters = [Letter(name, JEANNE, (AMELIE,), made()) for name, made in BOMBS.items()]
    receipts = {
        receipt.key: receipt
        for receipt in send(letters, ministry.house.listen_port, connections=2, timeout=60)
    }
    refused = {key: (r.code, r.text) for key, r in receipts.items() if r.code != 250}
    assert set(refused) <= REFUSED, refused
    for letter in letters:
        if letter.key in refused:
            continue
        receipt = receipts[letter.key]
        ((_, file),) = ministry.wait_arrived(receipt.archive_id, seconds=90)
        history = ministry.history(receipt.archive_id)
        accepted = next(entry for entry in history if entry["kind"] == "accepted")
        assert hashlib.sha256(letter.content).hexdigest() in str(accepted), letter.key
        opened = ministry.opened(file, AMELIE)
        assert opened.entity == content_entity(split(letter.content)), letter.key
    assert ministry.house.wait_indexed(seconds=90)
    search = ("archive", "search", "--limit", "100", "--case", "essai", "bombe")
    found = {line["id"] for line in ministry.json(*search)}
    wanted = {r.archive_id for r in receipts.values() if r.code == 250}
    assert wanted <= found, "by their subject they are found all the same"


# A mail whose line ends, lengths or header nobody can be sure of is refused in words.
REFUSED = {
    "200,000 header fields",
    "no header field at all after ours",
    "a header without an end",
    "mails in mails in mails",
}


@pytest.mark.parametrize("name", NO_AUTHOR)
def test_an_author_nobody_can_tell_is_refused_in_words(ministry: Scene, name: str) -> None:
    receipt = ministry.send(NO_AUTHOR[name](), AMELIE)
    assert receipt.code == 550
    assert "5.7.1" in receipt.text
