"""A session with PostgreSQL that waits for an answer so long and no longer.

A server that is frozen, and a firewall that drops a connection without a word while something
behind it still acknowledges, look to TCP as if all were well: neither keepalives nor a time limit
of the server's own end that wait. Whoever waits for us (a client for its 250) would wait for ever.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import errors

T = TypeVar("T")


class NoAnswer(psycopg.OperationalError):
    """Patience is over, and the connection closed."""


class BoundedConnection(psycopg.Connection[Any]):
    """patience: seconds for the answer to any one statement; None: as long as it takes.

    Whoever runs out of patience does not know what became of the statement: the connection is
    closed and the error is that of a lost connection. A server that wakes up finds it closed, and
    rolls back what was not told to commit.
    """

    patience: float | None = None

    def wait(
        self,
        gen: Generator[Any, Any, T],
        interval: float = 0.1,
        timeout: float | None = None,  # the driver's own name for it
    ) -> T:
        """See `psycopg.Connection.wait`. Raises NoAnswer when patience is over."""
        if timeout is not None:
            return super().wait(gen, interval=interval, timeout=timeout)
        patience = self.patience
        try:
            return super().wait(gen, interval=interval, timeout=patience)
        except errors._WaitTimeout:
            self.pgconn.finish()
            raise NoAnswer(f"the server has not answered within {patience:g} seconds") from None

    def rollback(self) -> None:
        """See `psycopg.Connection.rollback`. A session that cannot even do that is at its end.

        Cut off in the middle of a pipeline (many rows in one call), it looks open and takes no
        statement any more: whoever keeps connections would keep this one.
        """
        try:
            super().rollback()
        except psycopg.Error:
            self.close()
            raise


@contextmanager
def bounded(connection: BoundedConnection, seconds: float) -> Generator[None, None, None]:
    """Less patience inside the block, for what a server that is well answers at once."""
    before = connection.patience
    connection.patience = seconds if before is None else min(before, seconds)
    try:
        yield
    finally:
        connection.patience = before
