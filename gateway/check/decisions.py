"""Who decides whom we trust: this file's writer alone, or two persons; and what waits for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta

from gateway.check.finding import Finding, error, good, warning
from gateway.foureyes.book import Book, read_book
from gateway.foureyes.desk import house_of, revoked
from gateway.foureyes.errors import BookBroken
from gateway.foureyes.records import Fate
from gateway.foureyes.request import Act
from gateway.wiring import Wiring
from pki.questions import count_open

_SOON = timedelta(days=30)


def decisions(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """Which way is in force, whether the decisions are believed, and whether two can still act."""
    if wiring.config.pki.four_eyes:
        yield good(
            "decisions", "a trust anchor takes the approval of two persons, none is in the file"
        )
    elif wiring.config.pki.anchors:
        yield good(
            "decisions",
            "trust anchors stand in the configuration: who writes it decides alone whom to trust",
        )
    try:
        with wiring.database.read() as conn:
            book = read_book(conn, house_of(wiring.config))
            asked = count_open(conn)
    except BookBroken as broken:
        yield error(
            "decisions",
            broken.problem.code,
            broken.problem.template,
            meaning="no anchor that persons approved is trusted, and mail waits",
            advice="somebody wrote to the database beside the gateway: sceau archive verify",
            **broken.problem.facts,
        )
        return
    for fault in book.refused:
        yield error(
            "decisions",
            fault.code,
            fault.template,
            meaning="it is not trusted; somebody wrote to the database beside the gateway",
            advice="sceau pki anchor history, sceau archive verify",
            **fault.facts,
        )
    yield from _persons(book, wiring, moment)
    waiting = sum(
        one.fate is Fate.PROPOSED and moment <= one.request.expires
        for one in book.ledger.requests.values()
    )
    if waiting:
        yield good("decisions", "requests that wait for a person: {n}", n=str(waiting))
    if asked:
        yield warning(
            "decisions",
            "decisions.questions",
            "authorities were met that nobody knows: {n}",
            meaning="mail to people with their certificates cannot be encrypted",
            advice="sceau pki anchor questions",
            n=str(asked),
        )


def _persons(book: Book, wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    persons = book.ledger.persons.values()
    if not persons:
        if wiring.config.pki.four_eyes:
            yield error(
                "decisions",
                "decisions.nobody",
                "nobody is enrolled who could approve a trust anchor",
                advice="sceau person enrol CERT CERT --name NAME --name NAME --verified TEXT",
            )
        return
    yield from _founders(book, wiring)
    material = wiring.trust.current().material
    able, ending = [], []
    for person in persons:
        ends = [
            cert.not_after
            for cert in person.certificates
            if cert.not_before <= moment <= cert.not_after and not revoked(cert, material, moment)
        ]
        if person.active and ends:
            able.append(person.name)
            if max(ends) < moment + _SOON:
                ending.append(f"{person.name} ({max(ends):%Y-%m-%d})")
    if len(able) < 2:
        yield error(
            "decisions",
            "decisions.too-few",
            "persons who can approve something: {n}; it takes two",
            meaning="nothing can be approved; suspending takes one",
            advice="docs/pki.md, Beginning anew",
            n=str(len(able)),
        )
    else:
        yield good("decisions", "persons who decide: {names}", names=", ".join(able))
    if ending:
        yield warning(
            "decisions",
            "decisions.ending",
            "certificates of persons who decide end within 30 days: {names}",
            advice="while the old one is valid: sceau person enrol CERT --renews ID",
            names=", ".join(ending),
        )


def _founders(book: Book, wiring: Wiring) -> Iterator[Finding]:
    """The first persons enrolled each other; everything else rests on that."""
    first = next(
        (one for one in book.ledger.requests.values() if one.request.act is Act.FOUND), None
    )
    if first is None:
        return
    names = ", ".join(one.name for one in book.ledger.persons.values() if one.founder)
    if wiring.config.pki.founders:
        yield good(
            "decisions", "the first persons, named in the configuration: {names}", names=names
        )
        return
    yield warning(
        "decisions",
        "decisions.founders",
        "the first persons enrolled each other: {names}",
        meaning="who can make up the whole log can make up other first persons",
        advice='write into the configuration: pki.founders = ["{sha256}"]',
        names=names,
        sha256=hashlib.sha256(first.request.octets).hexdigest(),
    )
