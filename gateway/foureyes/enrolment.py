"""The persons that a request is to make, read strictly. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from gateway.foureyes.approval import unfit
from gateway.foureyes.errors import ActRefused
from gateway.foureyes.persons import Person, name_key, person_id, same_person
from gateway.foureyes.request import Act, Request, malformed
from pki.certificate import ParsedCertificate
from pki.errors import CertificateRefused, problem

_LONGEST = 2000  # of a name, or of how it was verified


def described(request: Request, moment: datetime) -> list[Person]:
    """The persons of a founding or an enrolment, as they would be. Raises ActRefused."""
    only(request.changes, "persons")
    listed = request.changes["persons"]
    if not isinstance(listed, list) or len(listed) != len(request.certificates):
        raise malformed("persons")
    found = []
    for der, one in zip(request.certificates, listed, strict=True):
        if not isinstance(one, dict):
            raise malformed("persons")
        only(one, "name", "verified")
        name, verified = one["name"], one["verified"]
        if not isinstance(name, str) or not isinstance(verified, str):
            raise malformed("persons")
        if not name_key(name) or not verified.strip() or max(len(name), len(verified)) > _LONGEST:
            raise malformed("name, verified")
        cert = _fit(der, moment)
        found.append(
            Person(
                id=person_id(cert),
                name=name,
                verified=verified,
                certificates=(cert,),
                enrolled_at=moment,
                enrolled_by=(),
                basis=request.sha256,
                founder=request.act is Act.FOUND,
            )
        )
    return found


def renewed(request: Request, persons: Mapping[str, Person], moment: datetime) -> Person:
    """A person with the certificate that the request adds. Raises ActRefused."""
    only(request.changes, "person", "verified")
    if not request.text("verified").strip():
        raise malformed("verified")
    person = persons.get(request.text("person"))
    if person is None:
        raise ActRefused(
            problem("person.unknown", "there is no person {id}", id=request.text("person"))
        )
    cert = _fit(request.certificates[0], moment)
    if any(cert.sha256 == one.sha256 for one in person.certificates):
        raise ActRefused(
            problem("person.same-certificate", "{name} has this certificate", name=person.name)
        )
    new = person.with_certificate(cert, request.sha256)
    refuse_doubles([new], (one for one in persons.values() if one.id != person.id))
    return new


def refuse_doubles(new: Sequence[Person], known: Iterable[Person]) -> None:
    """No one gets two records, not even beside one that is suspended. Raises ActRefused."""
    others = list(known)
    for at, person in enumerate(new):
        for other in (*others, *new[:at]):
            if (same := same_person(person, other)) is not None:
                raise ActRefused(same)


def readable(der: bytes) -> ParsedCertificate:
    """Raises ActRefused."""
    try:
        return ParsedCertificate(der)
    except CertificateRefused as error:
        raise ActRefused(error.problem) from None


def only(changes: object, *names: str) -> None:
    """Exactly these changes: what nobody reads shall not be signed. Raises ActRefused."""
    if not isinstance(changes, dict) or changes.keys() != set(names):
        raise malformed("changes")


def _fit(der: bytes, moment: datetime) -> ParsedCertificate:
    cert = readable(der)
    if (reason := unfit(cert, moment)) is not None:
        raise ActRefused(reason)
    return cert
