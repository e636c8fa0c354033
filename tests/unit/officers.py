"""Persons who decide about trust, for tests: keys, certificates, and a book to decide in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from archive.store import append
from gateway.database import Database
from gateway.foureyes.approval import approve
from gateway.foureyes.book import House, decide, read_book
from gateway.foureyes.ledger import Event, Ledger
from gateway.foureyes.records import Asked
from gateway.foureyes.request import Act, Request, Value, make_request
from gateway.foureyes.terms import Terms
from pki.keys import KeySigner
from tests.conftest import ORIGIN
from tests.pki_maker import DAY, Authority, Issued, key, root

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
ORG = "interior"


@dataclass
class Officer:
    """Somebody with a certificate and its key."""

    name: str
    issued: Issued

    @property
    def der(self) -> bytes:
        return self.issued.der

    @property
    def id(self) -> str:
        return self.issued.sha256[:16]

    def signs(self, request: Request) -> bytes:
        return approve(request.octets, KeySigner(self.issued.key, self.der))


@cache
def _staff() -> Authority:
    """One for all: an issuer gives each serial once."""
    return root("Staff CA", kind="ec", end=NOW + 5000 * DAY)


def officer(
    name: str, *, start: datetime = NOW, authority: Authority | None = None, **more: Any
) -> Officer:
    """A person of this name with a key of his own (or `key_name`'s)."""
    ca = authority or _staff()
    address = more.pop("email", f"{name.lower().replace(' ', '.')}@interior.example")
    more = {"start": start - DAY, "end": start + 300 * DAY, **more}
    own = more.pop("own_key", None) or key(more.pop("key_name", f"officer {name}"), "ec")
    issued = ca.issue(more.pop("subject", name), emails=(address,), subject_key=own, **more)
    return Officer(name, Issued(issued.cert, own))


@dataclass
class Desk:
    """Where decisions are made, on a database; the time is put forward by hand."""

    database: Database
    house: House = field(default_factory=lambda: House(ORIGIN, ORG))
    now: datetime = NOW

    def request(
        self,
        act: Act,
        changes: dict[str, Value],
        *,
        certificates: tuple[bytes, ...] = (),
        subjects: tuple[str, ...] = (),
        **more: Any,
    ) -> Request:
        made = {"origin": self.house.origin, "org": self.house.org, "moment": self.now, **more}
        return make_request(
            act, changes=changes, certificates=certificates, subjects=subjects, **made
        )

    def ask(self, request: Request, *signers: Officer) -> Asked:
        """Make a request, signed."""
        approvals = tuple(one.signs(request) for one in signers)
        return self.add(Event(self.now, request.octets, "", approvals))

    def approve(self, request: Request, *signers: Officer) -> Asked:
        approvals = tuple(one.signs(request) for one in signers)
        return self.add(Event(self.now, b"", request.sha256, approvals))

    def add(self, event: Event) -> Asked:
        with self.database.write() as conn:
            return self.add_with(conn, event)

    def add_with(self, conn: sa.Connection, event: Event) -> Asked:
        _, asked = decide(
            conn,
            self.house,
            event,
            by="test",
            append=lambda drafts: append(conn, drafts, origin=ORIGIN, now=event.time),
            object_to=lambda _ledger, _asked: None,
        )
        return asked

    @property
    def ledger(self) -> Ledger:
        """As the log tells it."""
        with self.database.read() as conn:
            book = read_book(conn, self.house)
        assert book.refused == ()
        return book.ledger

    # What is asked for

    def founding(self, *people: Officer) -> Request:
        return self.request(
            Act.FOUND, _persons(*people), certificates=tuple(one.der for one in people)
        )

    def found(self, *people: Officer) -> None:
        request = self.founding(*people)
        self.ask(request, *people)

    def enrolment(self, person: Officer) -> Request:
        return self.request(Act.ENROL, _persons(person), certificates=(person.der,))

    def trusting(self, ca: Authority, name: str = "justice", **more: Any) -> Request:
        return self.request(Act.TRUST, Terms(name, **more).changes(), certificates=(ca.der,))

    def turning(self, act: Act, id_: str, basis: str, reason: str = "a reason") -> Request:
        return self.request(act, {"basis": basis, "reason": reason}, subjects=(id_,))

    def trust(self, ca: Authority, *people: Officer, name: str = "justice") -> str:
        """Propose and approve; the id of the record."""
        request = self.trusting(ca, name)
        self.ask(request, *people)
        return request.sha256[:16]


def _persons(*people: Officer) -> dict[str, Value]:
    return {"persons": [{"name": one.name, "verified": "ID card seen"} for one in people]}
