"""Certificates that a decision rested on, kept so that an expert can check it years later.

The log names certificates and CRLs by SHA-256 (I4); here are their octets. CRLs are kept by
`pki.store` in all versions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from pki.tables import used_certificates

# Another process may store the same certificate at this moment; SQLite lets one in at a time.
_INSERT = {
    "postgresql": postgresql.insert(used_certificates).on_conflict_do_nothing(),
    "sqlite": sa.insert(used_certificates),
}


class Evidence:
    """Remembers what this process has stored, so that the hot path asks the database rarely."""

    def __init__(self, *, remember: int = 50_000) -> None:
        self._kept: set[bytes] = set()
        self._remember = remember

    def keep(self, conn: sa.Connection, certificates: Iterable[bytes]) -> list[bytes]:
        """Store those DER certificates that are new; in the caller's transaction.

        Returns what to hand to `committed` once the transaction has committed.
        """
        fresh = {der for der in certificates if der not in self._kept}
        if not fresh:
            return []
        by_hash = {hashlib.sha256(der).hexdigest(): der for der in fresh}
        known = {
            row.sha256
            for row in conn.execute(
                sa.select(used_certificates.c.sha256).where(
                    used_certificates.c.sha256.in_(list(by_hash))
                )
            )
        }
        # In one order everywhere: two processes that store the same ones wait for each other.
        rows = [
            {"sha256": digest, "der": der}
            for digest, der in sorted(by_hash.items())
            if digest not in known
        ]
        if rows:
            conn.execute(_INSERT[conn.dialect.name], rows)
        return list(fresh)

    def committed(self, certificates: Iterable[bytes]) -> None:
        """They are durable: `keep` need not ask for them again."""
        if len(self._kept) > self._remember:
            self._kept.clear()
        self._kept.update(certificates)


def certificate(conn: sa.Connection, sha256: str) -> bytes | None:
    """DER of a certificate that a decision named; None if it is not kept."""
    row = conn.execute(
        sa.select(used_certificates.c.der).where(used_certificates.c.sha256 == sha256)
    ).first()
    return None if row is None else bytes(row.der)
