"""Persons' signing keys: brought in from PKCS#12, checked, wrapped, stored, listed.

A key is a row, encrypted under the key-encryption key. The associated data binds address and
certificate: whoever can write to the table cannot make one person's key sign for another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from pki.addresses import canonical
from pki.algorithms import Operation, judge_key
from pki.certificate import ParsedCertificate
from pki.der import element
from pki.errors import CertificateRefused, PrivateKeyError, Problem, problem
from pki.models import Purpose
from pki.tables import person_keys
from pki.usage import check_usage

# What the installation thinks of a certificate's path: problems that are only worth a remark.
# Raises CertificateRefused. Arguments: certificate, the others of the file, address, moment.
PathCheck = Callable[[ParsedCertificate, tuple[bytes, ...], str, datetime], "tuple[Problem, ...]"]


@dataclass(frozen=True, slots=True)
class PersonKey:
    """A stored key, without the key. kek: name of the key that wraps it."""

    address: str
    certificate_sha256: str
    certificate: bytes = field(repr=False)
    added_at: datetime
    added_by: str
    kek: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A key as it is stored for one address."""

    address: str
    kek: str
    nonce: bytes = field(repr=False)
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckedKey:
    """A person's key after all checks, wrapped: nothing in it is secret any more.

    wraps: one for each address it is to sign for; opening: for each whose mail it is to open.
    source_sha256: of the PKCS#12 file.
    """

    wraps: tuple[Wrapped, ...]
    certificate: bytes = field(repr=False)
    certificate_sha256: str
    chain: bytes = field(repr=False)
    key_sha256: str
    not_after: datetime
    source_sha256: str
    remarks: tuple[Problem, ...] = ()
    opening: tuple[Wrapped, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Whose key it is."""
        return tuple(dict.fromkeys(one.address for one in (*self.wraps, *self.opening)))


def store_key(
    conn: sa.Connection, key: CheckedKey, *, by: str, moment: datetime, org: str = ""
) -> tuple[str, ...]:
    """Store a key for those of its addresses that do not have it yet; returns these.

    Raises PrivateKeyError if the same key belongs to somebody else already.
    """
    table = person_keys.c
    rows = conn.execute(
        sa.select(table.address, table.certificate_sha256, table.certificate).where(
            table.org == org, table.key_sha256 == key.key_sha256
        )
    ).all()
    mine = set(ParsedCertificate(key.certificate).addresses.usable)
    for row in rows:
        # A renewed certificate may keep the key. Two people with one key could each sign as the
        # other: it was copied, or made by a generator without randomness.
        theirs = ParsedCertificate(bytes(row.certificate)).addresses.usable
        if row.certificate_sha256 != key.certificate_sha256 and mine.isdisjoint(theirs):
            raise PrivateKeyError(
                problem(
                    "identity.key-shared",
                    "this key is stored for {address} already: two people never share one",
                    address=row.address,
                )
            )
    known = {row.address for row in rows if row.certificate_sha256 == key.certificate_sha256}
    new = [one for one in key.wraps if one.address not in known]
    if new:
        conn.execute(
            person_keys.insert(),
            [
                {
                    "org": org,
                    "address": one.address,
                    "certificate_sha256": key.certificate_sha256,
                    "certificate": key.certificate,
                    "chain": key.chain,
                    "kek": one.kek,
                    "nonce": one.nonce,
                    "wrapped": one.wrapped,
                    "added_at": moment,
                    "added_by": by,
                    "key_sha256": key.key_sha256,
                    "not_after": key.not_after,
                    "source_sha256": key.source_sha256,
                }
                for one in new
            ],
        )
    return tuple(one.address for one in new)


def store_new_key(
    conn: sa.Connection, key: CheckedKey, *, by: str, moment: datetime, org: str = ""
) -> str:
    """`store_key` for a key of one address, which must be new; returns the address.

    Raises PrivateKeyError where it is stored already.
    """
    address = key.wraps[0].address
    if not store_key(conn, key, by=by, moment=moment, org=org):
        raise PrivateKeyError(
            problem(
                "structure.key-known",
                "the key for the certificate {sha256} of {address} is stored already",
                sha256=key.certificate_sha256,
                address=address,
            )
        )
    return address


def list_keys(
    conn: sa.Connection, address: str = "", *, certificate_sha256: str = "", org: str = ""
) -> list[PersonKey]:
    """Stored keys, without the keys, of one address or of all, for one certificate or for all."""
    table = person_keys.c
    query = sa.select(*SHOWN).where(table.org == org)
    if address:
        query = query.where(table.address == canonical(address))
    if certificate_sha256:
        query = query.where(table.certificate_sha256 == certificate_sha256)
    return [PersonKey(*row) for row in conn.execute(query.order_by(table.address, table.id))]


def chain_of(conn: sa.Connection, key: PersonKey, *, org: str = "") -> tuple[bytes, ...]:
    """DER of the intermediates that came with a stored key; none where it is gone."""
    table = person_keys.c
    chain = conn.execute(
        sa.select(table.chain).where(
            table.org == org,
            table.address == key.address,
            table.certificate_sha256 == key.certificate_sha256,
        )
    ).scalar()
    return split_chain(bytes(chain or b""))


def stored_sources(
    conn: sa.Connection, sources: Sequence[str], *, org: str = ""
) -> dict[str, list[PersonKey]]:
    """The keys that came from these PKCS#12 files (SHA-256 of the files), by file."""
    table = person_keys.c
    found: dict[str, list[PersonKey]] = {}
    for row in conn.execute(
        sa.select(table.source_sha256, *SHOWN)
        .where(table.org == org, table.source_sha256.in_(sources))
        .order_by(table.id)
    ):
        found.setdefault(row.source_sha256, []).append(PersonKey(*row[1:]))
    return found


SHOWN = (
    person_keys.c.address,
    person_keys.c.certificate_sha256,
    person_keys.c.certificate,
    person_keys.c.added_at,
    person_keys.c.added_by,
    person_keys.c.kek,
    person_keys.c.not_after,
)


def check_fit(cert: ParsedCertificate, address: str, moment: datetime) -> None:
    """Address, usage, dates, and a key that we still sign with. Raises CertificateRefused."""
    check_usage(cert, address=address, purpose=Purpose.SIGN, moment=moment)
    weak = judge_key(Operation.SIGN_WITH, cert.public_key, moment)
    if weak is not None:
        raise CertificateRefused(weak)
    if not cert.not_before <= moment <= cert.not_after:
        raise CertificateRefused(
            problem(
                "path.expired",
                "the certificate of {subject} is valid from {start} to {end} only",
                subject=cert.subject_text,
                start=cert.not_before.strftime("%Y-%m-%d"),
                end=cert.not_after.strftime("%Y-%m-%d"),
            )
        )


def bound_to(org: str, address: str, certificate_sha256: str) -> bytes:
    """The associated data; lengths first, so that no two triples give the same bytes."""
    parts = [part.encode() for part in (org, address, certificate_sha256)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def split_chain(chain: bytes) -> tuple[bytes, ...]:
    """Certificates that were stored one after the other."""
    ders: list[bytes] = []
    offset = 0
    while offset < len(chain):
        _, end = element(chain, offset)
        ders.append(chain[offset:end])
        offset = end
    return tuple(ders)
