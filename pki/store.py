"""Certificates of others in the database. The caller opens and commits transactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import sqlalchemy as sa

from pki.addresses import canonical
from pki.beside import stands_alone
from pki.certificate import ParsedCertificate
from pki.der import elements
from pki.errors import CertificateRefused
from pki.models import Candidate
from pki.tables import certificates, crls, ocsp_responses, refused_keys, suggestions
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


# Certificates read to tell whether a domain has others than with ML-KEM keys; with more it has.
_LOOKED_AT = 100


def has_certificate_in(
    conn: sa.Connection, domain: str, *, beside: bool = True, org: str = ""
) -> bool:
    """Whether a certificate in use is stored for any address of this domain (canonical, exact).

    beside: whether one with an ML-KEM key counts, which is never used alone.
    """
    query = sa.select(certificates.c.der).where(
        certificates.c.org == org,
        certificates.c.removed_at.is_(None),
        certificates.c.address.endswith(f"@{domain}", autoescape=True),
    )
    usual = query if beside else query.where(stands_alone(conn, certificates.c.der))
    if conn.execute(usual.limit(1)).first() is not None:
        return True
    if beside:
        return False
    # `stands_alone` looks for how a key begins, which may stand in an extension beside an RSA key
    # (X.509 subjectAltPublicKeyInfo): nobody's mail is refused for that.
    found = conn.execute(query.limit(_LOOKED_AT + 1)).scalars().all()
    return len(found) > _LOOKED_AT or any(not ParsedCertificate(der).encapsulates for der in found)


# Made once for each length: making it anew takes longer than running it, and so does writing the
# list into it each time (`expanding`).
@lru_cache(maxsize=16)
def _candidates(count: int) -> sa.Select[tuple[str, bytes, str, bytes | None, str | None]]:
    return (
        sa.select(
            certificates.c.address,
            certificates.c.der,
            certificates.c.source,
            certificates.c.chain,
            certificates.c.capabilities,
        )
        .where(
            certificates.c.org == sa.bindparam("org"),
            certificates.c.address.in_([sa.bindparam(f"address_{n}") for n in range(count)]),
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
    wanted = _padded(addresses)
    named = {f"address_{number}": address for number, address in enumerate(wanted)}
    for row in conn.execute(_candidates(len(wanted)), {"org": org, **named}):
        found.setdefault(row.address, []).append(
            Candidate(
                row.der,
                f"store ({row.source})",
                chain=elements(row.chain) if row.chain else (),
                believed=tuple(row.capabilities.split()) if row.capabilities else (),
            )
        )
    return {address: tuple(candidates) for address, candidates in found.items()}


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
