"""PostgreSQL: what is refused at the start, what a transaction is, what an error says."""

from __future__ import annotations

import gc
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.pq import Format

from archive.models import log_contents
from gateway.database import Database, DatabaseUnsafe, open_database
from gateway.database.postgres_errors import is_outage
from gateway.database.postgres_session import begin_session
from gateway.demo.postgres import Postgres
from pki.tables import certificates, crl_fetches
from tests.postgres_acts import setting


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


@contextmanager
def opened(postgres: Postgres, url: str) -> Iterator[Database]:
    database = open_database(url, password=postgres.password)
    yield database
    database.close()


@pytest.mark.parametrize("name", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_server_that_may_lose_commits_is_refused(
    postgres: Postgres, new_postgres: Callable[[], str], name: str
) -> None:
    url = new_postgres()
    with setting(postgres, name, "off"), pytest.raises(DatabaseUnsafe, match=f"{name} is off"):
        open_database(url, password=postgres.password)
    with opened(postgres, url) as database, database.write() as conn:
        assert conn.execute(sa.text("SELECT 1")).scalar() == 1


@pytest.mark.parametrize("of", ["DATABASE {database}", "ROLE sceau"])
def test_off_hidden_in_a_role_or_database_is_refused_too(
    postgres: Postgres, new_postgres: Callable[[], str], of: str
) -> None:
    url = new_postgres()
    with postgres.connect() as session:
        owner = of.format(database=name_of(url))
        session.execute(f"ALTER {owner} SET synchronous_commit = off")
        try:
            with pytest.raises(DatabaseUnsafe, match="synchronous_commit is off"):
                open_database(url, password=postgres.password)
        finally:
            session.execute(f"ALTER {owner} RESET synchronous_commit")


@pytest.mark.parametrize(
    ("given", "used"), [("local", "on"), ("remote_write", "on"), ("remote_apply", "remote_apply")]
)
def test_what_is_weaker_than_on_is_raised_for_our_sessions(
    postgres: Postgres, new_postgres: Callable[[], str], given: str, used: str
) -> None:
    url = new_postgres()
    with postgres.connect() as session:
        session.execute(f"ALTER DATABASE {name_of(url)} SET synchronous_commit = {given}")
    with opened(postgres, url) as database, database.write() as conn:
        assert conn.execute(sa.text("SHOW synchronous_commit")).scalar() == used


def test_who_reads_has_the_plans_that_the_server_is_set_to(
    postgres: Postgres, new_postgres: Callable[[], str]
) -> None:
    """An operator turns these off for his server; only who writes has them off whatever it says."""
    url = new_postgres()
    names = ("jit", "enable_seqscan")
    for given in ("off", "on"):
        with postgres.connect() as session:
            for name in names:
                session.execute(f"ALTER DATABASE {name_of(url)} SET {name} = {given}")
        with opened(postgres, url) as database:
            with database.read() as conn:
                assert {conn.execute(sa.text(f"SHOW {name}")).scalar() for name in names} == {given}
            with database.write() as conn:
                assert {conn.execute(sa.text(f"SHOW {name}")).scalar() for name in names} == {"off"}


def test_a_database_that_takes_no_writes_is_refused(
    postgres: Postgres, new_postgres: Callable[[], str]
) -> None:
    url = new_postgres()
    with postgres.connect() as session:
        session.execute(f"ALTER DATABASE {name_of(url)} SET default_transaction_read_only = on")
    with pytest.raises(DatabaseUnsafe, match="takes no writes"):
        open_database(url, password=postgres.password)


class OldServer:
    """Answers the first question as PostgreSQL 14 would."""

    autocommit = False

    def execute(self, *_: object) -> OldServer:
        return self

    def fetchone(self) -> tuple[object, ...]:
        return ("on", "on", "on", 140011, False, "off", "14.11")


def test_an_old_server_is_refused() -> None:
    with pytest.raises(DatabaseUnsafe, match=r"db/x: PostgreSQL 14\.11 is too old"):
        begin_session(OldServer(), "db/x", writing=True)  # type: ignore[arg-type]


def test_the_password_stands_in_no_error(
    postgres: Postgres, new_postgres: Callable[[], str]
) -> None:
    url = new_postgres()
    wrong = "correct-horse"
    for address in (url, url.replace(f":{postgres.port}/", ":1/"), url + "-nothing"):
        with pytest.raises(sa.exc.OperationalError) as caught:
            open_database(address, password=wrong)
        assert wrong not in "".join(traceback.format_exception(caught.value))
    with opened(postgres, url) as database:
        assert postgres.password not in f"{database.name} {vars(database)}"
        assert database.name == f"127.0.0.1:{postgres.port}/{name_of(url)}"


def test_no_value_of_a_row_stands_in_an_error(postgres_database: Database) -> None:
    fetch = {"location": "http://secret.example/", "tried_at": None, "problem": "said"}
    with pytest.raises(sa.exc.IntegrityError) as caught, postgres_database.write() as conn:
        conn.execute(crl_fetches.insert().values(**fetch))
    text = "".join(traceback.format_exception(caught.value))
    assert "not-null" in text
    assert "secret.example" not in text
    row = {
        "address": "marie@a.example", "sha256": "x" * 99, "der": b"octets", "subject": "s",
        "source": "", "added_by": "", "not_before": None, "not_after": None, "added_at": None,
    }  # fmt: skip
    with pytest.raises(sa.exc.DataError) as other, postgres_database.write() as conn:
        conn.execute(certificates.insert(), [row, row])
    assert "marie" not in "".join(traceback.format_exception(other.value))


def test_a_session_that_is_stuck_in_a_pipeline_is_not_kept(
    postgres_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that is cut off while many rows are on their way: it cannot even roll back."""
    sessions = []

    def be_cut_off() -> None:
        with postgres_database.write() as conn:
            raw = conn.connection.driver_connection
            assert isinstance(raw, psycopg.Connection)
            sessions.append(raw)
            raw.pgconn.enter_pipeline_mode()
            raw.pgconn.send_query_params(b"SELECT 1", None)
            raise OSError

    with pytest.raises(sa.exc.OperationalError):
        be_cut_off()
    assert sessions[0].closed
    with postgres_database.write() as conn:
        assert conn.execute(sa.text("SELECT 1")).scalar() == 1
    gc.collect()  # what was lost on the way is tidied up, not complained about
    assert caplog.records == []


def test_a_read_is_one_state_and_writes_nothing(postgres_database: Database) -> None:
    count = sa.select(sa.func.count()).select_from(crl_fetches)
    with postgres_database.read() as conn:
        assert conn.execute(count).scalar() == 0
        with postgres_database.write() as other:
            other.execute(
                sa.text("INSERT INTO crl_fetches (location, tried_at) VALUES ('x', 'now')")
            )
        assert conn.execute(count).scalar() == 0
    with postgres_database.read() as conn:
        assert conn.execute(count).scalar() == 1
        with pytest.raises(sa.exc.OperationalError, match="read-only transaction"):
            conn.execute(crl_fetches.delete())


def test_writes_come_one_after_the_other(postgres_database: Database) -> None:
    """Look, then store what was not there: the way of all rare writes."""
    found: list[int] = []

    def look_and_store(name: str) -> None:
        with postgres_database.write() as conn:
            found.append(conn.execute(sa.text("SELECT count(*) FROM crl_fetches")).scalar_one())
            conn.execute(
                sa.text("INSERT INTO crl_fetches (location, tried_at) VALUES (:name, '')"),
                {"name": name},
            )

    threads = [threading.Thread(target=look_and_store, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(8))


def test_a_failed_statement_that_was_passed_over_commits_nothing(
    postgres_database: Database,
) -> None:
    """PostgreSQL answers such a COMMIT with ROLLBACK, and no error."""
    insert = sa.text("INSERT INTO crl_fetches (location, tried_at) VALUES ('x', '')")

    def careless() -> None:
        with postgres_database.write() as conn:
            conn.execute(insert)
            with suppress(sa.exc.IntegrityError):
                conn.execute(insert)

    with pytest.raises(RuntimeError, match="went on"):
        careless()
    with postgres_database.read() as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM crl_fetches")).scalar() == 0


def test_too_many_connections_are_an_outage(
    postgres: Postgres, new_postgres: Callable[[], str]
) -> None:
    url = new_postgres()
    with postgres.connect() as session:
        session.execute("CREATE ROLE weak LOGIN PASSWORD 'weak' CONNECTION LIMIT 0")
    with pytest.raises(sa.exc.OperationalError, match="too many connections") as caught:
        open_database(url.replace("sceau@", "weak@"), password="weak")
    assert is_outage(caught.value)


def test_missing_rights_are_told_as_the_database_that_cannot_be_used(
    postgres: Postgres, new_postgres: Callable[[], str]
) -> None:
    url = new_postgres()
    with postgres.connect() as session:
        session.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    database = open_database(url.replace("sceau@", "stranger@"), password="stranger")
    with (
        pytest.raises(sa.exc.OperationalError, match="permission denied"),
        database.write() as conn,
    ):
        conn.execute(sa.text("SELECT * FROM archive.log_head"))
    database.close()


def test_streamed_octets_come_as_octets_and_not_as_their_text(postgres_database: Database) -> None:
    """A mail's ciphertext crosses the connection once, not at twice its size in hexadecimal."""
    row = {"archive_id": "a" * 32, "sealed": bytes(range(256)) * 9, "sealed_fields": b"\\x00"}
    with postgres_database.write() as conn:
        conn.execute(sa.insert(log_contents), row)
    streamed = {"stream_results": True}
    with postgres_database.read() as conn:
        statement = sa.select(log_contents, sa.literal(None).label("blob"), sa.literal(1 << 40))
        result = conn.execute(statement, execution_options=streamed)
        cursor = result.cursor
        assert result.one() == (*row.values(), None, 1 << 40)
        assert cursor.format == Format.BINARY
        # Everything else stays text: of the catalogue's types the driver knows no binary form.
        assert conn.execute(sa.text("SELECT relkind FROM pg_class LIMIT 1")).scalar_one() in "rit"
