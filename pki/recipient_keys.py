"""Which keys an address was seen with: a new one beside them is a change that people hear of.

The attack: whoever runs a directory puts his own certificate, issued by a CA that is trusted for
this address, in place of the person's, and reads his mail from then on. Every check holds. So the
first key of an address is believed, and each other one is noticed: recorded in the archive's log,
and by policy not used until a person has accepted it.

ML-KEM keys are not watched: what is encrypted to one is a second envelope around the first, so that
who puts his own in place of it still has to open the one that is watched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy.dialects import postgresql, sqlite

from pki.certificate import ParsedCertificate
from pki.errors import Problem, problem
from pki.tables import recipient_keys

_DER, _SPKI = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
FIRST_USE, POLICY = "first use", "policy"
_AT_ONCE = 500  # addresses of one query


class KeyChange(Enum):
    """What happens when an address turns up with a key that it did not have."""

    ACCEPT = "accept"  # it is used, and nothing is said
    RECORD = "record"  # it is used, and the log says so
    HOLD = "hold"  # a person accepts it first; mail waits


@dataclass(frozen=True, slots=True)
class Familiar:
    """The keys that an address is known with, each with its issuer; empty for a new address."""

    pairs: frozenset[tuple[str, str]] = frozenset()

    def change(self, cert: ParsedCertificate, address: str) -> Problem | None:
        """In what this certificate differs from all that were seen, or None."""
        if not self.pairs or self.knows(cert) or cert.encapsulates:
            return None
        if any(key == key_pair(cert)[0] for key, _ in self.pairs):
            return problem(
                "identity.issuer-changed",
                "the certificate of {address} is now issued by {issuer}; it was another one",
                address=address,
                issuer=cert.issuer_text,
            )
        return problem(
            "identity.key-changed",
            "the certificate of {address} has another key than those known so far; it is issued "
            "by {issuer}",
            address=address,
            issuer=cert.issuer_text,
        )

    def knows(self, cert: ParsedCertificate) -> bool:
        """Whether it was seen with this key from this issuer."""
        return key_pair(cert) in self.pairs

    def with_key(self, cert: ParsedCertificate) -> Familiar:
        """And with the key of this certificate, where it is one that counts."""
        if cert.encapsulates:
            return self
        return Familiar(self.pairs | {key_pair(cert)})


@dataclass(frozen=True, slots=True)
class Sighting:
    """An address with a key that is not known of it. change: None for its first key."""

    address: str
    certificate: ParsedCertificate
    source: str
    change: Problem | None = None


def key_pair(cert: ParsedCertificate | x509.Certificate) -> tuple[str, str]:
    """What is compared: SHA-256 of the SubjectPublicKeyInfo and of the issuer's name."""
    if isinstance(cert, ParsedCertificate):
        return cert.key_sha256, cert.issuer_sha256
    spki, issuer = cert.public_key().public_bytes(_DER, _SPKI), cert.issuer
    return hashlib.sha256(spki).hexdigest(), hashlib.sha256(issuer.public_bytes()).hexdigest()


def familiar(
    conn: sa.Connection, addresses: Collection[str], *, org: str = ""
) -> Mapping[str, Familiar]:
    """What is known of canonical addresses; those never seen are left out."""
    table = recipient_keys.c
    found: dict[str, set[tuple[str, str]]] = {}
    wanted = list(addresses)
    for start in range(0, len(wanted), _AT_ONCE):
        query = sa.select(table.address, table.key_sha256, table.issuer_sha256).where(
            table.org == org, table.address.in_(wanted[start : start + _AT_ONCE])
        )
        for row in conn.execute(query):
            found.setdefault(row.address, set()).add((row.key_sha256, row.issuer_sha256))
    return {address: Familiar(frozenset(pairs)) for address, pairs in found.items()}


def remember(
    conn: sa.Connection,
    sightings: Iterable[Sighting],
    *,
    by: str,
    moment: datetime,
    org: str = "",
) -> None:
    """These keys are known from now on; what is known already stays as it is."""
    rows = []
    for each in sightings:
        if each.certificate.encapsulates:
            continue  # or the first key of the address that counts would be a change
        key, issuer = key_pair(each.certificate)
        rows.append(
            {
                "org": org,
                "address": each.address,
                "key_sha256": key,
                "issuer_sha256": issuer,
                "certificate_sha256": each.certificate.sha256,
                "source": each.source,
                "seen_at": moment,
                "accepted_by": by,
            }
        )
    if rows:
        kind = postgresql if conn.dialect.name == "postgresql" else sqlite
        conn.execute(kind.insert(recipient_keys).on_conflict_do_nothing(), rows)
