"""Consents to be signed for: given, withdrawn, never deleted.

A withdrawal is a state, not a date: only a new consent ends it. A clock that is put back makes no
withdrawn consent live again. Each consent has the id of its entries in the archive's log; one
without is not used, so that the log alone shows what every signature rested on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from pki.addresses import canonical
from pki.errors import PrivateKeyError, problem
from pki.tables import consents, person_keys


@dataclass(frozen=True, slots=True)
class Ground:
    """What a consent or withdrawal rests on. basis: in words. form: SHA-256 of a signed form, hex.

    Both may be "".
    """

    basis: str = ""
    form_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Consent:
    """Who agreed that the gateway signs as him, with which certificate, and who recorded it.

    entry_id: archive id of its log entries; None while it has none, and then it is not used.
    """

    address: str
    certificate_sha256: str
    person: str
    given_at: datetime
    given_by: str
    entry_id: str | None
    ground: Ground = Ground()
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None
    withdrawn_ground: Ground = Ground()

    @property
    def live(self) -> bool:
        """Not withdrawn."""
        return self.withdrawn_at is None


def give_consent(
    conn: sa.Connection,
    *,
    address: str,
    certificate_sha256: str,
    person: str,
    by: str,
    moment: datetime,
    entry_id: str,
    ground: Ground = Ground(),
    org: str = "",
) -> Consent:
    """Record that a person agrees. entry_id: of the log entry written in the same transaction.

    Raises PrivateKeyError if no such key is stored.
    """
    address = canonical(address)
    table = person_keys.c
    if not conn.execute(
        sa.select(table.id).where(
            table.org == org,
            table.address == address,
            table.certificate_sha256 == certificate_sha256,
        )
    ).first():
        raise PrivateKeyError(
            problem(
                "structure.key-unknown",
                "no key for the certificate {sha256} of {address} is stored",
                sha256=certificate_sha256,
                address=address,
            )
        )
    consent = Consent(address, certificate_sha256, person, moment, by, entry_id, ground)
    conn.execute(
        consents.insert().values(
            org=org,
            address=address,
            certificate_sha256=certificate_sha256,
            person=person,
            given_at=moment,
            given_by=by,
            entry_id=entry_id,
            basis=ground.basis,
            form_sha256=ground.form_sha256,
        )
    )
    return consent


def withdraw_consent(
    conn: sa.Connection,
    *,
    address: str,
    by: str,
    moment: datetime,
    certificate_sha256: str = "",
    ground: Ground = Ground(),
    org: str = "",
) -> list[Consent]:
    """End all live consents of an address (for one certificate or for all). Returns them, ended.

    One that has no entry in the log gets none here: the caller writes what the log needs.
    """
    table = consents.c
    live = [table.org == org, table.address == canonical(address), table.withdrawn_at.is_(None)]
    if certificate_sha256:
        live.append(table.certificate_sha256 == certificate_sha256)
    found = conn.execute(sa.select(table.id).where(*live).order_by(table.id).with_for_update())
    ids = [row.id for row in found]
    if not ids:
        return []
    conn.execute(
        consents.update()
        .where(table.id.in_(ids))
        .values(
            withdrawn_at=moment,
            withdrawn_by=by,
            withdrawn_basis=ground.basis,
            withdrawn_form_sha256=ground.form_sha256,
        )
    )
    return [
        _consent(row)
        for row in conn.execute(sa.select(consents).where(table.id.in_(ids)).order_by(table.id))
    ]


def list_consents(conn: sa.Connection, address: str = "", *, org: str = "") -> list[Consent]:
    """All consents, also withdrawn ones, of one address or of all, oldest first."""
    table = consents.c
    query = sa.select(consents).where(table.org == org)
    if address:
        query = query.where(table.address == canonical(address))
    return [_consent(row) for row in conn.execute(query.order_by(table.id))]


def consents_of(
    conn: sa.Connection, addresses: list[str], *, org: str = ""
) -> dict[tuple[str, str], list[Consent]]:
    """By canonical address and certificate, oldest first."""
    table = consents.c
    found: dict[tuple[str, str], list[Consent]] = {}
    rows = conn.execute(
        sa.select(consents).where(table.org == org, table.address.in_(addresses)).order_by(table.id)
    )
    for row in rows:
        one = _consent(row)
        found.setdefault((one.address, one.certificate_sha256), []).append(one)
    return found


def without_entry(
    conn: sa.Connection, limit: int, *, org: str = ""
) -> Iterator[tuple[int, Consent]]:
    """Row id and consent of those that have no entry in the log yet, oldest first."""
    table = consents.c
    rows = conn.execute(
        sa.select(consents)
        .where(table.org == org, table.entry_id.is_(None))
        .order_by(table.id)
        .limit(limit)
    ).all()
    return ((row.id, _consent(row)) for row in rows)


def set_entry(conn: sa.Connection, row_id: int, entry_id: str) -> bool:
    """The log entry of a consent that had none, written in the same transaction; False: it has."""
    table = consents.c
    done = conn.execute(
        consents.update()
        .where(table.id == row_id, table.entry_id.is_(None))
        .values(entry_id=entry_id)
    )
    return done.rowcount == 1


def _consent(row: sa.Row[tuple[object, ...]]) -> Consent:
    return Consent(
        address=row.address,
        certificate_sha256=row.certificate_sha256,
        person=row.person,
        given_at=row.given_at,
        given_by=row.given_by,
        entry_id=row.entry_id,
        ground=Ground(row.basis, row.form_sha256),
        withdrawn_at=row.withdrawn_at,
        withdrawn_by=row.withdrawn_by,
        withdrawn_ground=Ground(row.withdrawn_basis, row.withdrawn_form_sha256),
    )
