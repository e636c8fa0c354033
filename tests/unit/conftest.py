"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.database import Database, open_database
from pki.tables import metadata as pki_metadata


@pytest.fixture
def pki_database(tmp_path: Path) -> Iterator[Database]:
    """An empty database with the tables of `pki`."""
    database = open_database(f"sqlite:///{tmp_path}/pki.db", checkpoint=True)
    with database.write() as conn:
        pki_metadata.create_all(conn)
    yield database
    database.close()
