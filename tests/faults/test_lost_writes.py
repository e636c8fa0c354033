"""A few power cuts for every day; `tests/soak/lost_writes.py` has the many.

The disk of `tests.disk` throws away what was not synced. `tests/unit/test_disk_shim.py` shows that
it does; the last test here shows that a gateway which does not sync is caught by it.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gateway.demo.process import NotStartedError
from gateway.demo.stage import Stage
from tests.disk.replay import Loss
from tests.soak.lost_writes import machine_on

pytestmark = [pytest.mark.fault, pytest.mark.flow]


@pytest.mark.parametrize(("database", "rounds"), [("sqlite", 2), ("postgresql", 1)])
def test_a_power_cut_takes_nothing_that_was_acknowledged(
    folder: Path, made: Stage, database: str, rounds: int
) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    draw = random.Random(seed)
    with machine_on(database, folder, made) as machine:
        for _ in range(rounds):
            lost = machine.round(draw)
            assert lost.octets + lost.names > 0, "nothing was thrown away"
        assert machine.promised, f"nothing was acknowledged (seed {seed})"
        if database == "sqlite":  # with PostgreSQL in the soak: it costs a start more
            machine.everything_arrives()


def test_a_gateway_that_does_not_sync_is_caught(
    folder: Path, made: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with a gateway whose SQLite is told not to sync."""
    careless = folder / "careless"
    careless.mkdir()
    # Read by every Python that starts with it in its path, before our code.
    (careless / "sitecustomize.py").write_text(
        "import pysqlite3.dbapi2 as driver\n"
        "class Careless(driver.Cursor):\n"
        "    def execute(self, text, *more):\n"
        "        if text == 'PRAGMA synchronous=FULL':\n"
        "            super().execute('PRAGMA synchronous=OFF')\n"
        "            return self\n"
        "        if text == 'PRAGMA synchronous':\n"
        "            text = 'SELECT 2'\n"
        "        return super().execute(text, *more)\n"
        "class Connection(driver.Connection):\n"
        "    def cursor(self, factory=Careless):\n"
        "        return super().cursor(factory)\n"
        "connect = driver.connect\n"
        "driver.connect = lambda *a, **k: connect(*a, **{**k, 'factory': Connection})\n"
    )
    with machine_on("sqlite", folder / "careless", made) as machine:
        monkeypatch.setenv("PYTHONPATH", f"{careless}:{Path.cwd()}")
        with pytest.raises((AssertionError, NotStartedError)):
            machine.round(random.Random(1), Loss())
