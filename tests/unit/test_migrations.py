"""The migrations make exactly the tables that the code declares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import archive.models
import gateway.queue.models
import migrations
import pki.tables
from gateway.database import Database, open_database
from tests.pki_maker import root

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


def test_keys_and_consents_of_the_first_version_are_kept(tmp_path: Path) -> None:
    marie = root().issue("Marie", emails=("marie@a.example",))
    with opened(tmp_path / "old.db") as database:
        with database.write() as conn:
            migrations.upgrade(conn, "0001")
            conn.exec_driver_sql(
                "INSERT INTO person_keys (address, certificate_sha256, certificate, chain, kek,"
                " nonce, wrapped, added_at, added_by)"
                " VALUES ('marie@a.example', ?, ?, x'', 'kek', x'00', x'01',"
                " '2026-01-01T00:00:00.000000Z', 'anne')",
                (marie.sha256, marie.der),
            )
            conn.exec_driver_sql(
                "INSERT INTO consents (address, certificate_sha256, person, given_at, given_by)"
                " VALUES ('marie@a.example', ?, 'Marie', '2026-01-01T00:00:00.000000Z', 'anne')",
                (marie.sha256,),
            )
        with database.write() as conn:
            migrations.upgrade(conn)
        with database.read() as conn:
            key = conn.execute(sa.select(pki.tables.person_keys)).mappings().one()
            consent = conn.execute(sa.select(pki.tables.consents)).mappings().one()
    spki = marie.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key["key_sha256"] == hashlib.sha256(spki).hexdigest()
    assert key["not_after"] == marie.cert.not_valid_after_utc
    assert (key["wrapped"], key["source_sha256"]) == (b"\x01", "")
    assert (consent["person"], consent["entry_id"], consent["basis"]) == ("Marie", None, "")
