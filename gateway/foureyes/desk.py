"""Where a person's decision is entered: with what the log alone does not show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from gateway import clock
from gateway.config import Config
from gateway.foureyes.book import Book, House, decide, read_book
from gateway.foureyes.errors import ActRefused
from gateway.foureyes.ledger import Event, Ledger
from gateway.foureyes.records import Asked
from gateway.foureyes.request import Act
from gateway.foureyes.terms import read_terms
from gateway.installation import Installation
from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, CertificateRefused, Problem, problem
from pki.path import Material, Revocation, find_path


def house_of(config: Config) -> House:
    """Whose decisions count in this installation."""
    return House(config.archive.origin, config.gateway.organisation, frozenset(config.pki.founders))


def book_of(installation: Installation) -> Book:
    """All decisions. Raises BookBroken."""
    with installation.database.read() as conn:
        return read_book(conn, house_of(installation.config))


def enter(
    installation: Installation, event: Event, *, by: str, material: Material
) -> tuple[Ledger, Asked]:
    """Write a decision into the log, if it counts. by: the account.

    material: by which the certificates of those who signed are seen to be revoked.
    Raises ActRefused, BookBroken; nothing is written then.
    """
    config = installation.config
    taken = frozenset(each.name for each in config.pki.anchors)

    def object_to(ledger: Ledger, asked: Asked) -> None:
        if asked.request.act is Act.TRUST:
            _refuse_name(read_terms(asked.request.changes).name, taken)
        for cert in _signing(ledger, asked):
            if (reason := revoked(cert, material, event.time)) is not None:
                raise ActRefused(reason)

    with installation.database.write() as conn:
        return decide(
            conn,
            house_of(config),
            event,
            by=by,
            append=lambda drafts: installation.append_with(conn, drafts),
            object_to=object_to,
        )


def event_now(*, request: bytes = b"", about: str = "", approvals: tuple[bytes, ...]) -> Event:
    """What a person did just now."""
    return Event(clock.now(), request, about, approvals)


def revoked(cert: ParsedCertificate, material: Material, moment: datetime) -> Problem | None:
    """That this certificate is known to be revoked; None, too, where nobody can tell.

    A person's certificate is trusted by its enrolment, before any anchor is there, so that a
    missing path or CRL is no reason. Suspending the person is the way that always works.
    """
    with suppress(CannotJudge):
        try:
            find_path(cert, material, moment=moment, revocation=Revocation.IF_AVAILABLE)
        except CertificateRefused as error:
            if error.problem.code == "revocation.revoked":
                return error.problem
    return None


def _signing(ledger: Ledger, asked: Asked) -> Iterator[ParsedCertificate]:
    """The certificates that signed this request."""
    known = {cert.sha256: cert for one in ledger.persons.values() for cert in one.certificates}
    if asked.request.act is Act.FOUND:
        known |= {cert.sha256: cert for cert in map(ParsedCertificate, asked.request.certificates)}
    for approval in asked.approvals:
        yield known[approval.certificate_sha256]


def _refuse_name(name: str, taken: frozenset[str]) -> None:
    """Decisions in the log name an anchor by its name."""
    if name in taken:
        raise ActRefused(
            problem(
                "anchor.name-taken",
                "the configuration has a trust anchor {name} already; give another name",
                name=name,
            )
        )
