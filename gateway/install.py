"""The database of an installation: its tables, and the empty log."""

from __future__ import annotations

import fcntl
import time

import sqlalchemy as sa

import migrations
from archive.store import create_log
from gateway.config import Config
from gateway.database import Database
from gateway.errors import NotFound, SceauError
from gateway.installation import open_configured, serve_lock
from gateway.queue.models import processes
from gateway.queue.processes import INDEX


class NotEmpty(SceauError):
    """There is an installation in the place of the new one."""


class Busy(SceauError):
    """The gateway is at work."""


def make_database(config: Config) -> None:
    """Make tables and log in one transaction. Raises DatabaseUnsafe, NotEmpty, SceauError."""
    database = open_configured(config, checkpoint=True)
    try:
        with database.write() as conn:
            if migrations.current(conn) is not None:
                raise NotEmpty(
                    "{name} already holds an installation; nothing in it was changed",
                    hint="another machine of the same installation takes a copy of its folder "
                    "(docs/operations.md); a new one takes a database of its own",
                    facts={"name": database.name},
                )
            migrations.upgrade(conn)
            create_log(conn, config.archive.origin)
    finally:
        database.close()


def upgrade_database(config: Config) -> tuple[str, str]:
    """Bring the tables of an older version up to this one, all or nothing: (found, now).

    Nothing else may be at work: `sceau serve` of the older version would go on with tables that it
    does not know. Raises Busy, NotFound, DatabaseUnsafe, SceauError.
    """
    with serve_lock(config).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                "sceau serve runs on this data", hint="stop it first, on every machine"
            ) from None
        database = open_configured(config, checkpoint=True, existing=True)
        try:
            _nobody_at_work(database)
            with database.write() as conn:
                found = migrations.current(conn)
                if found is None:
                    raise NotFound(
                        "{name} holds no installation",
                        hint="sceau init makes one",
                        facts={"name": database.name},
                    )
                migrations.upgrade(conn)
            return found, migrations.HEAD
        finally:
            database.close()


def _nobody_at_work(database: Database) -> None:
    """Whether other machines work on this database: by the signs of life of their processes.

    One that was killed leaves a row behind, but no sign: two of its intervals tell. Raises Busy.
    """
    before = _signs_of_life(database)
    if not before:
        return
    # `licence.Licence` gives twelve in the time after which it would be taken over.
    time.sleep(max(takeover for _, takeover, _ in before.values()) / 12 * 2 / 1_000_000)
    after = _signs_of_life(database)
    for name, (node, _, beats) in before.items():
        if name in after and after[name][2] != beats:
            raise Busy(
                "sceau serve runs on this database, on the machine {machine}",
                hint="stop it first, on every machine",
                facts={"machine": node.partition("@")[2] or node},
            )


def _signs_of_life(database: Database) -> dict[str, tuple[str, int, int]]:
    """Node, takeover in microseconds and beats by name, with columns that older tables have too."""
    if not database.shared:
        return {}  # one machine: the lock file has told
    columns = processes.c
    with database.read() as conn:
        if not sa.inspect(conn).has_table(processes.name, schema=processes.schema):
            return {}
        rows = conn.execute(
            sa.select(columns.name, columns.node, columns.takeover, columns.beats).where(
                columns.role != INDEX  # it reports now and then, and is not taken over
            )
        ).all()
    return {row.name: (row.node, row.takeover, row.beats) for row in rows}
