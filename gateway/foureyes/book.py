"""The decisions in the archive's log: the only place where they are kept.

There is no table of anchors that somebody could change: what is in force follows from these entries
and the signatures in them (`ledger`). They stand under one archive id, are numbered, and each holds
the hash of the one before, so that none can be taken out: with one suspension missing an anchor
would live again. Where one is missing or damaged, none is believed (threats.md C2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from archive.errors import Damaged, NotInArchive
from archive.models import log_entries
from archive.reading import Record, history
from archive.store import Draft
from gateway.foureyes.errors import ActRefused, BookBroken
from gateway.foureyes.ledger import Event, Ledger
from gateway.foureyes.records import Asked
from pki.errors import Problem, problem
from pki.tables import decision_turns

REQUEST, APPROVAL = "decision-request", "decision-approval"
_TABLE_ORG = ""  # of the tables of pki

Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class House:
    """Whose decisions: the log's origin, the organisation, and the founding acts it believes."""

    origin: str
    org: str
    founders: frozenset[str] = frozenset()

    @property
    def log_id(self) -> str:
        """The archive id of all its decisions. It says nothing that the kind does not."""
        return hashlib.sha256(b"sceau/decisions/1\x00" + self.org.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Written:
    """An entry as it was read. line: its number. sha256: of the entry. refused: why it does not
    count, if so.
    """

    line: int
    sha256: str
    event: Event
    by: str
    refused: Problem | None


@dataclass(frozen=True, slots=True)
class Book:
    """All decisions, and what they amount to."""

    ledger: Ledger
    entries: tuple[Written, ...]
    last: str  # hash of the last entry

    def continues(self, number: int, sha256: str) -> bool:
        """Whether the first `number` decisions are those that ended in this entry once."""
        return not number or (
            len(self.entries) >= number and self.entries[number - 1].sha256 == sha256
        )

    @property
    def refused(self) -> tuple[Problem, ...]:
        """Entries that were written beside the gateway: each is an attempt."""
        return tuple(
            problem(
                "decision.forged",
                "decision {number} in the log does not count: {reason}",
                number=str(one.line),
                reason=one.refused.text,
            )
            for one in self.entries
            if one.refused is not None
        )


def stamp(conn: sa.Connection, house: House) -> Stamp:
    """Changes with every decision, and when anybody changes their number."""
    table = log_entries.c
    row = conn.execute(
        sa.select(sa.func.count(), sa.func.max(table.epoch), sa.func.max(table.entry_index)).where(
            table.archive_id == house.log_id
        )
    ).one()
    return _made(conn), row[0], row[1] or 0, row[2] or 0


def read_book(conn: sa.Connection, house: House) -> Book:
    """All decisions, each checked anew. Raises BookBroken."""
    return _read(conn, house, _made(conn))


def decide(
    conn: sa.Connection,
    house: House,
    event: Event,
    *,
    by: str,
    append: Callable[[Sequence[Draft]], object],
    object_to: Callable[[Ledger, Asked], None],
) -> tuple[Ledger, Asked]:
    """Add a decision in the caller's transaction, which is the only one that adds any just now.

    append: writes entries in that transaction. object_to: may raise ActRefused for what the log
    alone does not show (revoked certificates, names in the configuration); asked last.
    Raises ActRefused, BookBroken; then the caller gives the transaction up.
    """
    made = _take_turn(conn)
    book = _read(conn, house, made - 1)
    asked = book.ledger.add(event)
    object_to(book.ledger, asked)
    number = len(book.entries)
    fields = {"number": str(number).encode(), "before": book.last.encode(), "by": by.encode()}
    if event.request:
        fields["request"] = event.request
    else:
        fields["about"] = event.about.encode()
    for at, approval in enumerate(event.approvals):
        fields[f"approval.{at:06}"] = approval
    kind = REQUEST if event.request else APPROVAL
    # A table that was made anew from the log begins with less.
    conn.execute(
        sa.update(decision_turns).where(decision_turns.c.org == _TABLE_ORG).values(made=number + 1)
    )
    append([Draft(kind, house.org, house.log_id, fields)])
    return book.ledger, asked


def _take_turn(conn: sa.Connection) -> int:
    """From here to the end of the transaction nobody else decides anything."""
    turns = decision_turns.c
    changed = conn.execute(
        sa.update(decision_turns).where(turns.org == _TABLE_ORG).values(made=turns.made + 1)
    ).rowcount
    if not changed:
        conn.execute(sa.insert(decision_turns).values(org=_TABLE_ORG, made=1))
    return _made(conn)


def _made(conn: sa.Connection) -> int:
    query = sa.select(decision_turns.c.made).where(decision_turns.c.org == _TABLE_ORG)
    return conn.execute(query).scalar() or 0


def _read(conn: sa.Connection, house: House, made: int) -> Book:
    ledger = Ledger(house.origin, house.org, house.founders)
    entries: list[Written] = []
    last = ""
    for line, record in enumerate(_records(conn, house)):
        event, by = _event(record, line, last)
        last = hashlib.sha256(record.raw).hexdigest()
        refused = None
        try:
            ledger.add(event)
        except ActRefused as error:
            refused = error.problem
        entries.append(Written(line, last, event, by, refused))
    if len(entries) < made:
        raise broken(
            "{made} decisions were made, and the log has {found}",
            made=str(made),
            found=str(len(entries)),
        )
    return Book(ledger, tuple(entries), last)


def _records(conn: sa.Connection, house: House) -> list[Record]:
    try:
        return history(conn, house.log_id)
    except NotInArchive:
        return []
    except Damaged as error:
        raise broken("{reason}", reason=error.problem.text) from error


def _event(record: Record, line: int, last: str) -> tuple[Event, str]:
    number, before = record.value("number"), record.value("before")
    if number != str(line).encode() or before != last.encode():
        raise broken("decision {number} is missing or changed", number=str(line))
    request, about = record.value("request") or b"", record.value("about") or b""
    names = sorted(name for name in record.payload or {} if name.startswith("approval."))
    approvals = tuple(record.value(name) or b"" for name in names)
    event = Event(record.entry.time, request, about.decode("ascii", "replace"), approvals)
    return event, (record.value("by") or b"").decode("utf-8", "replace")


def broken(why: str, **facts: str) -> BookBroken:
    """That no decision is believed, and why."""
    return BookBroken(
        problem("decision.broken", "the decisions in the log are not believed: " + why, **facts)
    )
