"""One history of the database's tables, for all packages.

Run by `sceau init` and `sceau upgrade`; every other command only checks that the tables are
those of this version.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

# The revision this version of the product works with; a test holds that it is the newest one.
# Written down because every command compares it and asking Alembic takes a fifth of a second.

SCHEMAS = ("archive", "pki", "gateway")
HEAD = "0014"

_VERSION = sa.table("alembic_version", sa.column("version_num"))


def current(conn: sa.Connection) -> str | None:
    """The revision of the database; None for an empty one."""
    schema = "gateway" if conn.dialect.name == "postgresql" else None
    if not sa.inspect(conn).has_table("alembic_version", schema=schema):
        return None
    return conn.execute(sa.select(_VERSION.c.version_num)).scalar()


def upgrade(conn: sa.Connection, revision: str = "head") -> None:
    """Bring the tables to `revision` in the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    if conn.dialect.name == "postgresql":
        # An administrator may have made them already, for a role that may not make any.
        for name in sorted(set(SCHEMAS) - set(sa.inspect(conn).get_schema_names())):
            conn.execute(sa.schema.CreateSchema(name))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = conn
    command.upgrade(config, revision)
