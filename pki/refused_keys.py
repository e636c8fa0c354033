"""Keys that are never used again, whatever certificate they stand in: found by an audit (K4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pki.errors import Problem, problem
from pki.tables import refused_keys


def load(conn: sa.Connection, *, org: str = "") -> Mapping[str, Problem]:
    """All of them, each with the reason. There are few: they are read whole."""
    table = refused_keys.c
    return {
        row.key_sha256: problem(row.code, "its key is refused: {reason}", reason=row.reason)
        for row in conn.execute(sa.select(refused_keys).where(table.org == org))
    }


def count_since(conn: sa.Connection, moment: datetime, *, org: str = "") -> int:
    """How many were refused since then."""
    table = refused_keys.c
    query = sa.select(sa.func.count()).where(table.org == org, table.refused_at >= moment)
    return int(conn.execute(query).scalar_one())


def refuse(
    conn: sa.Connection,
    keys: Iterable[tuple[str, Problem]],
    *,
    by: str,
    moment: datetime,
    org: str = "",
) -> list[str]:
    """Refuse keys from now on; those that were not refused before are returned."""
    wanted = dict(keys)
    if not wanted:
        return []
    new = sorted(wanted.keys() - load(conn, org=org).keys())
    kind = postgresql if conn.dialect.name == "postgresql" else sqlite
    for key in new:
        conn.execute(
            kind.insert(refused_keys)
            .values(
                org=org,
                key_sha256=key,
                code=wanted[key].code,
                reason=wanted[key].text,
                refused_at=moment,
                refused_by=by,
            )
            .on_conflict_do_nothing()
        )
    return new
