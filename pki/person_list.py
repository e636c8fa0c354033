"""Stored keys and their consents, in pieces: 200,000 persons are listed in little memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import sqlalchemy as sa

from pki.consents import Consent, consents_of
from pki.decryption_keys import OPENING, StoredDecryptionKey
from pki.person_keys import SHOWN, PersonKey
from pki.tables import consents, decryption_keys, person_keys

_AT_ONCE = 500


class Standing(Enum):
    """Whether a key may sign, as far as consents go."""

    GIVEN = "given"
    WITHDRAWN = "withdrawn"  # there was one
    NONE = "none"  # there never was one


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which keys to list. Empty values and None: whatever they are.

    domain: exactly this one. ends_before: the certificate is not valid at that moment any more.
    kek: wrapped by this key-encryption key.
    """

    address: str = ""
    domain: str = ""
    standing: Standing | None = None
    ends_before: datetime | None = None
    kek: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A key with its consents, oldest first."""

    key: PersonKey
    consents: tuple[Consent, ...]


def each_key(conn: sa.Connection, wanted: Wanted, *, org: str = "") -> Iterator[Listed]:
    """The keys that are wanted, by address, oldest first."""
    table = person_keys.c
    conditions = [table.org == org, *_conditions(wanted)]
    address, row_id = "", 0
    while True:
        # The first part says nothing new; it lets the index begin where the last piece ended.
        behind = sa.and_(
            table.address >= address, sa.or_(table.address > address, table.id > row_id)
        )
        rows = conn.execute(
            sa.select(table.id, *SHOWN)
            .where(*conditions, behind)
            .order_by(table.address, table.id)
            .limit(_AT_ONCE)
        ).all()
        given = consents_of(conn, list({row.address for row in rows}), org=org)
        for row in rows:
            key = PersonKey(*row[1:])
            yield Listed(key, tuple(given.get((key.address, key.certificate_sha256), ())))
        if len(rows) < _AT_ONCE:
            return
        address, row_id = rows[-1].address, rows[-1].id


def each_opening_key(
    conn: sa.Connection, wanted: Wanted, *, org: str = ""
) -> Iterator[StoredDecryptionKey]:
    """Decryption keys by address, oldest first, but for those in escrow. They know no consents."""
    table = decryption_keys.c
    conditions = [table.org == org, table.departed_at.is_(None)]
    if wanted.address:
        conditions.append(table.address == wanted.address)
    if wanted.domain:
        conditions.append(table.address.endswith("@" + wanted.domain, autoescape=True))
    if wanted.ends_before is not None:
        conditions.append(table.not_after < wanted.ends_before)
    if wanted.kek:
        conditions.append(table.kek == wanted.kek)
    address, row_id = "", 0
    while True:
        behind = sa.and_(
            table.address >= address, sa.or_(table.address > address, table.id > row_id)
        )
        rows = conn.execute(
            sa.select(*OPENING)
            .where(*conditions, behind)
            .order_by(table.address, table.id)
            .limit(_AT_ONCE)
        ).all()
        yield from (StoredDecryptionKey(*row) for row in rows)
        if len(rows) < _AT_ONCE:
            return
        address, row_id = rows[-1].address, rows[-1].id


def _conditions(wanted: Wanted) -> Iterator[sa.ColumnElement[bool]]:
    table = person_keys.c
    if wanted.address:
        yield table.address == wanted.address
    if wanted.domain:
        yield table.address.endswith("@" + wanted.domain, autoescape=True)
    if wanted.ends_before is not None:
        yield table.not_after < wanted.ends_before
    if wanted.kek:
        yield table.kek == wanted.kek
    if wanted.standing is Standing.GIVEN:
        yield _has_consent(live=True)
    elif wanted.standing is Standing.WITHDRAWN:
        yield _has_consent(live=False)
        yield ~_has_consent(live=True)
    elif wanted.standing is Standing.NONE:
        yield ~_has_consent(live=False)


def _has_consent(*, live: bool) -> sa.ColumnElement[bool]:
    """There is a consent for the key, in force if `live`."""
    one, key = consents.c, person_keys.c
    query = sa.exists().where(
        one.org == key.org,
        one.address == key.address,
        one.certificate_sha256 == key.certificate_sha256,
    )
    return query.where(one.withdrawn_at.is_(None)) if live else query


def count_by_kek(conn: sa.Connection, *, org: str = "") -> dict[str, int]:
    """How many keys each key-encryption key wraps, by its name."""
    counts: dict[str, int] = {}
    for table in (person_keys.c, decryption_keys.c):
        for kek, count in conn.execute(
            sa.select(table.kek, sa.func.count())
            .where(table.org == org, table.wrapped != b"")
            .group_by(table.kek)
        ):
            counts[str(kek)] = counts.get(str(kek), 0) + int(count)
    return counts


def ending(
    conn: sa.Connection, start: datetime, end: datetime, limit: int, *, org: str = ""
) -> tuple[int, list[tuple[str, datetime]]]:
    """Certificates of keys with live consent that end from `start` on and before `end`.

    How many, and the first of them: address and end.
    """
    table = person_keys.c
    conditions = [
        table.org == org,
        table.not_after >= start,
        table.not_after < end,
        _has_consent(live=True),
    ]
    number = conn.execute(
        sa.select(sa.func.count()).select_from(person_keys).where(*conditions)
    ).scalar_one()
    rows = conn.execute(
        sa.select(table.address, table.not_after)
        .where(*conditions)
        .order_by(table.not_after, table.address)
        .limit(limit)
    )
    return number, [(row.address, row.not_after) for row in rows]


def without_usable_key(
    conn: sa.Connection, moment: datetime, limit: int, *, org: str = ""
) -> tuple[int, list[str]]:
    """Addresses with a live consent and no key whose certificate is still valid and agreed to.

    How many, and the first of them.
    """
    one, key = consents.c, person_keys.c
    usable = (
        sa.select(key.address)
        .join(
            consents,
            sa.and_(
                one.org == key.org,
                one.address == key.address,
                one.certificate_sha256 == key.certificate_sha256,
                one.withdrawn_at.is_(None),
            ),
        )
        .where(key.org == org, key.not_after >= moment)
    )
    agreed = sa.select(one.address).where(one.org == org, one.withdrawn_at.is_(None))
    # As sets: a look-up for each row would follow whichever index the database thinks of.
    lacking = sa.except_(agreed, usable).subquery()
    number = conn.execute(sa.select(sa.func.count()).select_from(lacking)).scalar_one()
    rows = conn.execute(sa.select(lacking.c.address).order_by(lacking.c.address).limit(limit))
    return number, [str(row.address) for row in rows]
