"""An installation as most commands need it: its configuration and its database.

Everything else is put together in `wiring.py`, whose imports take a second that a look at the
queue need not wait for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import migrations
from archive.store import Draft, append
from gateway import clock
from gateway.config import Config, load
from gateway.database import Database, DatabaseUnsafe, open_database


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
        database = open_database(
            self.config.database.url, checkpoint=self.checkpoint, existing=True
        )
        try:
            with database.read() as conn:
                revision = migrations.current(conn)
        except BaseException:
            database.close()  # who asks again opens it again
            raise
        if revision != migrations.HEAD:
            raise DatabaseUnsafe(
                "{path}: its tables are of version {found}, this program needs {needed}",
                hint="sceau init makes the database of a new installation",
                facts={
                    "path": str(database.path),
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
        """Where the database lies: its free space decides whether mail is taken."""
        return self.database.path.parent

    @cached_property
    def run_folder(self) -> Path:
        """Where the running gateway says how it is (`gateway.running`, `gateway.metrics`)."""
        return self.data_folder / "run"

    def append(self, drafts: list[Draft]) -> None:
        """Write entries now, in a transaction of their own: for commands."""
        with self.database.write() as conn:
            append(conn, drafts, origin=self.config.archive.origin, now=clock.now())
