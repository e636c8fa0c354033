"""Certificates of others and CRLs in the database. The caller opens and commits transactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from pki.ldap import Candidate


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A row of the local store."""

    address: str
    sha256: str
    der: bytes
    subject: str
    added_at: datetime
    added_by: str
    source: str


def import_certificate(
    conn: sa.Connection,
    der: bytes,
    *,
    addresses: Sequence[str] = (),
    by: str,
    source: str,
    moment: datetime,
) -> tuple[str, ...]:
    """Store a certificate under its addresses (or those of them named in `addresses`).

    Returns the canonical addresses. Whether it is trusted is judged at use, not here.
    Raises CertificateRefused: unreadable, or without one of `addresses`.
    """
    ...


def remove_certificate(conn: sa.Connection, sha256: str, *, by: str, moment: datetime) -> int:
    """Take a certificate out of use (the row stays). Returns how many addresses lost it."""
    ...


def list_certificates(conn: sa.Connection, address: str = "") -> list[StoredCertificate]:
    """Certificates in use, of one address or of all."""
    ...


def candidates_for(
    conn: sa.Connection, addresses: Sequence[str]
) -> Mapping[str, tuple[Candidate, ...]]:
    """Candidates for canonical addresses, in one query."""
    ...
