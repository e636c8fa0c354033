"""OCSP responses in the database, and which are needed. The caller opens and commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pki.certificate import ParsedCertificate
from pki.errors import OcspRefused, problem
from pki.ocsp_judge import OcspStatement
from pki.sentences import packed, unpacked
from pki.tables import ocsp_questions, ocsp_responses

# What nobody has needed for so long is not asked about any more.
WANTED_FOR = timedelta(days=7)
_A_DAY = timedelta(days=1)
_VERSIONS = 4
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A stored response about one certificate, without its bytes. newest: of that certificate."""

    certificate: str
    subject: str
    issuer: str
    responder: str
    status: str
    this_update: datetime
    next_update: datetime
    produced_at: datetime
    sha256: str
    source: str
    known_at: datetime
    newest: bool = True


@dataclass(frozen=True, slots=True)
class Question:
    """A certificate to be asked about, and its SHA-256.

    problem: of the last attempt, a Sentence where it is one of ours; "" if that went well.
    """

    sha256: str
    certificate: bytes
    issuer: bytes
    problem: str = ""


def store_response(
    conn: sa.Connection,
    said: OcspStatement,
    cert: ParsedCertificate,
    *,
    moment: datetime,
    org: str = "",
) -> bool:
    """Keep a response that was accepted. False: it was known already.

    Raises OcspRefused if it goes back behind a known one: a replayed old response, which may hold
    yet by its own dates, would make a revoked certificate good again. What revokes for good, and
    says why, is kept whatever is known: a responder that has said "good" since was wrong then or is
    now.
    """
    table = ocsp_responses.c
    mine = (table.org == org, table.certificate == cert.sha256)
    known = conn.execute(
        sa.select(table.sha256, table.this_update)
        .where(*mine)
        .order_by(table.this_update.desc(), table.id.desc())
        .limit(1)
    ).first()
    single = said.single
    if known is not None and known.this_update > single.this_update and not single.says_for_good:
        raise OcspRefused(
            problem(
                "revocation.ocsp-older",
                "the OCSP response about {subject} of {new} is older than the one of {old}, "
                "known already",
                subject=cert.subject_text,
                new=said.single.this_update.isoformat(),
                old=known.this_update.isoformat(),
            )
        )
    response = said.response
    if conn.execute(sa.select(table.id).where(*mine, table.sha256 == response.sha256)).first():
        return False
    stored = conn.execute(
        _insert(conn, ocsp_responses)
        .values(
            org=org,
            certificate=cert.sha256,
            subject=cert.subject_text,
            issuer=said.issuer,
            responder=said.responder.subject_text,
            status=said.single.status,
            this_update=said.single.this_update,
            next_update=said.single.next_update,
            produced_at=response.produced_at,
            sha256=response.sha256,
            der=response.der,
            source=response.source,
            known_at=moment,
        )
        .returning(table.id)
    )
    return stored.first() is not None


def _insert(conn: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Nothing is inserted where another process was faster: two mails to one person ask at once."""
    if conn.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def responses_about(
    conn: sa.Connection, certificate: str, *, org: str = ""
) -> list[tuple[bytes, str]]:
    """DER and source of the newest versions, and of those that say revoked, however old: the newest
    and the first ones. (Which of them is no hold stands in the answer alone.)
    """
    table = ocsp_responses.c
    query = (
        sa.select(table.id, table.der, table.source)
        .where(table.org == org, table.certificate == certificate)
        .order_by(table.this_update.desc(), table.id.desc())
    )
    rows = conn.execute(query.limit(_VERSIONS)).all()
    if len(rows) == _VERSIONS:
        revoked = query.where(table.status == "revoked").limit(_VERSIONS)
        first = revoked.order_by(None).order_by(table.this_update, table.id)
        rows = [*rows, *conn.execute(revoked), *conn.execute(first)]
    return list({row.id: (row.der, row.source) for row in rows}.values())


def fresh_until(conn: sa.Connection, certificate: str, *, org: str = "") -> datetime:
    """Until when the newest good or revoked response holds; long ago where there is none."""
    table = ocsp_responses.c
    row = conn.execute(
        sa.select(table.status, table.next_update)
        .where(table.org == org, table.certificate == certificate)
        .order_by(table.this_update.desc(), table.id.desc())
        .limit(1)
    ).first()
    if row is None or row.status == "unknown":
        return _NEVER
    until: datetime = row.next_update
    return until


def list_responses(
    conn: sa.Connection, *, every: bool = False, sha256: str = "", org: str = ""
) -> list[StoredResponse]:
    """The newest of each certificate, or all versions, newest first; or those with this hash."""
    table = ocsp_responses.c
    newest = sa.select(sa.func.max(table.id)).where(table.org == org).group_by(table.certificate)
    columns = [column for column in ocsp_responses.columns if column.name != "der"]
    query = sa.select(*columns, table.id.in_(newest).label("newest")).where(table.org == org)
    if sha256:
        query = query.where(table.sha256 == sha256)
    elif not every:
        query = query.where(table.id.in_(newest))
    return [
        StoredResponse(**{name: getattr(row, name) for name in StoredResponse.__slots__})
        for row in conn.execute(query.order_by(table.this_update.desc(), table.id.desc()))
    ]


def response_bytes(conn: sa.Connection, sha256: str, *, org: str = "") -> bytes | None:
    """DER of a stored response, also of one that was replaced."""
    table = ocsp_responses.c
    return conn.execute(
        sa.select(table.der).where(table.org == org, table.sha256 == sha256).limit(1)
    ).scalar()


def want(
    conn: sa.Connection,
    cert: ParsedCertificate,
    issuer: ParsedCertificate,
    *,
    moment: datetime,
    org: str = "",
) -> None:
    """Note that somebody needs to know about `cert`: it is asked about from now on."""
    table = ocsp_questions.c
    mine = (table.org == org, table.certificate == cert.sha256)
    known = conn.execute(sa.select(table.certificate).where(*mine)).first()
    if known is None:
        conn.execute(
            _insert(conn, ocsp_questions).values(
                org=org,
                certificate=cert.sha256,
                der=cert.der,
                issuer=issuer.der,
                wanted_at=moment,
                due_at=moment,
            )
        )
    elif not is_wanted(conn, cert.sha256, moment=moment, org=org):
        conn.execute(ocsp_questions.update().where(*mine).values(wanted_at=moment))


def is_wanted(conn: sa.Connection, certificate: str, *, moment: datetime, org: str = "") -> bool:
    """Whether it was noted within a day that somebody needs to know about it."""
    table = ocsp_questions.c
    wanted_at = conn.execute(
        sa.select(table.wanted_at).where(table.org == org, table.certificate == certificate)
    ).scalar()
    return wanted_at is not None and moment - _A_DAY < wanted_at <= moment


def note_attempt(
    conn: sa.Connection,
    certificate: str,
    *,
    moment: datetime,
    due: datetime,
    problem: str = "",
    org: str = "",
) -> None:
    """What came of asking. problem: may hold words of a stranger's server. due: when to ask again.

    Does nothing for a certificate that nobody wants.
    """
    text = packed(problem).replace("\0", "\ufffd") or None
    conn.execute(
        ocsp_questions.update()
        .where(ocsp_questions.c.org == org, ocsp_questions.c.certificate == certificate)
        .values(tried_at=moment, due_at=due, problem=text)
    )


def put_off(
    conn: sa.Connection, certificates: Sequence[str], *, due: datetime, org: str = ""
) -> None:
    """That these are asked about later, though nobody was asked now."""
    table = ocsp_questions.c
    statement = ocsp_questions.update().values(due_at=due)
    statement = statement.where(table.org == org, table.certificate == sa.bindparam("one"))
    # In one order everywhere: two processes that write the same rows wait for each other.
    conn.execute(statement, [{"one": one} for one in sorted(certificates)])


def due_questions(
    conn: sa.Connection, *, moment: datetime, limit: int, every: bool = False, org: str = ""
) -> list[Question]:
    """Wanted certificates whose time to be asked about has come, the longest due first.

    every: whether their time has come or not.
    """
    table = ocsp_questions.c
    query = sa.select(table.certificate, table.der, table.issuer, table.problem).where(
        table.org == org, table.wanted_at > moment - WANTED_FOR
    )
    if not every:
        # What was tried in the future was tried by a clock that ran ahead.
        query = query.where(sa.or_(table.due_at <= moment, table.tried_at > moment))
    rows = conn.execute(query.order_by(table.due_at).limit(limit))
    return [
        Question(row.certificate, row.der, row.issuer, unpacked(row.problem or "")) for row in rows
    ]


@dataclass(frozen=True, slots=True)
class OcspStanding:
    """What is wanted and how it stands. failing: the last attempt failed, with the first reasons
    and a certificate of each.

    ends: when the first of the wanted responses ends; None where there is none.
    """

    wanted: int = 0
    failing: int = 0
    reasons: Sequence[tuple[str, str]] = ()
    missing: int = 0
    stale: int = 0
    ends: datetime | None = None


def standing(conn: sa.Connection, *, moment: datetime, org: str = "") -> OcspStanding:
    """Counts over what is wanted: for checks, metrics and alarms."""
    asked, said = ocsp_questions.c, ocsp_responses.c
    wanted = (asked.org == org, asked.wanted_at > moment - WANTED_FOR)
    ends = (
        sa.select(sa.func.max(said.next_update))
        .where(said.org == asked.org, said.certificate == asked.certificate)
        .scalar_subquery()
    )
    each = sa.select(asked.problem.label("problem"), ends.label("ends")).where(*wanted).subquery()
    row = conn.execute(
        sa.select(
            sa.func.count(),
            sa.func.count(each.c.problem),
            sa.func.count().filter(each.c.ends.is_(None)),
            sa.func.count().filter(each.c.ends < moment),
            sa.func.min(each.c.ends),
        )
    ).one()
    reasons = conn.execute(
        sa.select(asked.problem, sa.func.min(asked.certificate))
        .where(*wanted, asked.problem.is_not(None))
        .group_by(asked.problem)
        .order_by(sa.func.count().desc())
        .limit(3)
    )
    why = [(unpacked(one[0]), one[1]) for one in reasons]
    return OcspStanding(row[0], row[1], why, row[2], row[3], row[4])
