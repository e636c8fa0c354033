"""Certificates of others and CRLs in the database. The caller opens and commits transactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import sqlalchemy as sa

from pki.addresses import canonical
from pki.certificate import ParsedCertificate
from pki.crl import Crl, Version, check_successor
from pki.crl_folder import CrlFolder
from pki.crl_index import IndexDamagedError
from pki.crl_receive import Indexed, open_indexed, unsigned_head
from pki.der import elements
from pki.errors import CertificateRefused, CrlRefused
from pki.models import Candidate
from pki.path import Material
from pki.tables import (
    certificates,
    crl_fetches,
    crls,
    ocsp_responses,
    refused_keys,
    suggestions,
)
from pki.usage import address_problem


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A row of the local store."""

    address: str
    sha256: str
    der: bytes
    subject: str
    not_after: datetime
    added_at: datetime
    added_by: str
    source: str
    removed_at: datetime | None = None
    removed_by: str | None = None


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


def import_certificate(
    conn: sa.Connection,
    der: bytes,
    *,
    addresses: Sequence[str] = (),
    by: str,
    source: str,
    moment: datetime,
    chain: Sequence[bytes] = (),
    capabilities: Sequence[str] = (),
    org: str = "",
) -> tuple[str, ...]:
    """Store a certificate under its addresses (or those of them named in `addresses`).

    chain: CA certificates that came along. capabilities: OIDs that this person signed, checked.
    Returns the canonical addresses; a certificate that is in use already is not added again.
    Whether it is trusted is judged at use, not here.
    Raises CertificateRefused: unreadable, or without one of `addresses`. Raises AddressError.
    """
    cert = ParsedCertificate(der)
    wanted = tuple(canonical(address) for address in addresses) or cert.addresses.usable
    for address in wanted or ("",):
        reason = address_problem(cert, address or "nobody@invalid")
        if reason is not None:
            raise CertificateRefused(reason)
    known = set(
        conn.execute(
            sa.select(certificates.c.address).where(
                certificates.c.org == org,
                certificates.c.sha256 == cert.sha256,
                certificates.c.removed_at.is_(None),
            )
        ).scalars()
    )
    new = [address for address in wanted if address not in known]
    rows = [
        NewCertificate(cert, address, source, tuple(chain), tuple(capabilities)) for address in new
    ]
    add_certificates(conn, rows, by=by, moment=moment, org=org)
    return wanted


@dataclass(frozen=True, slots=True)
class NewCertificate:
    """A row to be: the certificate for one canonical address, or for "@domain"."""

    certificate: ParsedCertificate
    address: str
    source: str
    chain: tuple[bytes, ...] = ()
    capabilities: tuple[str, ...] = ()


def add_certificates(
    conn: sa.Connection,
    new: Iterable[NewCertificate],
    *,
    by: str,
    moment: datetime,
    org: str = "",
) -> None:
    """Add rows of certificates that are not in use for these addresses; the caller has looked."""
    rows = [
        {
            "org": org,
            "address": each.address,
            "sha256": each.certificate.sha256,
            "der": each.certificate.der,
            "subject": each.certificate.subject_text,
            "not_before": each.certificate.not_before,
            "not_after": each.certificate.not_after,
            "source": each.source,
            "added_at": moment,
            "added_by": by,
            "chain": b"".join(each.chain) or None,
            "capabilities": " ".join(each.capabilities) or None,
        }
        for each in new
    ]
    if rows:
        conn.execute(certificates.insert(), rows)


def in_use(
    conn: sa.Connection, fingerprints: Sequence[str], *, org: str = ""
) -> set[tuple[str, str]]:
    """Which of these certificates are in use, and for which addresses: (SHA-256, address)."""
    table = certificates.c
    query = sa.select(table.sha256, table.address).where(
        table.org == org, table.sha256.in_(fingerprints), table.removed_at.is_(None)
    )
    return {(row.sha256, row.address) for row in conn.execute(query)}


def remove_certificate(
    conn: sa.Connection, sha256: str, *, by: str, moment: datetime, org: str = ""
) -> int:
    """Take a certificate out of use (the rows stay). Returns how many addresses lost it."""
    return conn.execute(
        certificates.update()
        .where(
            certificates.c.org == org,
            certificates.c.sha256 == sha256,
            certificates.c.removed_at.is_(None),
        )
        .values(removed_at=moment, removed_by=by)
    ).rowcount


def list_certificates(
    conn: sa.Connection, address: str = "", *, org: str = ""
) -> list[StoredCertificate]:
    """Certificates in use, of one address or of all. Raises AddressError."""
    table = certificates.c
    query = sa.select(certificates).where(table.org == org, table.removed_at.is_(None))
    if address:
        query = query.where(table.address == canonical(address))
    return [_stored(row) for row in conn.execute(query.order_by(table.address, table.id))]


def newest_certificates(conn: sa.Connection, limit: int, *, org: str = "") -> list[bytes]:
    """DER of certificates in use, the last ones that came: a sample of what mail needs."""
    table = certificates.c
    query = sa.select(table.der).where(table.org == org, table.removed_at.is_(None))
    return list(conn.execute(query.order_by(table.id.desc()).limit(limit)).scalars())


def certificate_history(
    conn: sa.Connection, sha256: str, *, org: str = ""
) -> list[StoredCertificate]:
    """All rows of one certificate, also of one that was taken out of use."""
    table = certificates.c
    query = sa.select(certificates).where(table.org == org, table.sha256 == sha256)
    return [_stored(row) for row in conn.execute(query.order_by(table.id))]


def _stored(row: sa.Row[tuple[object, ...]]) -> StoredCertificate:
    return StoredCertificate(
        address=row.address,
        sha256=row.sha256,
        der=row.der,
        subject=row.subject,
        not_after=row.not_after,
        added_at=row.added_at,
        added_by=row.added_by,
        source=row.source,
        removed_at=row.removed_at,
        removed_by=row.removed_by,
    )


def has_certificate_in(conn: sa.Connection, domain: str, *, org: str = "") -> bool:
    """Whether a certificate in use is stored for any address of this domain (canonical, exact)."""
    row = conn.execute(
        sa.select(certificates.c.id)
        .where(
            certificates.c.org == org,
            certificates.c.removed_at.is_(None),
            certificates.c.address.endswith(f"@{domain}", autoescape=True),
        )
        .limit(1)
    ).first()
    return row is not None


# Made once: making it anew takes longer than running it.
_CANDIDATES = (
    sa.select(
        certificates.c.address,
        certificates.c.der,
        certificates.c.source,
        certificates.c.chain,
        certificates.c.capabilities,
    )
    .where(
        certificates.c.org == sa.bindparam("org"),
        certificates.c.address.in_(sa.bindparam("addresses", expanding=True)),
        certificates.c.removed_at.is_(None),
    )
    .order_by(certificates.c.id)
)


def _padded(addresses: Sequence[str]) -> list[str]:
    """The same addresses, the last one repeated up to a power of two: lists of few lengths make
    few statements, and drivers keep each, with its values.
    """
    full = 1 << max(len(addresses) - 1, 0).bit_length()
    return [*addresses, *(addresses[-1] for _ in range(full - len(addresses)) if addresses)]


def candidates_for(
    conn: sa.Connection, addresses: Sequence[str], *, org: str = ""
) -> Mapping[str, tuple[Candidate, ...]]:
    """Candidates for canonical addresses, in one query; addresses without any are left out."""
    found: dict[str, list[Candidate]] = {}
    for row in conn.execute(_CANDIDATES, {"org": org, "addresses": _padded(addresses)}):
        found.setdefault(row.address, []).append(
            Candidate(
                row.der,
                f"store ({row.source})",
                chain=elements(row.chain) if row.chain else (),
                believed=tuple(row.capabilities.split()) if row.capabilities else (),
            )
        )
    return {address: tuple(candidates) for address, candidates in found.items()}


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
    Raises CrlRefused if it goes back behind a known one of the same issuer, key and scope.
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


def list_crls(
    conn: sa.Connection, *, sha256: str = "", newest_only: bool = False, org: str = ""
) -> list[StoredCrl]:
    """All stored versions, newest first; or the one with this fingerprint.

    newest_only: those alone that were not replaced, of however many there are.
    """
    table = crls.c
    columns = [column for column in crls.columns if column.name != "der"]
    newest = set(conn.execute(sa.select(_newest(org).subquery().c.id)).scalars())
    query = sa.select(*columns).where(table.org == org)
    if sha256:
        query = query.where(table.sha256 == sha256)
    if newest_only:
        query = query.where(table.id.in_(sa.select(_newest(org).subquery().c.id)))
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
    heads = {}
    for crl in list_crls(conn, newest_only=True, org=org):
        der = crl_bytes(conn, crl.sha256, org=org)
        with suppress(CrlRefused):  # an older version took what this one would not
            heads[crl.series] = unsigned_head(der or b"", crl.source)
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

    failures: in a row, up to this attempt.
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
            problem=row.problem or "",
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
    text = problem.replace("\0", "\ufffd") or None
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


def version(conn: sa.Connection, *, org: str = "") -> tuple[int, int, str]:
    """Changes whenever a CRL or certificate was added or a certificate taken out of use, a key was
    refused, or a person decided about one.

    An OCSP response that says revoked or unknown counts as a CRL does: verdicts are made anew.
    One that says good changes no verdict, and a question an hour for each recipient would have
    all verdicts made anew all the time.
    """
    table = certificates.c
    newest = [
        sa.select(column).where(of_org == org).order_by(column.desc()).limit(1).scalar_subquery()
        for column, of_org in (
            (crls.c.id, crls.c.org),
            (table.id, table.org),
            (table.removed_at, table.org),
        )
    ]
    newest += [
        sa.select(sa.func.max(column)).where(of_org == org).scalar_subquery()
        for column, of_org in (
            (refused_keys.c.refused_at, refused_keys.c.org),
            (suggestions.c.decided_at, suggestions.c.org),
        )
    ]
    bad = (
        sa.select(sa.func.max(ocsp_responses.c.id))
        .where(ocsp_responses.c.org == org, ocsp_responses.c.status.in_(("revoked", "unknown")))
        .scalar_subquery()
    )
    row = conn.execute(sa.select(*newest, bad)).one()
    # Both only ever grow, and so does their sum.
    changes = "/".join(str(each or "") for each in row[2:5])
    return (row[0] or 0) + (row[5] or 0), row[1] or 0, changes
