"""What every database of the product is to the rest of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import sqlalchemy as sa

from gateway.errors import CannotTell, SceauError

# Tables lie in schemas named after the packages, where the database has schemas. Table names are
# unique across them, so that no statement has to name the schema.
SCHEMAS = ("archive", "pki", "gateway")


class DatabaseUnsafe(SceauError):
    """The database or its settings would lose what was committed: the start is refused."""


class CommitDoubtful(CannotTell):
    """A commit came back, but not with the promise that was asked for (a standby has it too)."""


class Database(ABC):
    """An open database. `write`, `write_beside` and `read` are the only ways to a connection.

    patience: seconds before each further try to begin a transaction while the database is away; a
        process that has handed mail to somebody and not written it down yet has much.
    answer_within: seconds for a server to answer any one statement, None: as long as it takes. Who
        waits longer has lost the connection, and does not know what became of a commit.
    noticed: told of each trouble of the server's, and with None of each commit that was durable.
    name: for people, without user and password. folder: where its files lie on this machine; None
    when a server has them. shared: processes of several machines may be at work on it.
    """

    name: str
    folder: Path | None = None
    shared: bool = False
    patience: tuple[float, ...] = ()
    answer_within: float | None = None
    noticed: Callable[[BaseException | None], None] | None = None

    @abstractmethod
    def write(self) -> AbstractContextManager[sa.Connection]:
        """A write transaction; commits at the end of the block, rolls back on an exception.

        When the block is left without an exception the commit is durable. One at a time: what it
        reads no other `write` changes before its end.
        """

    @abstractmethod
    def write_beside(self) -> AbstractContextManager[sa.Connection]:
        """As `write`, but others may run beside it: for code that locks the rows it rests on."""

    @abstractmethod
    def read(self) -> AbstractContextManager[sa.Connection]:
        """A read transaction: one consistent state, never waits for writers."""

    def glance(self) -> AbstractContextManager[sa.Connection]:
        """As `read`, but fails at once where `read` waits for a database that is away."""
        return self.read()

    @abstractmethod
    def checkpoint(self) -> None:
        """Tidy up behind the writers, where that is ours to do."""

    @abstractmethod
    def close(self) -> None:
        """Give back all connections."""

    def doubtful(self, error: Exception, ending: bool) -> bool:
        """Whether it is unknown what a write transaction that raised has left on the disk.

        ending: it was raised by the transaction's end. Then the process opens the database anew:
        whatever it did next could be acknowledged though it rests on what is lost.
        """
        del error
        return ending

    def end_silent(self, seconds: float = 10.0) -> int:
        """End other sessions that fell silent for so long in the middle of what they were saying,
        with locks in their hands; how many.

        For servers that do not do so themselves.
        """
        del seconds
        return 0

    def listen(self, heard: Callable[[], None]) -> Listening | None:
        """Have `heard` called, from another thread, when mail was queued; None: cannot be told.

        Only ever a hint that looking now is worth it: calls may be lost or come for nothing.
        """
        del heard
        return None


class Listening(ABC):
    """Somebody who waits for news of the queue."""

    @property
    @abstractmethod
    def healthy(self) -> bool:
        """Whether news would come at this moment."""

    @abstractmethod
    def close(self) -> None:
        """Stop listening."""
