"""Recipients whose stored certificates end. The caller opens transactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from pki.beside import stands_alone
from pki.tables import certificates


@dataclass(frozen=True, slots=True)
class RecipientsEnding:
    """Recipients by what is left of the last of their certificates. ends: the first few to end."""

    known: int = 0
    ending: int = 0
    ended: int = 0
    ends: Mapping[str, datetime] = field(default_factory=dict)


def recipients_ending(
    conn: sa.Connection, *, moment: datetime, until: datetime, name: int = 20, org: str = ""
) -> RecipientsEnding:
    """Of all addresses of the local store: for how many the last certificate ends before `until`,
    or has ended. Somebody who has a newer one is not among them. One with an ML-KEM key does not
    count: alone it is nothing to write to.
    """
    table = certificates.c
    last = (
        sa.select(table.address, sa.func.max(table.not_after).label("ends"))
        .where(table.org == org, table.removed_at.is_(None), stands_alone(conn, table.der))
        .group_by(table.address)
        .subquery()
    )
    ended, soon = last.c.ends < moment, sa.and_(last.c.ends >= moment, last.c.ends < until)
    known, past, ending = conn.execute(
        sa.select(
            sa.func.count(), sa.func.count().filter(ended), sa.func.count().filter(soon)
        ).select_from(last)
    ).one()
    first = conn.execute(
        sa.select(last.c.address, last.c.ends).where(soon).order_by(last.c.ends).limit(name)
    )
    return RecipientsEnding(known, ending, past, {row.address: row.ends for row in first})
