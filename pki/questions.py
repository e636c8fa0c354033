"""Authorities that were met and that nobody here knows: questions to people, and nothing more.

A stranger can send a thousand certificates of a thousand authorities that he made himself. Each
authority is one row however often it comes, and there is room for so many of each kind of place;
what does not fit is left out: questions from our own directories are not driven out by mail.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import sqlalchemy as sa

from pki.certificate import MAX_OCTETS, ParsedCertificate
from pki.errors import CertificateRefused
from pki.path_building import MAX_LENGTH
from pki.tables import authority_questions

# Open questions of one kind of place; and how many dismissed ones are remembered.
MOST_OPEN = 100
MOST_DISMISSED = 1000


class Place(Enum):
    """Where a certificate without a path was met."""

    STORE = "store"
    DIRECTORY = "directory"
    MAIL = "mail"


@dataclass(frozen=True, slots=True)
class Met:
    """A certificate whose issuer is not known. above: CA certificates that came along.

    source: in words ("justice (ldaps://…): uid=…"). address: for which it was looked up.
    """

    certificate: ParsedCertificate
    above: tuple[ParsedCertificate, ...]
    place: Place
    source: str
    address: str

    @property
    def top(self) -> ParsedCertificate:
        """The highest certificate that is there; its issuer is the question, or it is a root."""
        return self.above[-1] if self.above else self.certificate

    @property
    def authority(self) -> str:
        """Names the authority: by its key if its certificate came along, else as best can be.

        By the key, because a name is anybody's: a forged root must not become one question with
        the real one.
        """
        top = self.top
        if top.self_issued and self.above:
            return hashlib.sha256(b"key\0" + top.spki).hexdigest()
        name = repr([sorted(rdn) for rdn in top.issuer]).encode()
        return hashlib.sha256(b"name\0" + (top.authority_key_id or b"") + name).hexdigest()


@dataclass(frozen=True, slots=True)
class Question:
    """A row. name: of the authority. above: DER of the CA certificates that came along, nearest
    issuer first. dismissed_why: "" while it is open.
    """

    id: int
    authority: str
    name: str
    place: Place
    source: str
    address: str
    certificate: bytes
    above: tuple[bytes, ...]
    first_at: datetime
    last_at: datetime
    times: int
    dismissed_at: datetime | None
    dismissed_by: str
    dismissed_why: str


def meet(
    cert: ParsedCertificate, chain: Sequence[bytes], *, place: Place, source: str, address: str
) -> Met:
    """What there is to ask about a certificate: it, and those of `chain` that lead up from it."""
    authorities = list(_readable(chain))
    above: list[ParsedCertificate] = []
    current = cert
    while len(above) < MAX_LENGTH and not current.self_issued:
        issuer = next(
            (
                one
                for one in authorities
                if one.subject == current.issuer and one not in above and current.signed_by(one)
            ),
            None,
        )
        if issuer is None:
            break
        above.append(issuer)
        current = issuer
    return Met(cert, tuple(above), place, source, address)


def _readable(chain: Sequence[bytes]) -> Iterator[ParsedCertificate]:
    for der in chain[:MAX_LENGTH]:
        try:
            cert = ParsedCertificate(der)
        except CertificateRefused:
            continue
        if cert.is_ca:
            yield cert


def park(conn: sa.Connection, met: Met, *, moment: datetime, times: int = 1, org: str = "") -> bool:
    """Ask, or count once more what is asked already. False: there is no room for the question."""
    table = authority_questions.c
    changed = conn.execute(
        sa.update(authority_questions)
        .where(table.org == org, table.authority == met.authority)
        .values(times=table.times + times, last_at=moment)
    ).rowcount
    if changed:
        return True
    open_ = conn.execute(
        sa.select(sa.func.count())
        .select_from(authority_questions)
        .where(table.org == org, table.place == met.place.value, table.dismissed_at.is_(None))
    ).scalar_one()
    if open_ >= MOST_OPEN:
        return False
    top = met.top
    known = top.subject_text if top.self_issued and met.above else top.issuer_text
    conn.execute(
        sa.insert(authority_questions).values(
            org=org,
            authority=met.authority,
            name=_clean(known),
            place=met.place.value,
            source=_clean(met.source),
            address=met.address[:330],
            certificate=met.certificate.der,
            above=b"".join(cert.der for cert in met.above),
            first_at=moment,
            last_at=moment,
            times=times,
        )
    )
    return True


def questions(conn: sa.Connection, *, dismissed: bool = False, org: str = "") -> list[Question]:
    """Open questions, or all of them, by how often they came."""
    table = authority_questions.c
    query = sa.select(authority_questions).where(table.org == org)
    if not dismissed:
        query = query.where(table.dismissed_at.is_(None))
    rows = conn.execute(query.order_by(table.times.desc(), table.id))
    return [
        Question(
            id=row.id,
            authority=row.authority,
            name=row.name,
            place=Place(row.place),
            source=row.source,
            address=row.address,
            certificate=row.certificate,
            above=tuple(_split(row.above)),
            first_at=row.first_at,
            last_at=row.last_at,
            times=row.times,
            dismissed_at=row.dismissed_at,
            dismissed_by=row.dismissed_by,
            dismissed_why=row.dismissed_why,
        )
        for row in rows
    ]


def count_open(conn: sa.Connection, *, org: str = "") -> int:
    """How many questions wait for an answer."""
    table = authority_questions.c
    return conn.execute(
        sa.select(sa.func.count())
        .select_from(authority_questions)
        .where(table.org == org, table.dismissed_at.is_(None))
    ).scalar_one()


def dismiss(
    conn: sa.Connection, id_: int, *, by: str, why: str, moment: datetime, org: str = ""
) -> bool:
    """The authority is not to be asked about again. False: there is no such open question."""
    table = authority_questions.c
    done = conn.execute(
        sa.update(authority_questions)
        .where(table.org == org, table.id == id_, table.dismissed_at.is_(None))
        .values(dismissed_at=moment, dismissed_by=by, dismissed_why=why)
    ).rowcount
    oldest = (
        sa.select(table.id)
        .where(table.org == org, table.dismissed_at.is_not(None))
        .order_by(table.dismissed_at.desc(), table.id.desc())
        .offset(MOST_DISMISSED)
        .limit(100)
    )
    conn.execute(
        sa.delete(authority_questions).where(table.id.in_(conn.execute(oldest).scalars().all()))
    )
    return done == 1


def _split(ders: bytes) -> Iterator[bytes]:
    """DER certificates that stand one after the other."""
    from pki.der import element

    at = 0
    while at < len(ders) <= MAX_LENGTH * MAX_OCTETS:
        _, end = element(ders, at)
        yield ders[at:end]
        at = end


def _clean(text: str) -> str:
    """PostgreSQL takes no NUL in a text, and a stranger wrote this one."""
    return text.replace("\0", "\ufffd")[:1000]
