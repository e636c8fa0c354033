"""A database that need not be there yet: opened when it is first used, and tried until it opens.

A process that takes mail must be there while its database is away: a client that connects hears
451 and comes again, where nobody answers he waits for a greeting that does not come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import sqlalchemy as sa

from gateway.database.base import Database, DatabaseUnsafe, Listening


class LateDatabase(Database):
    """What `open_` opens. Every use raises what `open_` raises, until it has opened it once."""

    shared = True

    def __init__(self, open_: Callable[[], Database], name: str) -> None:
        self._open = open_
        self._opened: Database | None = None
        self._turn = threading.Lock()
        self.name = name

    def write(self) -> AbstractContextManager[sa.Connection]:
        """See `Database.write`."""
        return self._there().write()

    def write_beside(self) -> AbstractContextManager[sa.Connection]:
        """See `Database.write_beside`."""
        return self._there().write_beside()

    def read(self) -> AbstractContextManager[sa.Connection]:
        """See `Database.read`."""
        return self._there().read()

    def glance(self) -> AbstractContextManager[sa.Connection]:
        """See `Database.glance`."""
        return self._there().glance()

    def checkpoint(self) -> None:
        """See `Database.checkpoint`."""
        self._there().checkpoint()

    def close(self) -> None:
        """See `Database.close`."""
        if self._opened is not None:
            self._opened.close()

    def end_silent(self, seconds: float = 10.0) -> int:
        """See `Database.end_silent`."""
        return self._there().end_silent(seconds)

    def listen(self, heard: Callable[[], None]) -> Listening | None:
        """See `Database.listen`."""
        return self._there().listen(heard)

    def open(self) -> None:
        """Open it now. Raises what `open_` raises."""
        self._there()

    def _there(self) -> Database:
        with self._turn:
            if self._opened is None:
                try:
                    opened = self._open()
                except (sa.exc.OperationalError, DatabaseUnsafe) as error:
                    if self.noticed is not None:
                        self.noticed(error)
                    raise
                self._opened = opened
            self._opened.patience = self.patience
            self._opened.answer_within = self.answer_within
            self._opened.noticed = self.noticed
            return self._opened
