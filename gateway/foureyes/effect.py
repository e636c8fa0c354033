"""What a decision about an anchor would change: whose certificates become usable, or stop to be.

People approve what they understand. A root that nobody here writes to changes nothing; one without
limits that makes strangers' certificates valid shows itself here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

import sqlalchemy as sa

from pki.anchors import Anchor
from pki.certificate import ParsedCertificate
from pki.errors import AddressError, CannotJudge, CertificateRefused
from pki.models import Purpose
from pki.names import NameKey
from pki.path import Material
from pki.tables import certificates, used_certificates
from pki.verdict import judge

# Certificates looked at, newest first: a person waits for the answer.
MOST = 20_000
NAMED = 5


@dataclass(slots=True)
class Change:
    """Addresses whose verdict changes in one way: how many, and the first of them."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, address: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < NAMED:
            self.first.append(address)


@dataclass(slots=True)
class Effect:
    """valid: become usable. unknown: would be, once a CRL is there. invalid: stop being usable.

    looked_at: certificates of the local store, and those that mail was encrypted to or signed
    with. left_out: of these, how many were too many to look at. begins, later: the trust begins at
    a time to come, and what changes then.
    """

    valid: Change = field(default_factory=Change)
    unknown: Change = field(default_factory=Change)
    invalid: Change = field(default_factory=Change)
    looked_at: int = 0
    left_out: int = 0
    begins: datetime | None = None
    later: Effect | None = None


def effect_of(
    conn: sa.Connection,
    now: Material,
    *,
    adds: Anchor | None,
    ends: Anchor | None,
    moment: datetime,
) -> Effect:
    """Judge every certificate that may be concerned with the anchors as they are and as they would
    be. adds, ends: an anchor that would be trusted, or not any more. Where the trust would begin
    later, also as they would be then, by what is known now.
    """
    effect = _effect_of(conn, now, adds, ends, moment)
    if adds is not None and adds.trusted_from is not None and adds.trusted_from > moment:
        effect.begins = adds.trusted_from
        effect.later = _effect_of(conn, now, replace(adds, trusted_from=None), ends, moment)
    return effect


def _effect_of(
    conn: sa.Connection, now: Material, adds: Anchor | None, ends: Anchor | None, moment: datetime
) -> Effect:
    kept = [
        anchor
        for anchor, _ in now.anchors
        if ends is None or (anchor.sha256, anchor.name) != (ends.sha256, ends.name)
    ]
    then = now.with_anchors([*kept, *([adds] if adds is not None else [])])
    changed = [anchor for anchor in (adds, ends) if anchor is not None]
    issuers = _below(changed, now)
    purposes = frozenset[Purpose]().union(*(anchor.purposes for anchor in changed))
    found = Effect()
    for cert, addresses in _known(conn, found):
        if cert.issuer not in issuers:
            continue
        for address in addresses:
            before = max(_verdict(cert, address, one, now, moment) for one in purposes)
            after = max(_verdict(cert, address, one, then, moment) for one in purposes)
            if before != after:
                (found.invalid, found.unknown, found.valid)[after].add(address)
    return found


def _verdict(
    cert: ParsedCertificate, address: str, purpose: Purpose, material: Material, moment: datetime
) -> int:
    """2: usable; 1: not to be told; 0: not usable."""
    try:
        judge(cert, address=address, purpose=purpose, moment=moment, material=material, source="")
    except CannotJudge:
        return 1
    except (CertificateRefused, AddressError):
        return 0
    return 2


def _below(anchors: list[Anchor], material: Material) -> set[NameKey]:
    """Names of all authorities that a path from one of the anchors may lead through."""
    names = {ParsedCertificate(anchor.certificate).subject for anchor in anchors}
    between = [cert for some in material.intermediates.values() for cert in some]
    while True:
        more = {cert.subject for cert in between if cert.issuer in names} - names
        if not more:
            return names
        names |= more


def _known(
    conn: sa.Connection, found: Effect
) -> Iterator[tuple[ParsedCertificate, tuple[str, ...]]]:
    """People's certificates, each once, with the addresses under which they would be used."""
    by_hash: dict[str, tuple[bytes, list[str]]] = {}
    stored, used = certificates.c, used_certificates.c
    for row in conn.execute(
        sa.select(stored.sha256, stored.der, stored.address)
        .where(stored.org == "", stored.removed_at.is_(None))
        .order_by(stored.id.desc())
        .limit(MOST)
    ):
        by_hash.setdefault(row.sha256, (row.der, []))[1].append(row.address)
    for one in conn.execute(sa.select(used.sha256, used.der).limit(MOST)):
        by_hash.setdefault(one.sha256, (one.der, []))
    in_use = sa.select(sa.func.count()).select_from(certificates)
    for count in (
        in_use.where(stored.org == "", stored.removed_at.is_(None)),
        sa.select(sa.func.count()).select_from(used_certificates),
    ):
        found.left_out += max(0, conn.execute(count).scalar_one() - MOST)
    for der, addresses in by_hash.values():
        try:
            cert = ParsedCertificate(der)
        except CertificateRefused:
            continue
        if cert.is_ca:
            continue
        found.looked_at += 1
        yield cert, tuple(addresses) or cert.addresses.usable
