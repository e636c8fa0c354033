"""The migrations make exactly the tables that the code declares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

import archive.models
import gateway.queue.models
import migrations
import pki.tables
from gateway.database import Database, open_database

ALL = (archive.models.metadata, pki.tables.metadata, gateway.queue.models.metadata)


def shape(database: Database) -> dict[str, object]:
    """Tables with columns, types, keys and indexes, as SQLite itself describes them."""
    found: dict[str, object] = {}
    with database.read() as conn:
        names = [
            row[0]
            for row in conn.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        for name in sorted(set(names) - {"alembic_version"}):
            columns = sorted(tuple(r) for r in conn.exec_driver_sql(f"PRAGMA table_info({name})"))
            keys = sorted(
                tuple(r)[2:] for r in conn.exec_driver_sql(f"PRAGMA foreign_key_list({name})")
            )
            indexes = sorted(
                (index[1] if index[3] == "c" else index[3], index[2], tuple(c[2] for c in members))
                for index in conn.exec_driver_sql(f"PRAGMA index_list({name})").all()
                for members in [conn.exec_driver_sql(f"PRAGMA index_info('{index[1]}')").all()]
            )
            found[name] = (columns, keys, indexes)
    return found


@contextmanager
def opened(path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{path}")
    yield database
    database.close()


def test_migrated_and_declared_tables_are_the_same(tmp_path: Path) -> None:
    with opened(tmp_path / "one.db") as migrated, opened(tmp_path / "two.db") as declared:
        with migrated.write() as conn:
            migrations.upgrade(conn)
        with declared.write() as conn:
            for metadata in ALL:
                metadata.create_all(conn)
        assert shape(migrated) == shape(declared)
        with migrated.read() as conn:
            assert migrations.current(conn) == migrations.HEAD


def test_the_head_is_the_newest_migration() -> None:
    folder = Path(migrations.__file__).parent
    config = Config()
    config.set_main_option("script_location", str(folder))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD


def test_an_empty_database_has_no_revision(tmp_path: Path) -> None:
    with opened(tmp_path / "empty.db") as database, database.read() as conn:
        assert migrations.current(conn) is None


def test_table_names_are_unique_across_packages() -> None:
    names = [table.name for metadata in ALL for table in metadata.tables.values()]
    assert len(names) == len(set(names))


def _upgrade_and_die(database: Database) -> None:
    with database.write() as conn:
        migrations.upgrade(conn)
        raise RuntimeError("power cut")


def test_a_failed_migration_leaves_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "x.db") as database:
        with pytest.raises(RuntimeError, match="power cut"):
            _upgrade_and_die(database)
        with database.read() as conn:
            assert sa.inspect(conn).get_table_names() == []
