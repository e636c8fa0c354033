"""The database: one place that opens it and that knows what SQLite and PostgreSQL call things.

All other SQL of the product runs on both. Why two: docs/decisions/0001 and 0010.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from gateway.database.base import SCHEMAS, CommitDoubtful, Database, DatabaseUnsafe, Listening
from gateway.errors import SceauError

__all__ = [
    "SCHEMAS",
    "CommitDoubtful",
    "Database",
    "DatabaseUnsafe",
    "Listening",
    "open_database",
]


def open_database(
    url: str, *, password: str = "", checkpoint: bool = False, existing: bool = False
) -> Database:
    """Open `sqlite:///path` or `postgresql+psycopg://user@host/name`.

    Refuses versions and settings that would lose commits.

    password: for PostgreSQL; it stands in no error and no log.
    checkpoint: True for the one process that moves SQLite's WAL into the database (the keeper,
        and commands that run alone); the others leave the log to it.
    existing: refuse to make a new file. On a data disk that is not mounted, an empty database in
        its place would hide that. (A server never makes one.)
    Raises DatabaseUnsafe, SceauError; sqlalchemy.exc.OperationalError when the server is not there.
    """
    parsed = sa.make_url(url)
    if parsed.drivername == "postgresql+psycopg" and parsed.database:
        from gateway.database.postgres import open_postgres

        return open_postgres(parsed, password=password)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise SceauError(
            "database.url: {url} is not a database this version can use",
            hint='write "sqlite:///data/sceau.db" or "postgresql+psycopg://sceau@host/sceau"',
            facts={"url": parsed.render_as_string()},
        )
    path = Path(parsed.database)
    if existing and not path.is_file():
        raise SceauError(
            "there is no database {path}",
            hint="sceau init makes the database of a new installation",
            facts={"path": str(path)},
        )
    from gateway.database.sqlite import open_sqlite

    return open_sqlite(path, checkpoint=checkpoint)
