"""One statement for many rows, on the way of every mail.

For each row of an `executemany` SQLAlchemy looks at every parameter anew: that costs as much as
the database needs to write it. The statements of the hot path are known, and so are their columns:
they are compiled once a dialect, and the rows go to the driver as they are. Connections,
transactions, and the errors that come out stay SQLAlchemy's.

PostgreSQL is given the rows of an INSERT in one execution, an array for each column: for each of
many the driver and the server would do again a good part of what one costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

_Row = Mapping[str, Any]

# Octets of rows that go into arrays together: driver and server make copies of each.
_TOGETHER = 1 << 20


@dataclass(frozen=True, slots=True)
class _Compiled:
    """For one dialect. arrays: the statement whose parameters are columns; "": there is none."""

    text: str
    arranged: Callable[[Sequence[_Row]], list[Any]]
    arrays: str


class Rows:
    """An INSERT or UPDATE whose rows are mappings with the same names each time.

    names: of the parameters: columns that are set, and `bindparam`s of the statement.
    """

    def __init__(self, statement: sa.Insert | sa.Update, *names: str) -> None:
        self._statement = statement
        self._names = names
        kinds = {column.name: column.type for column in statement.table.c}
        self._octets = [n for n in names if isinstance(kinds.get(n), sa.LargeBinary)]
        self._compiled: dict[str, _Compiled] = {}

    def write(self, conn: sa.Connection, rows: Sequence[_Row]) -> None:
        """Execute it for each row; nothing is done without rows.

        Raises KeyError for a row in which a name is missing, and what the database raises.
        """
        if not rows:
            return
        made = self._compiled.get(conn.dialect.name)
        if made is None:
            made = self._compiled[conn.dialect.name] = self._compile(conn.dialect)
        if made.arrays and self._size(rows) <= _TOGETHER:
            columns = {name: [row[name] for row in rows] for name in self._names}
            conn.exec_driver_sql(made.arrays, columns)
        else:
            conn.exec_driver_sql(made.text, made.arranged(rows))

    def _size(self, rows: Sequence[_Row]) -> int:
        return sum(len(row[name] or b"") for name in self._octets for row in rows)

    def _compile(self, dialect: sa.Dialect) -> _Compiled:
        made = self._statement.compile(dialect=dialect, column_keys=list(self._names))
        if set(made.params) != set(self._names):
            raise ValueError(f"parameters {sorted(made.params)} are not {sorted(self._names)}")
        arrays = ""
        if dialect.name == "postgresql" and isinstance(self._statement, sa.Insert):
            arrays = _arrays(self._statement, self._names, dialect)
        return _Compiled(made.string, _arranged(made.positiontup), arrays)


def _arranged(order: Sequence[str] | None) -> Callable[[Sequence[_Row]], list[Any]]:
    if order is None:
        return list
    if len(order) == 1:  # for one name `itemgetter` gives the value, and no tuple of it
        return lambda rows: [(row[order[0]],) for row in rows]
    in_order = itemgetter(*order)
    return lambda rows: [in_order(row) for row in rows]


def _arrays(statement: sa.Insert, names: Sequence[str], dialect: sa.Dialect) -> str:
    """The INSERT of a row for each element of its parameters, which are lists."""
    kinds = [statement.table.c[name].type for name in names]
    lists = [
        sa.bindparam(name, type_=ARRAY(_boundless(kind)))
        for name, kind in zip(names, kinds, strict=True)
    ]
    given = sa.func.unnest(*lists).table_valued(*names).render_derived(name="given")
    made = statement.from_select(list(names), sa.select(given)).compile(dialect=dialect)
    # In binary form: as text the driver would write octets in hexadecimal, and quote each.
    return made.string.replace(")s::", ")b::")


def _boundless(kind: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    """A cast to VARCHAR(64) would cut what is longer; without it the column refuses that."""
    return sa.Text() if isinstance(kind, sa.String) else kind
