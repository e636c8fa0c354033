"""Wrapping stored keys anew under the key-encryption key in force: those that sign, and those that
open mail.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag

from pki.decryption_keys import opening_bound_to
from pki.errors import PrivateKeyError, problem
from pki.kek import KekRing
from pki.person_keys import bound_to
from pki.tables import decryption_keys, person_keys

# The tables of wrapped keys, and what binds a row of each.
SIGNING, OPENING = person_keys, decryption_keys
TABLES = (SIGNING, OPENING)
_BOUND = {SIGNING.name: bound_to, OPENING.name: opening_bound_to}


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """A stored key under its new wrap; to be written by `write_rewrapped`."""

    row: int
    former: str
    kek: str
    nonce: bytes = field(repr=False)
    wrapped: bytes = field(repr=False)


def left_to_rewrap(conn: sa.Connection, keks: KekRing, *, org: str = "") -> int:
    """How many rows are not under the key in force."""
    return sum(
        conn.execute(
            sa.select(sa.func.count())
            .select_from(table)
            .where(table.c.org == org, table.c.kek != keks.current.name, table.c.wrapped != b"")
        ).scalar_one()
        for table in TABLES
    )


def rewrap(
    conn: sa.Connection, keks: KekRing, *, table: sa.Table, after: int, limit: int, org: str = ""
) -> tuple[int, list[Rewrapped], list[PrivateKeyError]]:
    """Unwrap and wrap anew the next rows behind row id `after`; writes nothing. table: of TABLES.

    Returns the last id looked at (0: there is none left), new wraps, and what cannot be opened.
    Raises KekTrouble: then no row is to blame.
    """
    keys = table.c
    rows = conn.execute(
        sa.select(
            keys.id, keys.address, keys.certificate_sha256, keys.kek, keys.nonce, keys.wrapped
        )
        .where(
            keys.org == org,
            keys.kek != keks.current.name,
            keys.id > after,
            keys.wrapped != b"",  # those in escrow
        )
        .order_by(keys.id)
        .limit(limit)
    ).all()
    done: list[Rewrapped] = []
    closed: list[PrivateKeyError] = []
    for row in rows:
        associated = _BOUND[table.name](org, row.address, row.certificate_sha256)
        try:
            plain = keks.unwrap(row.kek, row.nonce, row.wrapped, associated)
        except InvalidTag:
            closed.append(
                PrivateKeyError(
                    problem(
                        "decrypt.person-key",
                        "the stored key of {address} cannot be opened: it was wrapped by another "
                        "key-encryption key ({kek}), or the row was changed",
                        address=row.address,
                        kek=row.kek,
                    )
                )
            )
            continue
        done.append(Rewrapped(row.id, row.kek, *keks.wrap(plain, associated)))
    return (rows[-1].id if rows else 0), done, closed


def write_rewrapped(conn: sa.Connection, table: sa.Table, wraps: list[Rewrapped]) -> int:
    """Write new wraps of rows that are still under the former key. Returns how many."""
    written = 0
    for one in wraps:
        written += conn.execute(
            sa.update(table)
            .where(table.c.id == one.row, table.c.kek == one.former, table.c.wrapped != b"")
            .values(kek=one.kek, nonce=one.nonce, wrapped=one.wrapped)
        ).rowcount
    return written
