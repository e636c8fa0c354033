"""Who decides: persons with verified names and certificates, and whether two of them are one. Pure.

These are not the people whose mail is signed (docs/persons.md): they are the few who enrol each
other, approve trust anchors and suspend them.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime

from pki.certificate import ParsedCertificate
from pki.errors import Problem, problem


@dataclass(frozen=True, slots=True)
class Person:
    """A record. id: beginning of the SHA-256 of the first certificate.

    verified: how somebody made sure who it is, in words. basis: the request by which the record
    became what it is. enrolled_by: ids of those who signed; of a founder those of all founders.
    """

    id: str
    name: str
    verified: str
    certificates: tuple[ParsedCertificate, ...]
    enrolled_at: datetime
    enrolled_by: tuple[str, ...]
    basis: str
    founder: bool = False
    suspended_at: datetime | None = None
    suspended_why: str = ""

    @property
    def active(self) -> bool:
        """Whether approvals of this person count."""
        return self.suspended_at is None

    def with_certificate(self, cert: ParsedCertificate, basis: str) -> Person:
        """The same person with one certificate more."""
        return replace(self, certificates=(*self.certificates, cert), basis=basis)


def person_id(cert: ParsedCertificate) -> str:
    """The id of the record that begins with this certificate."""
    return cert.sha256[:16]


def name_key(name: str) -> tuple[str, ...]:
    """What two spellings of one name have in common: their words without case, marks, order.

    "Müller, Anna" and "anna MULLER" are one person until somebody proves otherwise.
    """
    letters = "".join(
        char if char.isalnum() else " "
        for char in unicodedata.normalize("NFKD", name)
        if not unicodedata.combining(char)
    )
    return tuple(sorted(letters.casefold().split()))


def same_person(one: Person, other: Person) -> Problem | None:
    """Why two records may be one human being, or None.

    Four eyes are worth nothing if one person has two records: by a second account, by the same
    key in another certificate, by a certificate that was renewed, by a name written differently.
    """
    if one.id == other.id:
        return _same(one, other, "they are the same record")
    if name_key(one.name) == name_key(other.name):
        return _same(one, other, "they have the same name")
    for mine in one.certificates:
        for theirs in other.certificates:
            if mine.sha256 == theirs.sha256:
                return _same(one, other, "they have the same certificate")
            if mine.spki == theirs.spki:
                return _same(one, other, "their certificates have the same key")
            if mine.subject == theirs.subject:
                return _same(one, other, "their certificates have the same subject")
            if set(mine.addresses.usable) & set(theirs.addresses.usable):
                return _same(one, other, "their certificates have the same mail address")
    return None


def _same(one: Person, other: Person, why: str) -> Problem:
    template = "{one} and {other} count as one person, not two: " + why
    return problem("person.same", template, one=one.name, other=other.name)
