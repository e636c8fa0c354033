"""The database of a new installation: its tables, and the empty log."""

from __future__ import annotations

import migrations
from archive.store import create_log
from gateway.config import Config
from gateway.database import open_database


def make_database(config: Config) -> None:
    """Make tables and log in one transaction. Raises LogExists, DatabaseUnsafe, SceauError."""
    database = open_database(config.database.url, checkpoint=True)
    try:
        with database.write() as conn:
            migrations.upgrade(conn)
            create_log(conn, config.archive.origin)
    finally:
        database.close()
