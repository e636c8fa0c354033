"""Keys that open mail to our people: checked, wrapped, stored for ever, found by RecipientInfo.

A person has several: each new certificate adds a generation, and none is ever deleted, for mail
that was encrypted to it is read years later. A key is a row under the key-encryption key, as
`pki.person_keys` has it; the associated data keeps a row from being moved to the keys that sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.serialization import load_der_private_key

from pki.addresses import canonical
from pki.beside import stands_alone
from pki.certificate import ParsedCertificate
from pki.decrypter import DecryptionKey, KeyDecrypter
from pki.errors import CertificateRefused, PrivateKeyError, problem
from pki.kek import KekRing
from pki.models import Purpose
from pki.person_keys import CheckedKey, bound_to
from pki.recipient_names import names_of
from pki.tables import decryption_keys, decryption_names
from pki.usage import address_problem, purpose_problem

_AT_ONCE = 200  # names in one query


@dataclass(frozen=True, slots=True)
class StoredDecryptionKey:
    """A stored key, without the key. departed_at: since when it is in escrow alone, or None."""

    id: int
    address: str
    certificate_sha256: str
    certificate: bytes = field(repr=False)
    added_at: datetime
    added_by: str
    kek: str
    not_after: datetime
    departed_at: datetime | None


OPENING = (
    decryption_keys.c.id,
    decryption_keys.c.address,
    decryption_keys.c.certificate_sha256,
    decryption_keys.c.certificate,
    decryption_keys.c.added_at,
    decryption_keys.c.added_by,
    decryption_keys.c.kek,
    decryption_keys.c.not_after,
    decryption_keys.c.departed_at,
)


def check_opens(key: object, cert: ParsedCertificate, address: str, moment: datetime) -> None:
    """Whether this may be a decryption key of the address.

    It may be out of date, and of a size that nobody would take today: what it opens was sent then.
    Raises CertificateRefused, PrivateKeyError.
    """
    reason = address_problem(cert, address) or purpose_problem(
        cert, Purpose.ENCRYPT, moment, allow_legacy=True
    )
    if reason is not None:
        raise CertificateRefused(reason)
    if not isinstance(key, DecryptionKey):
        raise PrivateKeyError(
            problem("structure.key", "a key of this kind opens no mail ({subject})",
                    subject=cert.subject_text)
        )  # fmt: skip


def opening_bound_to(org: str, address: str, certificate_sha256: str) -> bytes:
    """The associated data of a wrapped decryption key."""
    return b"sceau/decryption-key/1\0" + bound_to(org, address, certificate_sha256)


def store_decryption_key(
    conn: sa.Connection, key: CheckedKey, *, by: str, moment: datetime, org: str = ""
) -> tuple[str, ...]:
    """Store a key for those of its addresses that do not have it yet; returns these.

    Raises PrivateKeyError where the address has left: its keys are in escrow.
    """
    table = decryption_keys.c
    rows = conn.execute(
        sa.select(table.address, table.departed_at).where(
            table.org == org,
            table.address.in_([one.address for one in key.opening]),
            sa.or_(
                table.certificate_sha256 == key.certificate_sha256, table.departed_at.is_not(None)
            ),
        )
    ).all()
    for row in rows:
        if row.departed_at is not None:
            raise PrivateKeyError(
                problem(
                    "identity.departed",
                    "{address} has left: its decryption keys are in escrow",
                    address=row.address,
                )
            )
    known = {row.address for row in rows}
    names = names_of(ParsedCertificate(key.certificate))
    new = [one for one in key.opening if one.address not in known]
    for one in new:
        row_id = conn.execute(
            decryption_keys.insert().returning(table.id),
            {
                "org": org,
                "address": one.address,
                "certificate_sha256": key.certificate_sha256,
                "certificate": key.certificate,
                "kek": one.kek,
                "nonce": one.nonce,
                "wrapped": one.wrapped,
                "added_at": moment,
                "added_by": by,
                "key_sha256": key.key_sha256,
                "not_after": key.not_after,
                "source_sha256": key.source_sha256,
            },
        ).scalar_one()
        conn.execute(
            decryption_names.insert(),
            [{"org": org, "name": name, "key_id": row_id} for name in names],
        )
    return tuple(one.address for one in new)


def list_decryption_keys(
    conn: sa.Connection, address: str = "", *, org: str = ""
) -> list[StoredDecryptionKey]:
    """Stored keys of one address or of all, oldest first; those in escrow, too."""
    table = decryption_keys.c
    query = sa.select(*OPENING).where(table.org == org)
    if address:
        query = query.where(table.address == canonical(address))
    return [
        StoredDecryptionKey(*row) for row in conn.execute(query.order_by(table.address, table.id))
    ]


def opening_ends(
    conn: sa.Connection, start: datetime, end: datetime, limit: int, *, org: str = ""
) -> tuple[int, list[tuple[str, datetime]]]:
    """People whose last certificate to be written to ends from `start` on and before `end`.

    How many, and the first of them: address and end. One with an ML-KEM key does not count: alone
    it is nothing to write to.
    """
    table = decryption_keys.c
    last = sa.func.max(table.not_after, type_=table.not_after.type)
    people = (
        sa.select(table.address, last.label("ends"))
        .where(
            table.org == org,
            table.departed_at.is_(None),
            stands_alone(conn, table.certificate),
        )
        .group_by(table.address)
        .having(sa.and_(last >= start, last < end))
        .subquery()
    )
    number = conn.execute(sa.select(sa.func.count()).select_from(people)).scalar_one()
    rows = conn.execute(
        sa.select(people.c.address, people.c.ends)
        .order_by(people.c.ends, people.c.address)
        .limit(limit)
    )
    return number, [(row.address, row.ends) for row in rows]


def opening_sources(
    conn: sa.Connection, sources: Sequence[str], *, org: str = ""
) -> dict[str, list[StoredDecryptionKey]]:
    """The keys that came from these PKCS#12 files (SHA-256 of the files), by file."""
    table = decryption_keys.c
    found: dict[str, list[StoredDecryptionKey]] = {}
    for row in conn.execute(
        sa.select(table.source_sha256, *OPENING)
        .where(table.org == org, table.source_sha256.in_(sources))
        .order_by(table.id)
    ):
        found.setdefault(row.source_sha256, []).append(StoredDecryptionKey(*list(row)[1:]))
    return found


def find_decrypters(
    conn: sa.Connection, keks: KekRing, names: Iterable[str], *, org: str = ""
) -> list[KeyDecrypter]:
    """The keys that RecipientInfos of these names (`pki.recipient_names`) mean, newest first.

    One query by index for 200 names, however many keys are stored. Raises PrivateKeyError for a row
    that does not open, KekTrouble.
    """
    found: dict[str, Any] = {}
    wanted = list(dict.fromkeys(names))
    keys, index = decryption_keys.c, decryption_names.c
    for start in range(0, len(wanted), _AT_ONCE):
        rows = conn.execute(
            sa.select(keys.id, keys.address, keys.certificate_sha256, keys.certificate,
                      keys.kek, keys.nonce, keys.wrapped)
            .join(decryption_names, sa.and_(index.key_id == keys.id, index.org == keys.org))
            .where(index.org == org, index.name.in_(wanted[start : start + _AT_ONCE]),
                   keys.departed_at.is_(None))
        )  # fmt: skip
        # A key of several addresses, or one that is named in two ways, is one key.
        found |= {row.certificate_sha256: row for row in rows}
    newest = sorted(found.values(), key=lambda row: -row.id)
    return [
        KeyDecrypter(unwrap_decryption_key(row, keks, org), bytes(row.certificate))
        for row in newest
    ]


def unwrap_decryption_key(row: Any, keks: KekRing, org: str) -> DecryptionKey:
    """The key in a row. Raises PrivateKeyError, KekTrouble."""
    key: object = None
    try:
        associated = opening_bound_to(org, row.address, row.certificate_sha256)
        plain = keks.unwrap(row.kek, row.nonce, row.wrapped, associated)
        # It was checked when it was imported, and GCM says that it is the same.
        key = load_der_private_key(plain, None, unsafe_skip_rsa_key_validation=True)
    except (InvalidTag, ValueError):
        key = None
    cert = ParsedCertificate(bytes(row.certificate))
    if (
        not isinstance(key, DecryptionKey)
        or cert.sha256 != row.certificate_sha256
        or cert.public_key != key.public_key()
    ):
        raise PrivateKeyError(
            problem(
                "decrypt.person-key",
                "the stored key of {address} cannot be opened: it was wrapped by another "
                "key-encryption key ({kek}), or the row was changed",
                address=row.address,
                kek=str(row.kek),
            )
        )
    return key
