"""An installation as most commands need it: its configuration and its database.

Everything else is put together in `gateway.wiring`, whose imports take a second that a look at the
queue need not wait for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import sqlalchemy as sa

import migrations
from archive.blobs import Blobs
from archive.store import Draft, append
from archive.sweep import in_use
from gateway import clock
from gateway.belief import Belief
from gateway.blob_stores import blob_store
from gateway.config import Config, load
from gateway.database import Database, DatabaseUnsafe, open_database
from gateway.passwords import secret


def open_configured(
    config: Config, *, checkpoint: bool = False, existing: bool = False
) -> Database:
    """The database that the configuration names. Raises DatabaseUnsafe, SceauError, OSError."""
    file = config.database.password_file
    password = "" if file is None else secret(file).decode()
    return open_database(
        config.database.url, password=password, checkpoint=checkpoint, existing=existing
    )


def shared_database(config: Config) -> bool:
    """Whether the database is a server's, which several machines may share, and may be away."""
    return sa.make_url(config.database.url).get_backend_name() != "sqlite"


def database_name(config: Config) -> str:
    """The database for people, without user and password."""
    url = sa.make_url(config.database.url)
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    from gateway.database.postgres import readable_name

    return readable_name(url)


def serve_lock(config: Config) -> Path:
    """See `Installation.lock_file`."""
    url = sa.make_url(config.database.url)
    if url.get_backend_name() == "sqlite":
        assert url.database is not None
        return Path(url.database + ".serve")
    return config.archive.index.parent / "sceau.serve"


@dataclass
class Installation:
    """Configuration and database. checkpoint: see `gateway.database.open_database`.

    path: of the configuration file; None where it came another way.
    """

    config: Config
    checkpoint: bool = False
    path: Path | None = None

    @classmethod
    def from_file(cls, path: Path, *, checkpoint: bool = False) -> Self:
        """Raises ConfigFaults."""
        return cls(load(path), checkpoint, path)

    @cached_property
    def database(self) -> Database:
        """The open database, with the tables of this version. Raises DatabaseUnsafe, SceauError."""
        return self.open_database()

    def open_database(self) -> Database:
        """See `database`; whoever asks closes it."""
        database = open_configured(self.config, checkpoint=self.checkpoint, existing=True)
        try:
            with database.read() as conn:
                revision = migrations.current(conn)
        except BaseException:
            database.close()  # who asks again opens it again
            raise
        if revision != migrations.HEAD:
            database.close()
            raise DatabaseUnsafe(
                "{path}: its tables are of version {found}, this program needs {needed}",
                hint="sceau upgrade brings them up to date; sceau init makes those of a new "
                "installation",
                facts={
                    "path": database.name,
                    "found": revision or "-",
                    "needed": migrations.HEAD,
                },
            )
        return database

    def close(self) -> None:
        """Close the database if it was opened: for commands."""
        if "database" in self.__dict__:
            self.database.close()

    @cached_property
    def data_folder(self) -> Path:
        """Where the database lies, or what else this machine writes when a server has that: its
        free space decides whether mail is taken. Known without the database, which may be away."""
        url = sa.make_url(self.config.database.url)
        if url.get_backend_name() == "sqlite" and url.database:
            return Path(url.database).parent
        return self.config.archive.index.parent

    @cached_property
    def lock_file(self) -> Path:
        """Held by the one `sceau serve` of this installation on this machine."""
        return serve_lock(self.config)

    @cached_property
    def blobs(self) -> Blobs | None:
        """Where large content lies; None: all of it is in the database. Raises SceauError."""
        if (found := self.config.archive.blobs) is None:
            return None

        def used() -> bool:
            with self.database.read() as conn:
                return in_use(conn)

        store = blob_store(found)
        origin = self.config.archive.origin
        return Blobs(store, origin=origin, above=found.above, in_use=used)

    @cached_property
    def run_folder(self) -> Path:
        """Where the running gateway says how it is (`gateway.running`, `gateway.metrics`)."""
        return self.data_folder / "run"

    @cached_property
    def belief(self) -> Belief:
        """Whether this machine's clock is believed, and the time to go by."""
        return Belief(self.run_folder / "clock.json")

    def append(self, drafts: list[Draft]) -> None:
        """Write entries now, in a transaction of their own: for commands."""
        with self.database.write() as conn:
            self.append_with(conn, drafts)

    def append_with(self, conn: sa.Connection, drafts: Sequence[Draft]) -> None:
        """The same in the caller's transaction: with the wall clock as it is, believed or not."""
        drafts = self.belief.marked(drafts)
        append(conn, drafts, origin=self.config.archive.origin, now=clock.now())
