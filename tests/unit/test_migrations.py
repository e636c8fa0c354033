"""The migrations make exactly the tables that the code declares, on both databases, and an
upgrade keeps what is there.

`installation_0001` is what the version with revision 0001 left behind: made with its own commands,
mails sent through it, delivered, held, and one in the hand of a worker that was killed.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
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
from archive.fsck import verify
from archive.reading import history, load_sealed
from archive.recipients import load_private_key
from archive.seal import open_content
from archive.working import WorkingKeys, WorkingUnwrapper
from gateway.database import Database, open_database
from gateway.demo.postgres import Postgres
from gateway.queue import processes, view
from gateway.queue.store.claim import claim
from gateway.queue.store.deaths import release_claims
from pki.crl_store import list_crls
from pki.persons import list_keys
from pki.store import list_certificates
from tests.pki_maker import root

ALL = (archive.models.metadata, pki.tables.metadata, gateway.queue.models.metadata)
OLD = Path(__file__).with_name("installation_0001")


def shape(database: Database) -> dict[str, object]:
    """Tables with columns, keys and indexes, as the database itself describes them."""
    found: dict[str, object] = {}
    with database.read() as conn:
        look = sa.inspect(conn)
        schemas = ("archive", "pki", "gateway") if database.shared else (None,)
        for schema in schemas:
            for name in look.get_table_names(schema=schema):
                if name == "alembic_version":
                    continue
                columns = sorted(
                    (c["name"], str(c["type"]), c["nullable"], c.get("default"))
                    for c in look.get_columns(name, schema=schema)
                )
                keys = sorted(
                    (k["constrained_columns"], k["referred_table"], k["referred_columns"])
                    for k in look.get_foreign_keys(name, schema=schema)
                )
                indexes = sorted(
                    (
                        index["name"],
                        index["column_names"],
                        index["unique"],
                        sorted((k, str(v)) for k, v in index.get("dialect_options", {}).items()),
                    )
                    for index in look.get_indexes(name, schema=schema)
                )
                unique = sorted(
                    u["column_names"] for u in look.get_unique_constraints(name, schema=schema)
                )
                primary = look.get_pk_constraint(name, schema=schema)["constrained_columns"]
                found[name] = (schema, columns, keys, indexes, unique, primary)
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Database]]:
    """Opens databases without any table."""
    made: list[Database] = []

    def new(name: str) -> Database:
        if request.param == "sqlite":
            made.append(open_database(f"sqlite:///{tmp_path / name}.db"))
        else:
            server: Postgres = request.getfixturevalue("postgres")
            url = server.create(f"{name}_{abs(hash(tmp_path)) % 10**9}")
            made.append(open_database(url, password=server.password))
        return made[-1]

    yield new
    for one in made:
        one.close()


def declare(conn: sa.Connection, metadata: sa.MetaData, schema: str) -> None:
    """Make the tables as they are declared, where the migrations make them."""
    if conn.dialect.name == "postgresql":
        conn.execute(sa.schema.CreateSchema(schema))
        conn.execute(sa.text(f"SET LOCAL search_path = {schema}"))
    metadata.create_all(conn)


def test_migrated_and_declared_tables_are_the_same(empty: Callable[[str], Database]) -> None:
    migrated, declared = empty("one"), empty("two")
    with migrated.write() as conn:
        migrations.upgrade(conn)
    for metadata, schema in zip(ALL, ("archive", "pki", "gateway"), strict=True):
        with declared.write() as conn:
            declare(conn, metadata, schema)
    assert shape(migrated) == shape(declared)
    with migrated.read() as conn:
        assert migrations.current(conn) == migrations.HEAD


def test_postgresql_does_not_compress_ciphertext(
    postgres: Postgres, new_postgres: Callable[[], str]
) -> None:
    """It would try base64 of ciphertext for 30 ms a megabyte, and save nothing."""
    letters = b"letters " * 100_000
    database = open_database(new_postgres(), password=postgres.password)
    try:
        with database.write() as conn:
            conn.execute(
                sa.insert(archive.models.log_contents),
                {"archive_id": "0" * 32, "sealed": letters, "sealed_fields": letters},
            )
        with database.read() as conn:
            sizes = "pg_column_size(sealed), pg_column_size(sealed_fields)"
            stored = conn.exec_driver_sql(f"SELECT {sizes} FROM log_contents").one()
            of_emitted = (
                "SELECT attstorage FROM pg_attribute"
                " WHERE attrelid = 'sealed_groups'::regclass AND attname = 'emitted'"
            )
            storage = conn.exec_driver_sql(of_emitted).scalar()
    finally:
        database.close()
    assert min(stored) >= len(letters)
    assert storage in ("e", b"e")  # EXTERNAL


def test_postgresql_keeps_the_rows_of_small_mail_in_one_piece(
    postgres: Postgres, new_postgres: Callable[[], str]
) -> None:
    """Each piece would be a row more, with an index of its own."""
    letters = b"letters " * 400
    database = open_database(new_postgres(), password=postgres.password)
    beside = "SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = '{}'::regclass"
    try:
        with database.write() as conn:
            for table, values in (
                (archive.models.log_contents, {"sealed": letters, "sealed_fields": letters}),
                (archive.models.log_payloads, {"payload": letters}),
            ):
                key = next(iter(table.primary_key)).name
                conn.execute(sa.insert(table), {key: "0" * 32, **values})
                assert conn.exec_driver_sql(beside.format(table.name)).scalar() == 0
            stored = "SELECT pg_column_size(payload) FROM log_payloads"
            assert (conn.exec_driver_sql(stored).scalar() or 0) >= len(letters)
    finally:
        database.close()


def test_the_head_is_the_newest_migration() -> None:
    folder = Path(migrations.__file__).parent
    config = Config()
    config.set_main_option("script_location", str(folder))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD


def test_an_empty_database_has_no_revision(empty: Callable[[str], Database]) -> None:
    with empty("empty").read() as conn:
        assert migrations.current(conn) is None


def test_table_names_are_unique_across_packages() -> None:
    names = [table.name for metadata in ALL for table in metadata.tables.values()]
    assert len(names) == len(set(names))


def test_schemas_that_are_there_already_are_used(postgres: Postgres) -> None:
    """An administrator makes them for a role that may make none."""
    url = postgres.create("schemas")
    with postgres.connect("schemas") as session:
        session.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
        for name in migrations.SCHEMAS:
            session.execute(f"CREATE SCHEMA {name} AUTHORIZATION plain")
    database = open_database(url.replace("sceau@", "plain@"), password="plain")
    with database.write() as conn:
        migrations.upgrade(conn)
    with database.read() as conn:
        assert migrations.current(conn) == migrations.HEAD
    database.close()


def _upgrade_and_die(database: Database) -> None:
    with database.write() as conn:
        migrations.upgrade(conn)
        raise RuntimeError("power cut")


def test_a_failed_migration_leaves_nothing(empty: Callable[[str], Database]) -> None:
    database = empty("x")
    with pytest.raises(RuntimeError, match="power cut"):
        _upgrade_and_die(database)
    with database.read() as conn:
        assert sa.inspect(conn).get_table_names() == []
        assert "archive" not in sa.inspect(conn).get_schema_names()


# -- from the version before -------------------------------------------------------------------


@contextmanager
def old_rows() -> Iterator[sqlite3.Connection]:
    """The database of the older version, as SQLite had it."""
    with closing(sqlite3.connect(":memory:")) as old:
        old.executescript(gzip.decompress((OLD / "database.sql.gz").read_bytes()).decode())
        yield old


@pytest.fixture
def upgraded(empty: Callable[[str], Database], tmp_path: Path) -> Database:
    """The older version's tables and rows, brought to this version."""
    database = empty("old")
    with database.write() as conn:
        migrations.upgrade(conn, "0001")
    with old_rows() as old, database.write() as conn:
        tables = [t for metadata in ALL for t in metadata.sorted_tables]
        present = {name for (name,) in old.execute("SELECT name FROM sqlite_master")}
        for table in tables:
            if table.name not in present:
                continue
            cursor = old.execute(f"SELECT * FROM {table.name}")
            names = [column[0] for column in cursor.description]
            if database.shared and "id" in names and table.c["id"].autoincrement is True:
                names.remove("id")  # given out by the database, and no other table names them
                cursor = old.execute(f"SELECT {', '.join(names)} FROM {table.name}")
            plain = sa.table(table.name, *[sa.column(n, table.c[n].type) for n in names])
            rows = [_typed(plain, names, row) for row in cursor]
            if rows:
                conn.execute(plain.insert(), rows)
    with database.write() as conn:
        migrations.upgrade(conn)
    return database


def _typed(table: sa.TableClause, names: list[str], row: tuple[object, ...]) -> dict[str, object]:
    values = dict(zip(names, row, strict=True))
    for name, value in values.items():
        kind = table.c[name].type
        if isinstance(kind, pki.tables.Moment) and value is not None:
            values[name] = kind.process_result_value(str(value), None)
    return values


def test_an_upgrade_keeps_all_there_was(upgraded: Database, tmp_path: Path) -> None:
    expected = json.loads((OLD / "expected.json").read_text())
    shutil.copytree(OLD / "keys", tmp_path / "keys")
    (tmp_path / "keys" / "working").chmod(0o700)
    (tmp_path / "keys" / "authority.key").chmod(0o600)
    authority = load_private_key(tmp_path / "keys" / "authority.key")
    working = WorkingUnwrapper(WorkingKeys(tmp_path / "keys" / "working"))
    with upgraded.read() as conn:
        assert migrations.current(conn) == migrations.HEAD
        report = verify(conn, open_with=authority)
        assert (report.status, report.entries) == ("valid", expected["entries"])
        assert report.opened == len(expected["mails"])
        for archive_id, content in expected["mails"].items():
            sealed = load_sealed(conn, archive_id)
            assert open_content(sealed, authority) == base64.b64decode(content)
            kinds = [one.entry.kind for one in history(conn, archive_id)]
            assert kinds == expected["kinds"][archive_id]
            if sealed.working is not None:
                assert open_content(sealed, working) == base64.b64decode(content)
        lines = {(line.archive_id, line.recipient): str(line.state) for line in view.lines(conn)}
        assert lines == {(i, a): s for i, a, s in expected["open"]}
        assert [one.sha256 for one in list_certificates(conn)] == expected["certificates"]
        assert sorted(one.sha256 for one in list_crls(conn)) == expected["crls"]
        assert [one.address for one in list_keys(conn)] == expected["keys"]


def test_what_was_claimed_and_queued_goes_on(upgraded: Database) -> None:
    expected = json.loads((OLD / "expected.json").read_text())
    with upgraded.write() as conn:
        assert processes.known(conn) == []
        stray = processes.nobodys(conn)
        for name in stray:
            release_claims(conn, worker=name, now=0)
        waits = [timedelta(minutes=5)]
        jobs = claim(conn, worker="new", now=2**60, limit=10, max_bytes=10**9, waits=waits)
    queued = {archive_id for archive_id, _, state in expected["open"] if state == "queued"}
    assert stray == ["worker-dead"]
    assert {job.archive_id for job in jobs} == queued


def test_keys_and_consents_of_the_first_version_are_kept(tmp_path: Path) -> None:
    marie = root().issue("Marie", emails=("marie@a.example",))
    with closing(open_database(f"sqlite:///{tmp_path}/old.db")) as database:
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
