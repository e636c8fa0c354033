"""CRLs in the database, all versions of them, and how their sources fared. The caller opens and
commits transactions.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import sqlalchemy as sa

from pki.crl import Crl, Version, check_successor
from pki.crl_folder import CrlFolder
from pki.crl_index import IndexDamagedError
from pki.crl_receive import Indexed, open_indexed, unsigned_head
from pki.errors import CrlRefused, problem
from pki.path import Material
from pki.sentences import packed, unpacked
from pki.tables import crl_fetches, crls

# The newest CRL of each series is kept at hand for ever: a revocation does not go stale. A CA that
# named another distribution point in each of its CRLs would fill memory and disk with them.
MAX_SERIES = 1000


@dataclass(frozen=True, slots=True)
class StoredCrl:
    """A stored version of a CRL, without its bytes. newest: of its series (`Crl.series`)."""

    sha256: str
    issuer: str
    number: int | None
    this_update: datetime
    next_update: datetime
    source: str
    known_at: datetime
    newest: bool
    series: str


def store_crl(
    conn: sa.Connection,
    crl: Crl,
    *,
    moment: datetime,
    indexed: Indexed | None = None,
    org: str = "",
) -> bool:
    """Keep a CRL whose signature has been checked. False: it was known already.

    indexed: what goes with a large one, which has no octets of its own (`pki.crl_receive`).
    Raises CrlRefused if it goes back behind a known one of the same issuer, key and scope, or if
    its issuer has too many scopes.
    """
    table = crls.c
    newest = conn.execute(
        sa.select(table.sha256, table.number, table.this_update)
        .where(table.org == org, table.series == crl.series)
        .order_by(table.this_update.desc(), table.id.desc())
        .limit(1)
    ).first()
    if newest is not None:
        if newest.sha256 == crl.sha256:
            return False
        # An older one that we had ourselves is as old as any other: "unchanged" would hide that
        # the source serves what was replaced.
        number = None if newest.number is None else int(newest.number)
        check_successor(crl, Version(number, newest.this_update))
    elif _series_of(conn, crl.issuer_text, org) >= MAX_SERIES:
        raise CrlRefused(
            problem(
                "limits.crl-series",
                "{issuer} has CRLs of {limit} different scopes already (distribution points, "
                "keys); a further one is not kept",
                issuer=crl.issuer_text,
                limit=str(MAX_SERIES),
            )
        )
    if conn.execute(
        sa.select(table.id).where(table.org == org, table.sha256 == crl.sha256)
    ).first():
        return False
    conn.execute(
        crls.insert().values(
            org=org,
            series=crl.series,
            issuer=crl.issuer_text,
            number=None if crl.number is None else str(crl.number),
            this_update=crl.this_update,
            next_update=crl.next_update,
            sha256=crl.sha256,
            der=crl.der if indexed is None else indexed.der,
            source=crl.source,
            known_at=moment,
            index_sha256="" if indexed is None else indexed.digest,
        )
    )
    return True


def _series_of(conn: sa.Connection, issuer: str, org: str) -> int:
    table = crls.c
    query = sa.select(sa.func.count(table.series.distinct()))
    return conn.execute(query.where(table.org == org, table.issuer == issuer)).scalar_one()


def note_index(conn: sa.Connection, sha256: str, digest: str, *, org: str = "") -> None:
    """That a CRL which is stored already has an index now, and what it must be."""
    table = crls.c
    conn.execute(
        crls.update().where(table.org == org, table.sha256 == sha256).values(index_sha256=digest)
    )


def current_crls(
    conn: sa.Connection,
    known: Mapping[str, Crl],
    *,
    folder: CrlFolder | None = None,
    material: Material | None = None,
    org: str = "",
) -> tuple[Crl, ...]:
    """The newest CRL of each series. `known` (by sha256): objects that need not be read again.

    folder: of the indexes of large ones, and material: who may have signed them. Without both, and
    where an index cannot be had, octets are read: what is known must not depend on a file.
    """
    table = crls.c
    newest = _newest(org).subquery()
    query = sa.select(table.id, table.sha256, table.source, table.index_sha256)
    found: list[Crl] = []
    for row in conn.execute(query.join(newest, newest.c.id == table.id)).all():
        crl = known.get(row.sha256)
        if crl is None and folder is not None and material is not None and row.index_sha256:
            with suppress(CrlRefused, IndexDamagedError, OSError):
                crl = open_indexed(
                    row.sha256,
                    row.index_sha256,
                    row.source,
                    folder=folder,
                    octets=partial(_octets, conn, row.id),
                    material=material,
                )
        found.append(crl or Crl(_octets(conn, row.id), row.source))
    return tuple(found)


def _octets(conn: sa.Connection, row_id: int) -> bytes:
    der: bytes = conn.execute(sa.select(crls.c.der).where(crls.c.id == row_id)).scalar_one()
    return der


@dataclass(frozen=True, slots=True)
class NewestCrl:
    """The newest CRL of a series, without its octets. index_sha256: "" where there is no index."""

    sha256: str
    source: str
    size: int
    index_sha256: str


def newest_crls(conn: sa.Connection, *, org: str = "") -> list[NewestCrl]:
    """The newest CRL of each series."""
    table = crls.c
    newest = _newest(org).subquery()
    size = sa.func.length(table.der).label("size")
    query = sa.select(table.sha256, table.source, size, table.index_sha256)
    return [
        NewestCrl(row.sha256, row.source, row.size, row.index_sha256)
        for row in conn.execute(query.join(newest, newest.c.id == table.id))
    ]


def list_crls(conn: sa.Connection, *, sha256: str = "", org: str = "") -> list[StoredCrl]:
    """All stored versions, newest first; or the one with this fingerprint."""
    table = crls.c
    columns = [column for column in crls.columns if column.name != "der"]
    newest = set(conn.execute(sa.select(_newest(org).subquery().c.id)).scalars())
    query = sa.select(*columns).where(table.org == org)
    if sha256:
        query = query.where(table.sha256 == sha256)
    return [
        StoredCrl(
            sha256=row.sha256,
            issuer=row.issuer,
            number=None if row.number is None else int(row.number),
            this_update=row.this_update,
            next_update=row.next_update,
            source=row.source,
            known_at=row.known_at,
            newest=row.id in newest,
            series=row.series,
        )
        for row in conn.execute(query.order_by(table.this_update.desc(), table.id.desc()))
    ]


def crl_heads(conn: sa.Connection, *, org: str = "") -> dict[str, Crl]:
    """By series, a CRL without its entries: issuer, scope, and whether it is a delta are the same
    for a whole series. Nobody is asked whose signature it bears: that was when it was stored.
    """
    table = crls.c
    newest = _newest(org).subquery()
    query = sa.select(table.series, table.source, table.der)
    heads = {}
    # One at a time: together they may be more octets than memory should hold.
    for row in conn.execute(query.join(newest, newest.c.id == table.id)).yield_per(1):
        with suppress(CrlRefused):  # an older version took what this one would not
            heads[row.series] = unsigned_head(row.der, row.source)
    return heads


def _newest(org: str) -> sa.Select[tuple[str, int]]:
    """The newest row of each series: a row can only follow an older one (`store_crl`), so the
    highest id is the newest."""
    table = crls.c
    return (
        sa.select(table.series, sa.func.max(table.id).label("id"))
        .where(table.org == org)
        .group_by(table.series)
    )


def crl_bytes(conn: sa.Connection, sha256: str, *, org: str = "") -> bytes | None:
    """DER of a stored CRL, also of one that was replaced."""
    table = crls.c
    return conn.execute(
        sa.select(table.der).where(table.org == org, table.sha256 == sha256)
    ).scalar()


@dataclass(frozen=True, slots=True)
class LastFetch:
    """The last attempt for a CRL source. this_update, next_update: of the CRL it brought.

    problem: a Sentence where it is one of ours. failures: in a row, up to this attempt.
    """

    tried_at: datetime
    done_at: datetime | None
    this_update: datetime | None
    next_update: datetime | None
    problem: str
    failures: int = 0


def last_fetches(conn: sa.Connection, *, org: str = "") -> dict[str, LastFetch]:
    """Last attempts by location."""
    fetches, table = crl_fetches.c, crls.c
    joined = crl_fetches.outerjoin(
        crls, sa.and_(table.org == fetches.org, table.sha256 == fetches.crl_sha256)
    )
    query = (
        sa.select(crl_fetches, table.this_update, table.next_update)
        .select_from(joined)
        .where(fetches.org == org)
    )
    return {
        row.location: LastFetch(
            tried_at=row.tried_at,
            done_at=row.done_at,
            this_update=row.this_update,
            next_update=row.next_update,
            problem=unpacked(row.problem or ""),
            failures=row.failures,
        )
        for row in conn.execute(query)
    }


def record_fetch(
    conn: sa.Connection,
    location: str,
    *,
    moment: datetime,
    crl_sha256: str = "",
    problem: str = "",
    org: str = "",
) -> None:
    """Note an attempt. A failed one leaves what the last good one brought."""
    # In a problem stand words of a stranger's server, and PostgreSQL takes no NUL in a text: one
    # such server would keep every CRL after its own from being fetched.
    text = packed(problem).replace("\0", "\ufffd") or None
    values: dict[str, object] = {"tried_at": moment, "problem": text}
    if crl_sha256:
        values |= {"done_at": moment, "crl_sha256": crl_sha256}
    fetches = crl_fetches.c
    changed = conn.execute(
        crl_fetches.update()
        .where(fetches.org == org, fetches.location == location)
        .values(**values, failures=fetches.failures + 1 if text else 0)
    ).rowcount
    if not changed:
        values["failures"] = 1 if text else 0
        conn.execute(crl_fetches.insert().values(org=org, location=location, **values))
