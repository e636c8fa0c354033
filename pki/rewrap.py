"""Wrapping stored keys anew under the key-encryption key in force."""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag

from pki.errors import PrivateKeyError, problem
from pki.kek import KekRing
from pki.person_keys import bound_to
from pki.tables import person_keys

_KEYS = person_keys.c


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
    return int(
        conn.execute(
            sa.select(sa.func.count())
            .select_from(person_keys)
            .where(_KEYS.org == org, _KEYS.kek != keks.current.name)
        ).scalar_one()
    )


def rewrap(
    conn: sa.Connection, keks: KekRing, *, after: int, limit: int, org: str = ""
) -> tuple[int, list[Rewrapped], list[PrivateKeyError]]:
    """Unwrap and wrap anew the next rows behind row id `after`; writes nothing.

    Returns the last id looked at (0: there is none left), new wraps, and what cannot be opened.
    Raises KekTrouble: then no row is to blame.
    """
    rows = conn.execute(
        sa.select(
            _KEYS.id, _KEYS.address, _KEYS.certificate_sha256, _KEYS.kek, _KEYS.nonce, _KEYS.wrapped
        )
        .where(_KEYS.org == org, _KEYS.kek != keks.current.name, _KEYS.id > after)
        .order_by(_KEYS.id)
        .limit(limit)
    ).all()
    done: list[Rewrapped] = []
    closed: list[PrivateKeyError] = []
    for row in rows:
        associated = bound_to(org, row.address, row.certificate_sha256)
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


def write_rewrapped(conn: sa.Connection, wraps: list[Rewrapped]) -> int:
    """Write new wraps of rows that are still under the former key. Returns how many."""
    written = 0
    for one in wraps:
        written += conn.execute(
            sa.update(person_keys)
            .where(_KEYS.id == one.row, _KEYS.kek == one.former)
            .values(kek=one.kek, nonce=one.nonce, wrapped=one.wrapped)
        ).rowcount
    return written
