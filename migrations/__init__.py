"""One history of the database's tables, for all packages.

Run by `sceau init` and `sceau upgrade`; every other command only checks that the tables are
those of this version.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def head() -> str:
    """The revision this version of the product works with."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def current(conn: sa.Connection) -> str | None:
    """The revision of the database; None for an empty one."""
    return MigrationContext.configure(conn).get_current_revision()


def upgrade(conn: sa.Connection, revision: str = "head") -> None:
    """Bring the tables to `revision` in the caller's transaction."""
    config = _config()
    config.attributes["connection"] = conn
    command.upgrade(config, revision)
