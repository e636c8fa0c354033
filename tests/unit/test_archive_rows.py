"""Rows that go to the driver as they are: the same rows, and the same errors, as by SQLAlchemy."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from pysqlite3 import dbapi2
from sqlalchemy.dialects.postgresql import psycopg

from archive.rows import Rows

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
    text, in_order = SET._compile(psycopg.dialect())
    assert in_order is None
    assert "number=%(number)s::BIGINT" in text
    assert "octets=%(octets)s" in text
    assert "id = %(of)s::VARCHAR" in text
