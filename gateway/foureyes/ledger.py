"""All decisions in order, each believed only as far as its signatures go. Pure.

One function adds a decision, `Ledger.add`, whether a person has just signed it or it is read from
the log years later: what would be refused today is not believed tomorrow because it stands in a
database. What becomes of a request is thus never stored; it follows.

1. the request is canonical, of this installation and organisation, new, and not too old;
2. what it asks for is possible as things stand;
3. each approval is the signature of an enrolled, active person over its octets, with a certificate
   that is fit at the time of the entry;
4. no two of those who signed can be one person;
5. when enough have signed, step 2 is made again, and it takes effect.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from gateway.foureyes.approval import signer_of, unfit
from gateway.foureyes.enrolment import described, only, readable, refuse_doubles, renewed
from gateway.foureyes.errors import ActRefused
from gateway.foureyes.persons import Person, same_person
from gateway.foureyes.records import Approval, Asked, Fate, State, TrustedAnchor
from gateway.foureyes.request import LASTS, Act, Request, malformed, read_request
from gateway.foureyes.terms import read_terms
from pki.errors import problem

_AHEAD = timedelta(hours=1)  # clocks of two machines


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of the log. request: octets of a new one, b"" where `about` names an old one.

    about: SHA-256 of the request. time: of the entry, which is when it counted.
    """

    time: datetime
    request: bytes
    about: str
    approvals: tuple[bytes, ...]


@dataclass(slots=True)
class Ledger:
    """What the decisions so far amount to.

    founders: SHA-256 of the founding requests that the configuration believes; empty = the first.
    """

    origin: str
    org: str
    founders: frozenset[str] = frozenset()
    persons: dict[str, Person] = field(default_factory=dict)
    anchors: dict[str, TrustedAnchor] = field(default_factory=dict)
    requests: dict[str, Asked] = field(default_factory=dict)

    # -- adding ----------------------------------------------------------------------------------

    def add(self, event: Event) -> Asked:
        """Take a decision in; the request it is about, as it is now.

        Raises ActRefused, and then nothing is changed.
        """
        if event.request:
            asked = Asked(self._new(event))
        else:
            found = self.requests.get(event.about)
            if found is None:
                raise _refused("request.unknown", "there is no such request")
            asked = replace(found, approvals=list(found.approvals))
        if asked.fate is not Fate.PROPOSED:
            raise _refused("request.ended", "this request is done or refused: nothing is added")
        if event.time > asked.request.expires:
            raise _refused("request.expired", "this request is too old: it must be made anew")
        self._possible(asked.request, event.time)
        if not event.approvals:
            raise _refused("person.approval-missing", "nobody has signed it")
        for approval in event.approvals:
            self._sign(asked, approval, event.time)
        if len(self.counting(asked, event.time)) >= self._quorum(asked.request):
            self._effect(asked, event.time)
            asked.fate, asked.ended_at = Fate.DONE, event.time
        self.requests[asked.request.sha256] = asked
        return asked

    def _new(self, event: Event) -> Request:
        """Step 1."""
        request = read_request(event.request)
        if request.origin != self.origin or request.org != self.org:
            raise _refused(
                "request.elsewhere",
                "this request is of another installation or organisation ({origin}, {org})",
                origin=request.origin,
                org=request.org,
            )
        # Who writes a request himself must not make one that waits for ever.
        if request.expires - request.time > LASTS or request.time > event.time + _AHEAD:
            raise malformed("time, expires")
        if request.sha256 in self.requests:
            raise _refused("request.repeated", "this request was made before; it counts once")
        return request

    def _sign(self, asked: Asked, approval: bytes, moment: datetime) -> None:
        """Steps 3 and 4."""
        request = asked.request
        voters = self._voters(request, moment)
        owner = {cert.sha256: one for one in voters for cert in one.certificates}
        certs = [cert for one in voters for cert in one.certificates]
        cert = signer_of(approval, request.octets, certs, moment)
        reason = unfit(cert, moment)
        if reason is not None:
            raise ActRefused(reason)
        person = owner[cert.sha256]
        if not person.active:
            raise _refused(
                "person.suspended", "{name} is suspended and approves nothing", name=person.name
            )
        known = {one.id: one for one in voters}
        for other in asked.approvals:
            if other.person == person.id:
                raise _refused(
                    "person.twice",
                    "{name} has signed this request already; it takes another person",
                    name=person.name,
                )
            if (same := same_person(person, known[other.person])) is not None:
                raise ActRefused(same)
        asked.approvals.append(Approval(person.id, cert.sha256, moment))

    def _voters(self, request: Request, moment: datetime) -> list[Person]:
        """Whose signatures are looked for: of those who are founded here, their own."""
        if request.act is Act.FOUND:
            return described(request, moment)
        return list(self.persons.values())

    def counting(self, asked: Asked, moment: datetime) -> list[Approval]:
        """The approvals that still count: of persons who are active now, with certificates that
        have not ended since they signed."""
        voters = {one.id: one for one in self._voters(asked.request, moment)}
        return [
            one
            for one in asked.approvals
            if (person := voters.get(one.person)) is not None
            and person.active
            and any(
                cert.sha256 == one.certificate_sha256 and unfit(cert, moment) is None
                for cert in person.certificates
            )
        ]

    def _quorum(self, request: Request) -> int:
        return len(request.subjects) if request.act is Act.FOUND else request.act.quorum

    # -- what is possible ------------------------------------------------------------------------

    def _possible(self, request: Request, moment: datetime) -> None:
        """Step 2. Raises ActRefused."""
        match request.act:
            case Act.FOUND:
                self._may_found(request, moment)
            case Act.ENROL:
                refuse_doubles(described(request, moment), self.persons.values())
            case Act.RENEW:
                renewed(request, self.persons, moment)
            case Act.SUSPEND_PERSON | Act.RESUME_PERSON:
                person = self.person(request.subjects[0])
                self._turn(request, person.basis, on=person.active)
            case Act.TRUST:
                self._may_trust(request)
            case Act.SUSPEND | Act.RESUME:
                record = self.anchor(request.subjects[0])
                if record.state is State.SUPERSEDED:
                    raise _refused("anchor.superseded", "another record has taken its place")
                self._turn(request, record.basis, on=record.state is State.ACTIVE)
                if request.act is Act.RESUME:
                    self._one_of_a_kind(record, replacing=record.id)
            case Act.REFUSE:
                about = self.requests.get(request.subjects[0])
                only(request.changes, "reason")
                if about is None or about.fate is not Fate.PROPOSED:
                    raise _refused("request.ended", "there is no such request that waits")

    def _may_found(self, request: Request, moment: datetime) -> None:
        if len(request.subjects) < 2:
            raise _refused(
                "person.founders", "the first persons are enrolled together, two at least"
            )
        allowed = request.sha256 in self.founders if self.founders else not self.persons
        if not allowed:
            raise _refused(
                "person.founded",
                "persons are enrolled already; beginning anew takes this in the configuration: "
                'pki.founders = ["{sha256}"], with the founding requests that stay believed',
                sha256=request.sha256,
            )
        refuse_doubles(described(request, moment), ())

    def _turn(self, request: Request, basis: str, *, on: bool) -> None:
        """A suspension or its end: of what is so now, and not of what was when it was asked for.

        An old request to resume would otherwise undo a suspension that came after it.
        """
        only(request.changes, "basis", "reason")
        if request.text("basis") != basis:
            raise _refused("request.overtaken", "something was decided since: it must be made anew")
        wants_off = request.act in (Act.SUSPEND_PERSON, Act.SUSPEND)
        if on is not wants_off:
            raise _refused("request.no-change", "it is so already: nothing would change")

    def _may_trust(self, request: Request) -> None:
        terms = read_terms(request.changes)
        cert = readable(request.certificates[0])
        if not cert.is_ca and cert.basic is not None:
            raise _refused(
                "anchor.no-ca",
                "{subject} is no certification authority (basicConstraints)",
                subject=cert.subject_text,
            )
        if terms.supersedes:
            record = self.anchor(terms.supersedes)
            if record.state is State.SUPERSEDED:
                raise _refused("anchor.superseded", "another record has taken its place")
        record = TrustedAnchor(
            id=request.sha256[:16],
            certificate=cert,
            terms=terms,
            state=State.ACTIVE,
            approved_by=(),
            since=request.time,
            basis=request.sha256,
        )
        if record.id in self.anchors:  # ids are short: nobody shall find two requests with one
            raise _refused("request.repeated", "this request was made before; it counts once")
        self._one_of_a_kind(record, replacing=terms.supersedes)

    def _one_of_a_kind(self, record: TrustedAnchor, *, replacing: str) -> None:
        """One record for a certificate and for a name: else a suspension would leave another."""
        for other in self.anchors.values():
            if other.state is State.SUPERSEDED or other.id in (replacing, record.id):
                continue
            if (
                other.certificate.sha256 == record.certificate.sha256
                or other.terms.name == record.terms.name
            ):
                raise _refused(
                    "anchor.known",
                    "the record {id} ({name}) is of this certificate or name: to change it, "
                    "propose with --supersedes {id}",
                    id=other.id,
                    name=other.terms.name,
                )

    # -- what follows ----------------------------------------------------------------------------

    def _effect(self, asked: Asked, moment: datetime) -> None:
        """Step 5."""
        request = asked.request
        signed = tuple(one.person for one in self.counting(asked, moment))
        match request.act:
            case Act.FOUND:
                # Who begins anew ends what was: persons who cannot act any more must not come back.
                for old in self.persons.values():
                    self.persons[old.id] = replace(
                        old, suspended_at=moment, suspended_why="founded anew", basis=request.sha256
                    )
                for person in described(request, moment):
                    self.persons[person.id] = replace(person, enrolled_by=signed)
            case Act.ENROL:
                (person,) = described(request, moment)
                self.persons[person.id] = replace(person, enrolled_by=signed)
            case Act.RENEW:
                person = renewed(request, self.persons, moment)
                self.persons[person.id] = person
            case Act.SUSPEND_PERSON | Act.RESUME_PERSON:
                person = self.person(request.subjects[0])
                off = request.act is Act.SUSPEND_PERSON
                self.persons[person.id] = replace(
                    person,
                    suspended_at=moment if off else None,
                    suspended_why=request.text("reason") if off else "",
                    basis=request.sha256,
                )
            case Act.TRUST:
                self._trust(request, signed, moment)
            case Act.SUSPEND | Act.RESUME:
                record = self.anchor(request.subjects[0])
                off = request.act is Act.SUSPEND
                self.anchors[record.id] = replace(
                    record,
                    state=State.SUSPENDED if off else State.ACTIVE,
                    why=request.text("reason") if off else "",
                    since=moment,
                    basis=request.sha256,
                )
            case Act.REFUSE:
                about = self.requests[request.subjects[0]]
                about.fate, about.ended_at = Fate.REFUSED, moment
                about.why = request.text("reason")

    def _trust(self, request: Request, signed: tuple[str, ...], moment: datetime) -> None:
        terms = read_terms(request.changes)
        if terms.supersedes:
            old = self.anchor(terms.supersedes)
            self.anchors[old.id] = replace(
                old, state=State.SUPERSEDED, since=moment, basis=request.sha256
            )
        record = TrustedAnchor(
            id=request.sha256[:16],
            certificate=readable(request.certificates[0]),
            terms=terms,
            state=State.ACTIVE,
            approved_by=signed,
            since=moment,
            basis=request.sha256,
        )
        self.anchors[record.id] = record

    # -- looking up ------------------------------------------------------------------------------

    def person(self, id_: str) -> Person:
        """Raises ActRefused if there is none."""
        if (found := self.persons.get(id_)) is None:
            raise _refused("person.unknown", "there is no person {id}", id=id_)
        return found

    def anchor(self, id_: str) -> TrustedAnchor:
        """Raises ActRefused if there is none."""
        if (found := self.anchors.get(id_)) is None:
            raise _refused("anchor.unknown", "there is no record of a trust anchor {id}", id=id_)
        return found


def _refused(code: str, template: str, **facts: str) -> ActRefused:
    return ActRefused(problem(code, template, **facts))
