"""Decryption keys of people who leave: out of use at once, kept for ever for the authority.

Here they are found, taken out of use and stored; who they are sealed to is a callable of the
caller (`Seal`), as the archive's recipients are none of this package's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pki.addresses import canonical
from pki.certificate import ParsedCertificate
from pki.decryption_keys import unwrap_decryption_key
from pki.errors import CertificateRefused, PrivateKeyError, problem
from pki.kek import KekRing
from pki.models import Purpose
from pki.person_keys import bound_to
from pki.tables import decryption_keys, escrowed_keys, person_keys
from pki.usage import purpose_problem

# Seals the PKCS#8 octets of a key for those who may open it later: sealed octets, and who can open
# them, as text. Arguments: archive id of the departure, fingerprint of the certificate, the octets.
Seal = Callable[[str, str, bytes], "tuple[bytes, str]"]


@dataclass(frozen=True, slots=True)
class EscrowedKey:
    """A key in escrow. entry_id: archive id of the departure; wraps: as `Seal` gave them."""

    entry_id: str
    address: str
    certificate_sha256: str
    certificate: bytes = field(repr=False)
    sealed: bytes = field(repr=False)
    wraps: str = field(repr=False)
    departed_at: datetime
    departed_by: str


_SHOWN = (
    escrowed_keys.c.entry_id,
    escrowed_keys.c.address,
    escrowed_keys.c.certificate_sha256,
    escrowed_keys.c.certificate,
    escrowed_keys.c.sealed,
    escrowed_keys.c.wraps,
    escrowed_keys.c.departed_at,
    escrowed_keys.c.departed_by,
)


def put_in_escrow(
    conn: sa.Connection,
    address: str,
    keks: KekRing,
    seal: Seal,
    *,
    entry_id: str,
    by: str,
    moment: datetime,
    org: str = "",
) -> tuple[str, ...]:
    """Seal all decryption keys of an address, and take them out of use; their certificates.

    A key that signs and may open mail, too, by its certificate, is one of them. Its row among the
    keys that sign is left to the caller. In the caller's transaction: all keys or none. Raises
    PrivateKeyError (a row that does not open: nobody may leave and take a key along), KekTrouble,
    and what `seal` raises.
    """
    address = canonical(address)
    found = _opening(conn, address, keks, org) | _signing(conn, address, keks, org)
    for sha256, (der, plain) in found.items():
        sealed, wraps = seal(entry_id, sha256, plain)
        conn.execute(
            escrowed_keys.insert(),
            {
                "org": org,
                "entry_id": entry_id,
                "address": address,
                "certificate_sha256": sha256,
                "certificate": der,
                "sealed": sealed,
                "wraps": wraps,
                "departed_at": moment,
                "departed_by": by,
            },
        )
    table = decryption_keys.c
    conn.execute(
        decryption_keys.update()
        .where(table.org == org, table.address == address, table.departed_at.is_(None))
        .values(nonce=b"", wrapped=b"", departed_at=moment)
    )
    return tuple(found)


def list_escrow(conn: sa.Connection, address: str = "", *, org: str = "") -> Sequence[EscrowedKey]:
    """Keys in escrow, of one address or of all, in the order in which they came."""
    query = sa.select(*_SHOWN).where(escrowed_keys.c.org == org)
    if address:
        query = query.where(escrowed_keys.c.address == canonical(address))
    rows = conn.execute(query.order_by(escrowed_keys.c.id))
    return [EscrowedKey(*row) for row in rows]


Found = dict[str, tuple[bytes, bytes]]  # fingerprint to certificate and PKCS#8


def _opening(conn: sa.Connection, address: str, keks: KekRing, org: str) -> Found:
    table = decryption_keys.c
    rows = conn.execute(
        sa.select(decryption_keys)
        .where(table.org == org, table.address == address, table.departed_at.is_(None))
        .order_by(table.id)
    ).all()
    return {
        row.certificate_sha256: (
            bytes(row.certificate),
            unwrap_decryption_key(row, keks, org).private_bytes(
                Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
            ),
        )
        for row in rows
    }


def _signing(conn: sa.Connection, address: str, keks: KekRing, org: str) -> Found:
    table = person_keys.c
    found: Found = {}
    for row in conn.execute(
        sa.select(person_keys).where(table.org == org, table.address == address)
    ).all():
        try:
            cert = ParsedCertificate(bytes(row.certificate))
        except CertificateRefused:
            continue
        if purpose_problem(cert, Purpose.ENCRYPT, row.added_at, allow_legacy=True) is not None:
            continue
        try:
            associated = bound_to(org, row.address, row.certificate_sha256)
            plain = keks.unwrap(row.kek, row.nonce, row.wrapped, associated)
        except InvalidTag:
            raise PrivateKeyError(
                problem(
                    "decrypt.person-key",
                    "the stored key of {address} cannot be opened: it was wrapped by another "
                    "key-encryption key ({kek}), or the row was changed",
                    address=row.address,
                    kek=str(row.kek),
                )
            ) from None
        found[row.certificate_sha256] = (bytes(row.certificate), plain)
    return found
