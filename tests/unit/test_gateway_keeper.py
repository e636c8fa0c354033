"""What the keeper ends: working wraps of settled mail, working keys of settled days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from archive.errors import NotMine
from archive.index import Extracted, Indexer
from archive.reading import load_sealed
from archive.seal import open_content
from gateway.clock import to_micros
from gateway.database import Database
from gateway.keeper import Keeper
from gateway.queue.jobs import NewMessage
from gateway.queue.states import State
from gateway.queue.store.enqueue import enqueue
from gateway.queue.store.give_back import give_back
from gateway.queue.store.recipients import save_recipients
from gateway.queue.store.take import take
from pki.fetch import FetchRules
from pki.trust import StoredTrust
from tests.unit.archive_world import MAIL, MOMENT, World


@pytest.fixture
def world(tmp_path: Path, database: Database) -> Iterator[World]:
    with World(tmp_path, database) as world:
        yield world


def keeper(world: World) -> Keeper:
    return Keeper(
        database=world.database,
        sources=(),
        trust=StoredTrust(world.database.read, anchors=(), intermediates=()),
        rules=FetchRules(frozenset()),
        working_keys=world.working,
        index=world.folder / "index",
        waits=[timedelta(minutes=5)],
        now=lambda: MOMENT,
    )


def queued_mail(world: World) -> str:
    draft = world.accepted()
    world.append(draft)
    now = to_micros(MOMENT)
    message = NewMessage(
        draft.archive_id, "o", "mail", "a@x", "a@x", {}, "", len(MAIL), now, now + 10**9, ("b@y",)
    )
    with world.database.write() as conn:
        enqueue(conn, [message])
    return draft.archive_id


def settle(world: World, archive_id: str) -> None:
    with world.database.write() as conn:
        job = take(conn, archive_id)
        job.recipients[0].state = State.DELIVERED
        save_recipients(conn, [(archive_id, job.recipients[0])])
        give_back(conn, [job], now=to_micros(MOMENT))


def index(world: World) -> None:
    def extract(_raw: bytes) -> Extracted:
        return Extracted("", (), (), "", (), None)

    indexer = Indexer(world.folder / "index", extract, world.database.read, world.gateway)
    while indexer.step():
        pass
    indexer.close()


def opens(world: World, archive_id: str) -> bool:
    with world.database.read() as conn:
        sealed = load_sealed(conn, archive_id)
    assert open_content(sealed, world.authority) == MAIL  # the authority always can
    try:
        return open_content(sealed, world.gateway) == MAIL
    except NotMine:
        return False


def test_the_gateway_can_open_mail_until_it_is_settled_and_indexed(world: World) -> None:
    archive_id = queued_mail(world)
    index(world)
    keeper(world).end_working_keys(MOMENT)
    assert opens(world, archive_id), "still queued"
    settle(world, archive_id)
    keeper(world).end_working_keys(MOMENT)
    assert not opens(world, archive_id)


def test_mail_that_is_not_indexed_yet_stays_open_to_the_index(world: World) -> None:
    archive_id = queued_mail(world)
    settle(world, archive_id)
    keeper(world).end_working_keys(MOMENT)
    assert opens(world, archive_id)
    index(world)
    keeper(world).end_working_keys(MOMENT)
    assert not opens(world, archive_id)


def test_a_days_key_is_destroyed_when_nothing_needs_it_any_more(world: World) -> None:
    first, second = queued_mail(world), queued_mail(world)
    index(world)
    settle(world, first)
    tomorrow = MOMENT + timedelta(days=1)
    keeper(world).end_working_keys(tomorrow)
    assert len(world.working.ids()) == 1, "the second mail still needs it"
    settle(world, second)
    keeper(world).end_working_keys(MOMENT)
    assert len(world.working.ids()) == 1, "its day is not over"
    keeper(world).end_working_keys(tomorrow)
    assert world.working.ids() == []
