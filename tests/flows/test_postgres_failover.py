"""A synchronous standby takes over: nothing that was acknowledged is missing on it."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import migrations
from archive import store
from archive.appender import Appender
from archive.entry import new_archive_id
from archive.errors import AppenderBroken
from archive.fsck import verify
from archive.store import Draft
from gateway.check import Level
from gateway.check.server import check_server
from gateway.database import Database, open_database
from gateway.database.patience import LONG, patience
from gateway.demo.postgres import USER, Postgres
from tests.flows.way_out_scene import until
from tests.postgres_acts import put, standby

pytestmark = pytest.mark.flow

ORIGIN = "test.example/failover"


@pytest.fixture
def pair() -> Iterator[tuple[Postgres, Postgres]]:
    """A primary and a standby that follows it."""
    folder = Path(tempfile.mkdtemp(prefix="sceau-test-", dir="/tmp"))
    folder.chmod(0o755)
    primary = Postgres(folder / "primary")
    second = None
    try:
        primary.start()
        primary.create("sceau")
        second = standby(primary, folder / "standby", "second")
        second.start()
        yield primary, second
    finally:
        for server in (second, primary):
            if server is not None:
                server.stop(signal.SIGQUIT)
        shutil.rmtree(folder)


def opened(*servers: Postgres) -> Database:
    hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in servers)
    url = f"postgresql+psycopg://{USER}@/sceau?{hosts}"
    return open_database(url, password=servers[0].password)


class Client:
    """Has one entry after the other written, and remembers those it was told of."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.told: list[str] = []
        self.unknown = 0
        self.stop = threading.Event()

    def run(self) -> None:
        appender = self._appender()
        while not self.stop.is_set():
            draft = Draft("noted", "o", new_archive_id(), {"text": b"x"})
            try:
                appender.append([draft])
            except AppenderBroken:
                self.unknown += 1
                appender = self._appender()  # as a process that was started afresh
            else:
                self.told.append(draft.archive_id)
        appender.close()

    def _appender(self) -> Appender:
        return Appender(
            self.database.write_beside,
            origin=ORIGIN,
            now=lambda: datetime.now(UTC),
            again=patience(LONG),
        )


def test_what_was_acknowledged_is_on_the_standby(pair: tuple[Postgres, Postgres]) -> None:
    primary, second = pair
    put(primary, "synchronous_standby_names", "second")
    database = opened(primary, second)
    with database.write() as conn:
        migrations.upgrade(conn)
        store.create_log(conn, ORIGIN)
    (server, follower) = check_server(database)
    assert (server.level, follower.level) == (Level.OK, Level.OK)
    assert follower.text.startswith("second: synchronous")

    client = Client(database)
    thread = threading.Thread(target=client.run, daemon=True)
    thread.start()
    until(lambda: len(client.told) > 50, 20, lambda: "it does not begin")
    primary.stop(signal.SIGKILL)
    with second.connect() as session:
        session.execute("SELECT pg_promote()")
    before = len(client.told)
    until(lambda: len(client.told) > before + 20, 30, lambda: "it does not go on")
    client.stop.set()
    thread.join(20)
    with database.read() as conn:
        there = {entry.id for entry in store.read_entries(conn)}
        assert set(client.told) <= there
        assert verify(conn).status == "valid"
    # What was told to nobody may be there or not.
    assert len(there) <= len(client.told) + client.unknown
    database.close()


def test_a_standby_alone_is_refused(pair: tuple[Postgres, Postgres]) -> None:
    from gateway.database import DatabaseUnsafe

    _primary, second = pair
    with pytest.raises(DatabaseUnsafe, match="takes no writes"):
        opened(second)
