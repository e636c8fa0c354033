"""Fixtures that many tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import migrations
from archive.store import create_log
from gateway.database import Database, open_database

ORIGIN = "test.example/archive"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database as `sceau init` makes it: all tables, an empty log."""
    database = open_database(f"sqlite:///{tmp_path / 'sceau.db'}", checkpoint=True)
    with database.write() as conn:
        migrations.upgrade(conn)
        create_log(conn, ORIGIN)
    yield database
    database.close()
