"""Rows that go to the driver as they are: the same rows, and the same errors, as by SQLAlchemy."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from pysqlite3 import dbapi2
from sqlalchemy.dialects.postgresql import psycopg

from archive.rows import Rows
from gateway.database import Database

TABLE = sa.Table(
    "t",
    sa.MetaData(),
    sa.Column("id", sa.String(8), primary_key=True),
    sa.Column("octets", sa.LargeBinary),
    sa.Column("number", sa.BigInteger, nullable=False),
)
INSERT = Rows(TABLE.insert(), "id", "octets", "number")
OF_ID = TABLE.c.id == sa.bindparam("of")
SET = Rows(TABLE.update().where(OF_ID), "of", "number", "octets")
FORGET = Rows(TABLE.update().where(OF_ID).values(octets=sa.null()), "of")


@pytest.fixture
def conn() -> sa.Connection:
    engine = sa.create_engine("sqlite+pysqlite://", module=dbapi2, hide_parameters=True)
    conn = engine.connect()
    TABLE.metadata.create_all(conn)
    return conn


def rows(conn: sa.Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in conn.execute(sa.select(TABLE).order_by(TABLE.c.id))]


def test_every_row_is_written_whatever_the_order_of_its_names(conn: sa.Connection) -> None:
    INSERT.write(conn, [])
    INSERT.write(conn, [{"number": 2**40, "octets": b"\x00\xff", "id": "a"}])
    INSERT.write(conn, [{"id": f"b{n}", "octets": None, "number": n} for n in range(3)])
    SET.write(
        conn, [{"of": "b1", "octets": b"x", "number": -1}, {"of": "-", "octets": b"", "number": 0}]
    )
    FORGET.write(conn, [{"of": "a"}])
    assert rows(conn) == [
        ("a", None, 2**40), ("b0", None, 0), ("b1", b"x", -1), ("b2", None, 2),
    ]  # fmt: skip


def test_a_value_that_is_left_out_is_no_null(conn: sa.Connection) -> None:
    with pytest.raises(KeyError):
        INSERT.write(conn, [{"id": "a", "number": 1}])
    assert rows(conn) == []


def test_names_that_are_not_those_of_the_statement_are_refused(conn: sa.Connection) -> None:
    with pytest.raises(ValueError, match="parameters"):
        Rows(TABLE.update().where(OF_ID), "number").write(conn, [{"number": 1}])


def test_errors_are_those_of_sqlalchemy_and_tell_no_values(conn: sa.Connection) -> None:
    INSERT.write(conn, [{"id": "a", "octets": b"", "number": 1}])
    with pytest.raises(sa.exc.IntegrityError) as caught:
        INSERT.write(conn, [{"id": "a", "octets": b"secret", "number": 1}] * 2)
    assert "secret" not in str(caught.value)


def test_postgresql_gets_names_and_types() -> None:
    made = SET._compile(psycopg.dialect())
    assert not made.arrays
    assert "number=%(number)s::BIGINT" in made.text
    assert "octets=%(octets)s" in made.text
    assert "id = %(of)s::VARCHAR" in made.text


@pytest.fixture
def table(postgres_database: Database) -> Database:
    with postgres_database.write() as conn:
        conn.exec_driver_sql("SET search_path = public")
        TABLE.metadata.create_all(conn)
    return postgres_database


def at_public(conn: sa.Connection) -> sa.Connection:
    conn.exec_driver_sql("SET search_path = public")
    return conn


def test_many_rows_are_one_execution_on_postgresql_and_the_same_rows(table: Database) -> None:
    asked: list[str] = []
    given: list[dict[str, object]] = [
        {"id": "a", "octets": b"\x00\xff{},\"'\\", "number": 2**40},
        {"id": "NULL", "octets": None, "number": -1},
        {"id": "", "octets": b"", "number": 0},
        {"id": "{é,", "octets": b"NULL", "number": 7},
    ]
    with table.write() as conn:
        sa.event.listen(conn, "before_cursor_execute", lambda *a: asked.append(a[2]))
        INSERT.write(at_public(conn), given)
        INSERT.write(conn, [{"id": "alone", "octets": None, "number": 1}])
        found = {row[0]: row[1:] for row in rows(conn)}
    assert len([text for text in asked if text.startswith("INSERT")]) == 2
    assert found == {
        **{str(one["id"]): (one["octets"], one["number"]) for one in given}, "alone": (None, 1),
    }  # fmt: skip


def test_large_rows_are_written_one_by_one(table: Database) -> None:
    """In an array driver and server would hold copies of all of them together."""
    with table.write() as conn:
        many: list[bool] = []
        sa.event.listen(conn, "before_cursor_execute", lambda *a: many.append(a[5]))
        octets = b"x" * 600_000
        INSERT.write(at_public(conn), [{"id": i, "octets": octets, "number": 1} for i in "ab"])
        assert many == [False, True]
        assert [len(row[1]) for row in rows(conn)] == [600_000, 600_000]


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"id": "a", "octets": b"secret", "number": 1}, sa.exc.IntegrityError),
        ({"id": "b", "octets": b"secret", "number": None}, sa.exc.IntegrityError),
        ({"id": "secret789", "octets": b"", "number": 1}, sa.exc.DataError),  # one too long
        ({"id": "b\x00secret", "octets": b"", "number": 1}, sa.exc.DataError),
        ({"id": "b", "octets": b"secret", "number": 2**70}, sa.exc.DBAPIError),
    ],
)
def test_postgresql_refuses_among_many_what_it_refuses_alone(
    table: Database, row: dict[str, object], error: type[Exception]
) -> None:
    good = {"id": "a", "octets": b"", "number": 1}
    for given in ([row], [{"id": "c", "octets": None, "number": 3}, row]):
        with table.write() as conn:
            INSERT.write(at_public(conn), [good])
            with pytest.raises(error) as caught:
                INSERT.write(conn, given)
            conn.rollback()
        assert "secret" not in str(caught.value).partition("DETAIL")[0]
    with table.read() as conn:
        assert rows(at_public(conn)) == []
