"""Sealed groups: stored before anything leaves, loaded for later attempts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from archive.pieces import pieces
from archive.rows import Rows
from archive.store import LARGE, LARGE_FROM
from gateway.queue.jobs import SealedGroup
from gateway.queue.models import groups

_INSERT_GROUPS = Rows(groups.insert(), *(column.name for column in groups.c))


def add_groups(conn: sa.Connection, sealed: Sequence[SealedGroup]) -> None:
    """Store what will leave. Commit this before the first connection (design step 6)."""
    if sealed:
        if any(g.size > LARGE_FROM for g in sealed):
            conn.info[LARGE] = True
        _INSERT_GROUPS.write(
            conn,
            [
                {
                    "id": g.id,
                    "archive_id": g.archive_id,
                    "treatment": g.treatment,
                    "route": g.route,
                    "sha256": g.sha256,
                    "size": g.size,
                    "emitted": g.emitted,
                    "tls": g.tls,
                }
                for g in sealed
            ],
        )


def beyond(conn: sa.Connection, ids: Iterable[str], octets: int) -> set[str]:
    """Those of these groups that are beyond so many octets together; never the first."""
    statement = sa.select(groups.c.id, groups.c.size)
    rows = [
        row
        for piece in pieces(list(ids))
        for row in conn.execute(statement.where(groups.c.id.in_(piece)))
    ]
    total, left = 0, set()
    for row in sorted(rows, key=lambda row: str(row.id)):
        if total > octets:
            left.add(row.id)
        total += row.size
    return left


def load_groups(conn: sa.Connection, ids: Iterable[str]) -> dict[str, SealedGroup]:
    """Sealed groups by id. Left out: those whose octets are gone, or are not those that the
    `sealed` entry in the log names by their hash: nothing else may leave (I4).
    """
    rows = [
        row
        for piece in pieces(list(ids))
        for row in conn.execute(sa.select(groups).where(groups.c.id.in_(piece)))
    ]
    return {
        row.id: SealedGroup(
            row.id,
            row.archive_id,
            row.treatment,
            row.route,
            row.sha256,
            row.size,
            row.emitted,
            row.tls,
        )
        for row in rows
        if row.emitted is not None and hashlib.sha256(row.emitted).hexdigest() == row.sha256
    }
