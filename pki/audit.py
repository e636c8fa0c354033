"""The keys of all certificates of others that are stored, looked at together (threat K4)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import gcd

import sqlalchemy as sa
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pki.certificate import UNREADABLE
from pki.errors import Problem, problem
from pki.shared_primes import Spread, with_shared_primes
from pki.tables import certificates, suggestions, used_certificates

_AT_ONCE = 1000
# So many of those that tell a factor are named.
_MAX_PAIRED = 10


@dataclass(slots=True)
class AuditedKey:
    """An RSA key and where it stands. addresses: for which it is stored; perhaps none."""

    key_sha256: str
    modulus: int
    certificates: dict[str, None] = field(default_factory=dict)
    addresses: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SharedPrime:
    """A key that anybody can factor, and some of those that tell a factor of it."""

    key: AuditedKey
    others: tuple[AuditedKey, ...]

    @property
    def problem(self) -> Problem:
        """Why the key is refused."""
        return problem(
            "algorithm.shared-prime",
            "its RSA modulus shares a factor with another key, so that anybody can factor it",
        )


def rsa_keys(conn: sa.Connection, *, org: str = "") -> list[AuditedKey]:
    """Each RSA key of certificates in use, of those that wait, and of those decisions rested on."""
    found: dict[str, AuditedKey] = {}
    for der, sha256, address in _certificates(conn, org):
        try:
            key = x509.load_der_x509_certificate(der).public_key()
        except (*UNREADABLE, UnsupportedAlgorithm):
            continue
        if not isinstance(key, rsa.RSAPublicKey):
            continue
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        name = hashlib.sha256(spki).hexdigest()
        # By the whole key: with another exponent the modulus would be another key, not refused.
        one = found.get(name)
        if one is None:
            one = found[name] = AuditedKey(name, key.public_numbers().n)
        one.certificates[sha256] = None
        if address:
            one.addresses[address] = None
    return list(found.values())


def _certificates(conn: sa.Connection, org: str) -> Iterator[tuple[bytes, str, str]]:
    stored, waiting, used = certificates.c, suggestions.c, used_certificates.c
    for query, order in (
        (
            sa.select(stored.der, stored.sha256, stored.address, stored.id).where(
                stored.org == org, stored.removed_at.is_(None)
            ),
            stored.id,
        ),
        (
            sa.select(waiting.der, waiting.sha256, waiting.address, waiting.id).where(
                waiting.org == org, waiting.state == "open"
            ),
            waiting.id,
        ),
    ):
        last = 0
        while rows := conn.execute(query.where(order > last).order_by(order).limit(_AT_ONCE)).all():
            for row in rows:
                yield row.der, row.sha256, row.address
            last = rows[-1].id
    after = ""
    while named := conn.execute(
        sa.select(used.sha256, used.der)
        .where(used.sha256 > after)
        .order_by(used.sha256)
        .limit(_AT_ONCE)
    ).all():
        for each in named:
            yield each.der, each.sha256, ""
        after = named[-1].sha256


def shared_primes(
    keys: list[AuditedKey],
    progress: Callable[[int, int], None],
    spread: Spread = map,
    parts: int = 1,
) -> list[SharedPrime]:
    """Which of these keys anybody can factor by another one of them.

    A modulus that is another one's multiple tells nothing of that one's primes: a CA could issue a
    certificate for the modulus of a minister's key times a prime, and have that key refused. It is
    itself what is refused.
    """
    places = with_shared_primes([key.modulus for key in keys], progress, spread, parts)
    weak = [keys[place] for place in places]
    found = (SharedPrime(key, tuple(islice(_telling(key, weak), _MAX_PAIRED))) for key in weak)
    return [one for one in found if one.others]


def _telling(key: AuditedKey, others: list[AuditedKey]) -> Iterator[AuditedKey]:
    """Those by which a factor of the key's modulus is found: a proper one, which is not all."""
    for other in others:
        if 1 < gcd(other.modulus, key.modulus) < key.modulus:
            yield other
