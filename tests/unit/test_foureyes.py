"""Four eyes: nothing that takes two people is done by one (threats.md C2), on both databases."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ed25519

from archive.models import log_entries, log_payloads
from archive.store import Draft, append
from gateway.database import Database
from gateway.foureyes.book import House, read_book
from gateway.foureyes.errors import ActRefused, BookBroken
from gateway.foureyes.ledger import Event, Ledger
from gateway.foureyes.records import Fate, State
from gateway.foureyes.request import Act, read_request
from gateway.foureyes.trust import Decided
from pki.tables import decision_turns
from pki.trust import StoredTrust
from tests.conftest import ORIGIN
from tests.pki_maker import DAY, Authority, key, root
from tests.unit.officers import NOW, ORG, Desk, Officer, officer

ANNA, BERT, CARLA = officer("Anna Keller"), officer("Bert Lang"), officer("Carla Roux")


@pytest.fixture
def desk(database: Database) -> Desk:
    """Anna and Bert are enrolled."""
    desk = Desk(database)
    desk.found(ANNA, BERT)
    return desk


@pytest.fixture
def one_desk(tmp_path: object, request: pytest.FixtureRequest) -> Desk:
    """The same on SQLite alone, for rules that no database has a say in."""
    desk = _Memory()
    desk.found(ANNA, BERT)
    return desk


class _Memory(Desk):
    """A desk whose log is a list; what is refused leaves no trace."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.events: list[Event] = []

    def add(self, event: Event):  # type: ignore[no-untyped-def]
        ledger = self.ledger
        asked = ledger.add(event)
        self.events.append(event)
        return asked

    @property
    def ledger(self) -> Ledger:
        ledger = Ledger(self.house.origin, self.house.org, self.house.founders)
        for event in self.events:
            ledger.add(event)
        return ledger


@pytest.fixture
def ca() -> Authority:
    return root("Justice Root", kind="ec")


def refused(code: str, act: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(ActRefused) as caught:
        act(*arguments)
    assert caught.value.problem.code == code


def active(desk: Desk) -> list[str]:
    return [one.terms.name for one in desk.ledger.anchors.values() if one.state is State.ACTIVE]


# -- two people decide -----------------------------------------------------------------------------


def test_an_anchor_is_trusted_when_two_people_have_signed(desk: Desk, ca: Authority) -> None:
    request = desk.trusting(ca)
    asked = desk.ask(request, ANNA)
    assert asked.fate is Fate.PROPOSED
    assert active(desk) == []

    asked = desk.approve(request, BERT)

    assert asked.fate is Fate.DONE
    (record,) = desk.ledger.anchors.values()
    assert record.state is State.ACTIVE
    assert record.approved_by == (ANNA.id, BERT.id)
    assert record.certificate.sha256 == ca.sha256


def test_workers_see_an_anchor_and_its_suspension(desk: Desk, ca: Authority) -> None:
    decided = Decided(desk.house)
    trust = StoredTrust(desk.database.read, anchors=(), decided=decided, poll=timedelta(0))
    before = trust.current()
    assert before.material.anchors == ()

    id_ = desk.trust(ca, ANNA, BERT)
    with_it = trust.current()
    assert [anchor.sha256 for anchor, _ in with_it.material.anchors] == [ca.sha256]
    assert with_it.crls != before.crls  # verdicts that were reached before are made anew

    basis = desk.ledger.anchors[id_].basis
    desk.ask(desk.turning(Act.SUSPEND, id_, basis), BERT)
    without = trust.current()
    assert without.material.anchors == ()
    assert without.crls != with_it.crls
    assert without.version != with_it.version


def test_one_suspends_and_two_resume(one_desk: Desk, ca: Authority) -> None:
    desk = one_desk
    id_ = desk.trust(ca, ANNA, BERT)
    desk.ask(desk.turning(Act.SUSPEND, id_, desk.ledger.anchors[id_].basis, "key stolen?"), BERT)
    assert active(desk) == []
    assert desk.ledger.anchors[id_].why == "key stolen?"

    resume = desk.turning(Act.RESUME, id_, desk.ledger.anchors[id_].basis)
    desk.ask(resume, BERT)
    assert active(desk) == []
    desk.approve(resume, ANNA)
    assert active(desk) == ["justice"]


def test_a_change_is_a_new_record_that_takes_the_place_of_the_old(
    one_desk: Desk, ca: Authority
) -> None:
    desk = one_desk
    old = desk.trust(ca, ANNA, BERT)
    refused("anchor.known", desk.ask, desk.trusting(ca, "other-name"), ANNA)
    change = desk.trusting(ca, domains=("justice.example",), supersedes=old)
    desk.ask(change, BERT)
    assert desk.ledger.anchors[old].state is State.ACTIVE  # until another has approved it

    desk.approve(change, ANNA)

    ledger = desk.ledger
    assert ledger.anchors[old].state is State.SUPERSEDED
    assert ledger.anchors[change.sha256[:16]].terms.domains == ("justice.example",)


def test_a_refused_proposal_stays_refused(one_desk: Desk, ca: Authority) -> None:
    desk = one_desk
    request = desk.trusting(ca)
    desk.ask(request, ANNA)
    no = desk.request(Act.REFUSE, {"reason": "unknown to us"}, subjects=(request.sha256,))
    desk.ask(no, BERT)

    asked = desk.ledger.requests[request.sha256]
    assert (asked.fate, asked.why) == (Fate.REFUSED, "unknown to us")
    refused("request.ended", desk.approve, request, BERT)


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_keys_of_all_kinds_approve(one_desk: Desk, ca: Authority, kind: str) -> None:
    own = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else key("officer rsa", "rsa")
    dora = officer("Dora Blum", own_key=own)
    one_desk.ask(one_desk.enrolment(dora), ANNA, BERT)

    one_desk.trust(ca, dora, BERT)

    assert active(one_desk) == ["justice"]


# -- one person is never two -----------------------------------------------------------------------


def test_the_proposer_does_not_approve(one_desk: Desk, ca: Authority) -> None:
    request = one_desk.trusting(ca)
    one_desk.ask(request, ANNA)

    refused("person.twice", one_desk.approve, request, ANNA)
    refused("person.twice", one_desk.ask, one_desk.trusting(ca), ANNA, ANNA)

    assert active(one_desk) == []


@pytest.mark.parametrize(
    "double",
    [
        officer("KELLER, Anná", email="ak@interior.example", subject="A. K."),
        officer("Anna Second", key_name="officer Anna Keller"),
        officer("Anna Third", email="Anna.Keller@INTERIOR.example"),
        officer("Anna Fourth", subject="Anna Keller", email="x@interior.example"),
    ],
    ids=["name", "key", "address", "subject"],
)
def test_one_person_gets_no_second_record(one_desk: Desk, double: Officer) -> None:
    """Two accounts, the same key twice, the same certificate renewed, a name turned around."""
    refused("person.same", one_desk.ask, one_desk.enrolment(double), ANNA, BERT)
    refused("person.same", _Memory().ask, one_desk.founding(ANNA, double), ANNA, double)

    assert set(one_desk.ledger.persons) == {ANNA.id, BERT.id}


def test_a_renewed_certificate_belongs_to_the_same_record(one_desk: Desk, ca: Authority) -> None:
    renewed = officer("Anna Keller", key_name="officer Anna Keller", end=NOW + 900 * DAY)
    changes = {"person": ANNA.id, "verified": "she handed it over"}
    request = one_desk.request(Act.RENEW, dict(changes), certificates=(renewed.der,))
    one_desk.ask(request, ANNA, BERT)
    assert len(one_desk.ledger.persons) == 2

    proposal = one_desk.trusting(ca)
    one_desk.ask(proposal, ANNA)
    refused("person.twice", one_desk.approve, proposal, renewed)
    one_desk.approve(proposal, BERT)
    assert active(one_desk) == ["justice"]


def test_enrolling_takes_two_who_are_enrolled(one_desk: Desk, ca: Authority) -> None:
    request = one_desk.enrolment(CARLA)
    refused("person.approval", one_desk.ask, request, CARLA)
    one_desk.ask(request, ANNA)
    refused("person.approval", one_desk.approve, request, CARLA)
    assert CARLA.id not in one_desk.ledger.persons

    one_desk.approve(request, BERT)

    assert one_desk.ledger.persons[CARLA.id].enrolled_by == (ANNA.id, BERT.id)
    one_desk.trust(ca, CARLA, BERT)
    assert active(one_desk) == ["justice"]


def test_the_first_persons_are_two_and_only_the_first(one_desk: Desk) -> None:
    refused("person.founded", one_desk.ask, one_desk.founding(CARLA, officer("Dora")), CARLA)
    empty = _Memory()
    refused("person.founders", empty.ask, empty.founding(ANNA), ANNA)
    request = empty.founding(ANNA, BERT)
    empty.ask(request, ANNA)
    assert empty.ledger.persons == {}
    empty.approve(request, BERT)
    assert set(empty.ledger.persons) == {ANNA.id, BERT.id}


def test_beginning_anew_takes_the_configuration(one_desk: Desk, ca: Authority) -> None:
    """The way out when too few persons are left: by whoever may change the configuration."""
    dora = officer("Dora Blum")
    first = one_desk.events[0]  # type: ignore[attr-defined]
    anew = one_desk.founding(CARLA, dora)
    one_desk.house = House(
        ORIGIN, ORG, frozenset({hashlib.sha256(first.request).hexdigest(), anew.sha256})
    )

    one_desk.ask(anew, CARLA, dora)

    refused("person.suspended", one_desk.ask, one_desk.trusting(ca), ANNA)
    one_desk.trust(ca, CARLA, dora)
    assert active(one_desk) == ["justice"]


# -- approvals that do not count -------------------------------------------------------------------


def test_an_approval_counts_once_and_for_one_request(one_desk: Desk, ca: Authority) -> None:
    request = one_desk.trusting(ca)
    anna, bert = ANNA.signs(request), BERT.signs(request)
    one_desk.add(Event(NOW, request.octets, "", (anna, bert)))
    (record,) = one_desk.ledger.anchors.values()
    one_desk.ask(one_desk.turning(Act.SUSPEND, record.id, record.basis), ANNA)

    # Replayed: the whole request again, its approvals for it, and for another one.
    refused("request.repeated", one_desk.add, Event(NOW, request.octets, "", (anna, bert)))
    refused("request.ended", one_desk.add, Event(NOW, b"", request.sha256, (anna, bert)))
    other = one_desk.trusting(ca, supersedes=record.id)
    refused("person.approval", one_desk.add, Event(NOW, other.octets, "", (anna, bert)))
    assert active(one_desk) == []


@pytest.mark.parametrize("where", [{"origin": "other.example/archive"}, {"org": "justice"}])
def test_an_approval_of_another_installation_does_not_count(
    one_desk: Desk, ca: Authority, where: dict[str, str]
) -> None:
    request = one_desk.request(
        Act.TRUST,
        one_desk.trusting(ca).changes,
        certificates=(ca.der,),
        **where,  # type: ignore[arg-type]
    )
    refused("request.elsewhere", one_desk.ask, request, ANNA, BERT)


def test_a_request_whose_content_changed_has_no_approval(one_desk: Desk, ca: Authority) -> None:
    """Approve, then edit: the signature is over what was there before."""
    request = one_desk.trusting(ca, domains=("justice.example",))
    wider = dataclasses.replace(request, changes={**request.changes, "domains": []})

    refused(
        "person.approval",
        one_desk.add,
        Event(NOW, wider.octets, "", (ANNA.signs(request), BERT.signs(request))),
    )

    one_desk.ask(request, ANNA)
    refused("request.unknown", one_desk.add, Event(NOW, b"", wider.sha256, (BERT.signs(wider),)))
    assert active(one_desk) == []


def test_a_request_that_waits_is_not_made_again(one_desk: Desk, ca: Authority) -> None:
    """Who sends it anew would take the signatures off it that it has."""
    request = one_desk.trusting(ca)
    one_desk.ask(request, ANNA)
    refused("request.repeated", one_desk.ask, request, BERT)
    assert [one.person for one in one_desk.ledger.requests[request.sha256].approvals] == [ANNA.id]


def test_other_forms_of_a_request_are_none(one_desk: Desk, ca: Authority) -> None:
    octets = one_desk.trusting(ca).octets
    found = json.loads(octets)
    for other in (
        json.dumps(found).encode(),
        octets + b"\n",
        octets.replace(b'{"act"', b'{"act":"person.found","act"'),
        octets.replace(b'"grace":0', b'"grace":0.0'),
        octets.replace(b'"comment":""', b'"comment":"\\u001b[2J"'),
        octets.replace(b'"origin":"', b'"origin":"\\ud800'),
        b"[" * 100_000,
        b"",
    ):
        refused("structure.request", read_request, other)
    assert read_request(octets).octets == octets


def test_an_ended_certificate_approves_nothing(one_desk: Desk, ca: Authority) -> None:
    brief = officer("Carla Roux", end=NOW + 2 * DAY)
    one_desk.ask(one_desk.enrolment(brief), ANNA, BERT)
    request = one_desk.trusting(ca)
    one_desk.ask(request, brief)  # it counts until the certificate ends

    one_desk.now = NOW + 3 * DAY
    refused("path.expired", one_desk.ask, one_desk.trusting(ca), brief)
    asked = one_desk.approve(request, BERT)

    assert asked.fate is Fate.PROPOSED
    assert active(one_desk) == []
    one_desk.approve(request, ANNA)
    assert active(one_desk) == ["justice"]


def test_a_suspended_person_approves_nothing(one_desk: Desk, ca: Authority) -> None:
    one_desk.ask(one_desk.enrolment(CARLA), ANNA, BERT)
    before = one_desk.trusting(ca)
    one_desk.ask(before, CARLA)
    carla = one_desk.ledger.persons[CARLA.id]
    one_desk.ask(one_desk.turning(Act.SUSPEND_PERSON, CARLA.id, carla.basis, "left"), BERT)

    refused("person.suspended", one_desk.ask, one_desk.trusting(ca), CARLA)
    asked = one_desk.approve(before, BERT)  # her signature of before does not count any more

    assert asked.fate is Fate.PROPOSED
    assert active(one_desk) == []
    again = one_desk.turning(Act.RESUME_PERSON, CARLA.id, one_desk.ledger.persons[CARLA.id].basis)
    one_desk.ask(again, ANNA)
    assert not one_desk.ledger.persons[CARLA.id].active
    one_desk.approve(again, BERT)
    assert one_desk.ledger.persons[CARLA.id].active


def test_an_old_request_to_resume_does_not_undo_a_later_suspension(
    one_desk: Desk, ca: Authority
) -> None:
    id_ = one_desk.trust(ca, ANNA, BERT)

    def turn(act: Act) -> object:
        return one_desk.turning(act, id_, one_desk.ledger.anchors[id_].basis)

    one_desk.ask(turn(Act.SUSPEND), ANNA)  # type: ignore[arg-type]
    old = turn(Act.RESUME)
    one_desk.ask(old, ANNA)  # type: ignore[arg-type]
    one_desk.ask(turn(Act.RESUME), ANNA, BERT)  # type: ignore[arg-type]
    one_desk.ask(turn(Act.SUSPEND), BERT)  # type: ignore[arg-type]

    refused("request.overtaken", one_desk.approve, old, BERT)
    assert active(one_desk) == []


def test_a_request_does_not_wait_for_ever(one_desk: Desk, ca: Authority) -> None:
    request = one_desk.trusting(ca)
    one_desk.ask(request, ANNA)
    one_desk.now = NOW + timedelta(days=31)
    refused("request.expired", one_desk.approve, request, BERT)

    endless = dataclasses.replace(one_desk.trusting(ca), expires=NOW + 3000 * DAY)
    refused("structure.request", one_desk.ask, endless, ANNA)


# -- at the same time ------------------------------------------------------------------------------


def test_two_approvals_at_once_activate_once(desk: Desk, ca: Authority) -> None:
    desk.ask(desk.enrolment(CARLA), ANNA, BERT)
    request = desk.trusting(ca)
    desk.ask(request, ANNA)
    ready = threading.Barrier(6)
    came: list[str] = []

    def approve(person: Officer) -> None:
        ready.wait()
        try:
            came.append(desk.approve(request, person).fate.value)
        except ActRefused as error:
            came.append(error.problem.code)

    threads = [threading.Thread(target=approve, args=(one,)) for one in (BERT, CARLA) * 3]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert sorted(came) == ["done"] + 5 * ["request.ended"]
    assert active(desk) == ["justice"]
    with desk.database.read() as conn:
        assert len(read_book(conn, desk.house).entries) == 4


def test_one_person_many_times_at_once_activates_nothing(desk: Desk, ca: Authority) -> None:
    request = desk.trusting(ca)
    desk.ask(request, ANNA)
    came: list[str] = []

    def approve() -> None:
        try:
            came.append(desk.approve(request, ANNA).fate.value)
        except ActRefused as error:
            came.append(error.problem.code)

    threads = [threading.Thread(target=approve) for _ in range(10)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert came == 10 * ["person.twice"]
    assert active(desk) == []


# -- beside the gateway ----------------------------------------------------------------------------


def forge(desk: Desk, request: bytes, *approvals: bytes) -> None:
    """What somebody with the database's password writes: a log entry that is chained rightly."""
    with desk.database.write() as conn:
        book = read_book(conn, desk.house)
        fields = {
            "number": str(len(book.entries)).encode(),
            "before": book.last.encode(),
            "by": b"root",
            "request": request,
        }
        fields |= {f"approval.{at:06}": one for at, one in enumerate(approvals)}
        draft = Draft("decision-request", ORG, desk.house.log_id, fields)
        append(conn, [draft], origin=ORIGIN, now=desk.now)


def test_a_forged_entry_is_not_trusted_and_is_told_of(desk: Desk, ca: Authority) -> None:
    good = root("Good Root", kind="ec")
    desk.trust(good, ANNA, BERT, name="good")
    decided = Decided(desk.house)
    trust = StoredTrust(desk.database.read, anchors=(), decided=decided, poll=timedelta(0))
    trust.current()
    mallory, other = officer("Mallory One"), officer("Mallory Two")
    request = desk.trusting(ca)

    forge(desk, request.octets, mallory.signs(request), other.signs(request))
    founding = desk.founding(mallory, other)
    forge(desk, founding.octets, mallory.signs(founding), other.signs(founding))

    assert [anchor.name for anchor, _ in trust.current().material.anchors] == ["good"]
    assert [fault.code for fault in decided.faults] == 2 * ["decision.forged"]


def test_a_decision_that_is_missing_stops_all_of_them(desk: Desk, ca: Authority) -> None:
    """Without the suspension the anchor would live again."""
    id_ = desk.trust(ca, ANNA, BERT)
    desk.ask(desk.turning(Act.SUSPEND, id_, desk.ledger.anchors[id_].basis), BERT)
    decided = Decided(desk.house)
    trust = StoredTrust(desk.database.read, anchors=(), decided=decided, poll=timedelta(0))
    trust.current()
    assert decided.faults == ()
    with desk.database.write() as conn:
        last = sa.select(sa.func.max(log_entries.c.entry_index)).scalar_subquery()
        conn.execute(log_entries.delete().where(log_entries.c.entry_index == last))

    assert trust.current().material.anchors == ()
    assert [fault.code for fault in decided.faults] == ["decision.broken"]
    with desk.database.read() as conn, pytest.raises(BookBroken):
        read_book(conn, desk.house)


def test_decisions_taken_away_and_counted_anew_stop_all_of_them(desk: Desk, ca: Authority) -> None:
    """All signatures hold, all numbers fit; only who has seen the suspension knows of it."""
    id_ = desk.trust(ca, ANNA, BERT)
    decided = Decided(desk.house)
    trust = StoredTrust(desk.database.read, anchors=(), decided=decided, poll=timedelta(0))
    before = desk.ledger.anchors[id_].basis
    assert len(trust.current().material.anchors) == 1
    desk.ask(desk.turning(Act.SUSPEND, id_, before), BERT)
    assert trust.current().material.anchors == ()
    with desk.database.write() as conn:
        last = sa.select(sa.func.max(log_entries.c.entry_index)).scalar_subquery()
        conn.execute(
            log_entries.update()
            .where(log_entries.c.entry_index == last)
            .values(archive_id="0" * 32)
        )
        conn.execute(decision_turns.update().values(made=decision_turns.c.made - 1))

    assert active(desk) == ["justice"]
    assert trust.current().material.anchors == ()
    assert [fault.code for fault in decided.faults] == ["decision.broken"]
    # Nor does another decision in its place make up for it.
    desk.trust(root("Good Root", kind="ec"), ANNA, BERT, name="good")
    assert trust.current().material.anchors == ()


def test_a_changed_decision_stops_all_of_them(desk: Desk, ca: Authority) -> None:
    desk.trust(ca, ANNA, BERT)
    with desk.database.write() as conn:
        conn.execute(log_payloads.update().values(payload=b"{}"))
    decided = Decided(desk.house)
    trust = StoredTrust(desk.database.read, anchors=(), decided=decided, poll=timedelta(0))

    assert trust.current().material.anchors == ()
    assert [fault.code for fault in decided.faults] == ["decision.broken"]


def test_the_turn_of_a_database_made_anew_from_the_log_begins_rightly(
    desk: Desk, ca: Authority
) -> None:
    with desk.database.write() as conn:
        conn.execute(decision_turns.delete())

    desk.trust(ca, ANNA, BERT)

    assert active(desk) == ["justice"]
    with desk.database.read() as conn:
        assert conn.execute(sa.select(decision_turns.c.made)).scalar_one() == 2
