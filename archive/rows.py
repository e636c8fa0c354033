"""One statement for many rows, on the way of every mail.

For each row of an `executemany` SQLAlchemy looks at every parameter anew: that costs as much as
the database needs to write it. The statements of the hot path are known, and so are their columns:
they are compiled once a dialect, and the rows go to the driver as they are. Connections,
transactions, and the errors that come out stay SQLAlchemy's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

_InOrder = Callable[[Mapping[str, Any]], tuple[Any, ...]]


class Rows:
    """An INSERT or UPDATE whose rows are mappings with the same names each time.

    names: of the parameters: columns that are set, and `bindparam`s of the statement.
    """

    def __init__(self, statement: sa.Insert | sa.Update, *names: str) -> None:
        self._statement = statement
        self._names = names
        self._compiled: dict[str, tuple[str, _InOrder | None]] = {}

    def write(self, conn: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute it for each row; nothing is done without rows.

        Raises KeyError for a row in which a name is missing, and what the database raises.
        """
        if not rows:
            return
        found = self._compiled.get(conn.dialect.name)
        if found is None:
            found = self._compiled[conn.dialect.name] = self._compile(conn.dialect)
        text, in_order = found
        if in_order is None:
            conn.exec_driver_sql(text, list(rows))
        else:
            conn.exec_driver_sql(text, [in_order(row) for row in rows])

    def _compile(self, dialect: sa.Dialect) -> tuple[str, _InOrder | None]:
        made = self._statement.compile(dialect=dialect, column_keys=list(self._names))
        if set(made.params) != set(self._names):
            raise ValueError(f"parameters {sorted(made.params)} are not {sorted(self._names)}")
        order = made.positiontup
        if order is None:
            return made.string, None
        if len(order) == 1:  # for one name `itemgetter` gives the value, and no tuple of it
            return made.string, lambda row: (row[order[0]],)
        return made.string, itemgetter(*order)
