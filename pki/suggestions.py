"""Certificates that wait for a person: from signed mail, or where an address has another key.

Nothing here is used for mail; what a person accepts goes into the local store, and its key is one
that the address is known with. Bounded: mail comes from strangers, and a thousand of them may send
a thousand certificates each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import sqlalchemy as sa

from pki import store
from pki.addresses import canonical
from pki.certificate import ParsedCertificate
from pki.der import elements
from pki.recipient_keys import Sighting, key_pair, remember
from pki.tables import suggestions

# Open ones. The directories of our partners are bounded by the people in them.
MAX_OF_ADDRESS = 8
MAX_HARVESTED_OF_DOMAIN = 2_000
MAX_HARVESTED = 50_000

_OPEN, _ACCEPTED, _DISMISSED = "open", "accepted", "dismissed"


class Kind(Enum):
    """Where it came from, and so what becomes of it when it is accepted."""

    HARVEST = "harvest"  # signed mail
    IMPORT = "import"  # a file that a person brought
    DIRECTORY = "directory"  # stays there: only its key becomes known


class Suggested(Enum):
    """What became of an offer."""

    NEW = "new"
    OPEN = "open"  # it waits already
    DISMISSED = "dismissed"  # a person has said no
    FULL = "full"  # too many wait


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A row. code: why a person is asked."""

    id: int
    kind: Kind
    address: str
    sha256: str
    der: bytes
    chain: tuple[bytes, ...]
    capabilities: tuple[str, ...]
    source: str
    code: str
    seen_at: datetime
    state: str


def suggest(
    conn: sa.Connection,
    kind: Kind,
    sighting: Sighting,
    *,
    code: str,
    moment: datetime,
    chain: Sequence[bytes] = (),
    capabilities: Sequence[str] = (),
    org: str = "",
    dry_run: bool = False,
) -> Suggested:
    """Let a certificate wait for a person, once for each address and place."""
    cert, address = sighting.certificate, sighting.address
    state = _state(conn, kind, sighting, org)
    if state is not None:
        return Suggested.OPEN if state == _OPEN else Suggested.DISMISSED
    domain = address.rpartition("@")[2]
    if _full(conn, kind, address, domain, org):
        return Suggested.FULL
    if dry_run:
        return Suggested.NEW
    conn.execute(
        suggestions.insert().values(
            org=org,
            kind=kind.value,
            address=address,
            domain=domain,
            sha256=cert.sha256,
            der=cert.der,
            chain=b"".join(chain) or None,
            capabilities=" ".join(capabilities) or None,
            key_sha256=key_pair(cert)[0],
            source=sighting.source,
            code=code,
            seen_at=moment,
            state=_OPEN,
        )
    )
    return Suggested.NEW


def is_suggested(conn: sa.Connection, kind: Kind, sighting: Sighting, *, org: str = "") -> bool:
    """Whether a person was asked about it, and perhaps has answered."""
    return _state(conn, kind, sighting, org) is not None


def _state(conn: sa.Connection, kind: Kind, sighting: Sighting, org: str) -> str | None:
    table = suggestions.c
    return conn.execute(
        sa.select(table.state).where(
            table.org == org,
            table.address == sighting.address,
            table.sha256 == sighting.certificate.sha256,
            table.kind == kind.value,
        )
    ).scalar()


def _full(conn: sa.Connection, kind: Kind, address: str, domain: str, org: str) -> bool:
    table = suggestions.c
    waiting = (
        sa.select(sa.func.count())
        .select_from(suggestions)
        .where(table.org == org, table.state == _OPEN)
    )
    of_domain = waiting.where(table.domain == domain)
    limits = [(of_domain.where(table.address == address), MAX_OF_ADDRESS)]
    if kind is Kind.HARVEST:
        harvested = table.kind == kind.value
        limits += [
            (of_domain.where(harvested), MAX_HARVESTED_OF_DOMAIN),
            (waiting.where(harvested), MAX_HARVESTED),
        ]
    return any(conn.execute(query).scalar_one() >= limit for query, limit in limits)


def waiting(
    conn: sa.Connection, *, address: str = "", sha256: str = "", domain: str = "", org: str = ""
) -> list[Suggestion]:
    """Those that nobody has decided about, oldest first. Raises AddressError."""
    table = suggestions.c
    query = sa.select(suggestions).where(table.org == org, table.state == _OPEN)
    if address:
        query = query.where(table.address == canonical(address))
    if sha256:
        query = query.where(table.sha256 == sha256)
    if domain:
        query = query.where(table.domain == domain)
    return [
        Suggestion(
            id=row.id,
            kind=Kind(row.kind),
            address=row.address,
            sha256=row.sha256,
            der=row.der,
            chain=elements(row.chain) if row.chain else (),
            capabilities=tuple((row.capabilities or "").split()),
            source=row.source,
            code=row.code,
            seen_at=row.seen_at,
            state=row.state,
        )
        for row in conn.execute(query.order_by(table.id))
    ]


def count_waiting(conn: sa.Connection, *, org: str = "") -> int:
    """How many keys of recipients, other than those known, wait for a person; mail may, too."""
    table = suggestions.c
    query = sa.select(sa.func.count()).where(
        table.org == org, table.state == _OPEN, table.kind != Kind.HARVEST.value
    )
    return int(conn.execute(query).scalar_one())


def accept(
    conn: sa.Connection, found: Suggestion, *, by: str, moment: datetime, org: str = ""
) -> bool:
    """Use it from now on: its key is one of this address. False: somebody was faster."""
    if not _decide(conn, found, _ACCEPTED, by=by, moment=moment, org=org):
        return False
    cert = ParsedCertificate(found.der)
    remember(conn, [Sighting(found.address, cert, found.source)], by=by, moment=moment, org=org)
    if found.kind is not Kind.DIRECTORY and not any(
        address == found.address for _, address in store.in_use(conn, [cert.sha256], org=org)
    ):
        new = store.NewCertificate(
            cert, found.address, found.source, found.chain, found.capabilities
        )
        store.add_certificates(conn, [new], by=by, moment=moment, org=org)
    return True


def dismiss(
    conn: sa.Connection, found: Suggestion, *, by: str, moment: datetime, org: str = ""
) -> bool:
    """Never use it, and never ask again. False: somebody was faster."""
    return _decide(conn, found, _DISMISSED, by=by, moment=moment, org=org)


def _decide(
    conn: sa.Connection, found: Suggestion, state: str, *, by: str, moment: datetime, org: str
) -> bool:
    table = suggestions.c
    changed = conn.execute(
        suggestions.update()
        .where(table.org == org, table.id == found.id, table.state == _OPEN)
        .values(state=state, decided_at=moment, decided_by=by)
    ).rowcount
    return changed == 1
