"""Rows of processes that may hold claims, on a database that several machines share.

A row is a licence. Whoever works under a name locks the row at the beginning of each transaction
(`hold`); whoever takes over removes it (`dismiss`). The database puts the two in order: either
the work is committed before the take-over, or it finds no row and leaves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from gateway.queue.models import messages, processes


@dataclass(frozen=True, slots=True)
class Process:
    """A process and its last sign of life. takeover: microseconds without one until it counts as
    dead; beats: how many there were. indexed: see `gateway.queue.models.processes`."""

    name: str
    node: str
    role: str
    started_at: int
    takeover: int
    beats: int
    indexed: int | None


_NAMED = processes.c.name == sa.bindparam("of")
# Shared, and only against removal: neither other transactions of the same process nor its signs
# of life wait for it.
_HOLD = sa.select(processes.c.name).where(_NAMED).with_for_update(read=True, key_share=True)
_BEAT = processes.update().where(_NAMED).values(beats=processes.c.beats + 1)

INDEX = "index"


def register(
    conn: sa.Connection, name: str, *, node: str, role: str, now: int, takeover: int
) -> None:
    """A new process; before its first claim."""
    conn.execute(
        processes.insert().values(
            name=name, node=node, role=role, started_at=now, takeover=takeover, beats=0
        )
    )


def hold(conn: sa.Connection, name: str) -> bool:
    """Keep the licence until the end of the transaction; False: it is gone."""
    return conn.execute(_HOLD, {"of": name}).first() is not None


def beat(conn: sa.Connection, name: str) -> bool:
    """A sign of life; False: the licence is gone."""
    return conn.execute(_BEAT, {"of": name}).rowcount == 1


def known(conn: sa.Connection) -> list[Process]:
    """All rows."""
    return [Process(*row) for row in conn.execute(sa.select(processes))]


def dismiss(conn: sa.Connection, name: str, *, beats: int | None = None) -> bool:
    """Remove a licence, if its beats still stand where they were seen; False: they do not."""
    removal = processes.delete().where(processes.c.name == name)
    if beats is not None:
        removal = removal.where(processes.c.beats == beats)
    return conn.execute(removal).rowcount == 1


def nobodys(conn: sa.Connection) -> list[str]:
    """Names that hold claims without a licence: nobody works under them."""
    rows = conn.execute(
        sa.select(messages.c.claimed_by)
        .where(
            messages.c.claimed_by.is_not(None),
            ~sa.exists().where(processes.c.name == messages.c.claimed_by),
        )
        .distinct()
    )
    return [row.claimed_by for row in rows]


def report_index(conn: sa.Connection, *, node: str, indexed: int, now: int, takeover: int) -> None:
    """Say how many entries this node's full-text index has; a sign of life of the index too.

    The row stays when the process ends: mail that the index does not have yet is kept readable
    until it is back, or `takeover` is over.
    """
    name = f"{INDEX}-{node.partition('@')[0]}"
    changed = conn.execute(
        processes.update()
        .where(processes.c.name == name)
        .values(beats=processes.c.beats + 1, indexed=indexed)
    ).rowcount
    if not changed:
        register(conn, name, node=node, role=INDEX, now=now, takeover=takeover)
        conn.execute(processes.update().where(processes.c.name == name).values(indexed=indexed))


def indexed(conn: sa.Connection) -> int | None:
    """How many entries every full-text index has that is kept up; None: nobody keeps one."""
    rows = conn.execute(sa.select(processes.c.indexed).where(processes.c.role == INDEX)).all()
    return min((row.indexed or 0 for row in rows), default=None)
