"""OCSP responders are asked ahead of need and where mail waits; what is stored never goes back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID
from structlog.testing import capture_logs

from gateway.database import Database
from gateway.neighbours import Neighbours
from gateway.ocsp import OcspRounds
from gateway.policy import Mail, Policy
from gateway.record import decision_record
from pki import ocsp_store
from pki.anchors import RevocationSources
from pki.certificate import ParsedCertificate
from pki.crl import Crl
from pki.crl_store import store_crl
from pki.errors import FetchTrouble, problem
from pki.fetch import FetchRules, Post
from pki.finder import CertificateFinder
from pki.models import CannotTell, Certified, NoCertificate
from pki.ocsp import OcspResponse
from pki.ocsp_ask import OcspRules, Responder
from pki.ocsp_asker import OcspAsker, OcspReport, StoredResponses
from pki.store import import_certificate
from pki.trust import StoredTrust
from tests.ocsp_maker import Answer, error, responder
from tests.pki_maker import DAY, NOW, Authority, Issued, root

HOUR = timedelta(hours=1)
URL = "http://ocsp.example/"
ANNA = "anna@b.example"


def naming(url: str) -> tuple[x509.ExtensionType, bool]:
    """authorityInfoAccess with a responder."""
    return (
        x509.AuthorityInformationAccess(
            [
                x509.AccessDescription(
                    AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url)
                )
            ]
        ),
        False,
    )


class Net:
    """Stands for the network: answers, and remembers who was asked."""

    def __init__(self, answer: Callable[[], bytes] | None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, bytes]] = []

    def __call__(self, url: str, _rules: FetchRules, post: Post | None) -> bytes:
        self.asked.append((url, post.body if post else b""))
        if self.answer is None:
            raise FetchTrouble(problem("limits.fetch", "{url} was not fetched: away", url=url))
        return self.answer()


class House:
    """A database with Anna's certificate below an anchor that asks by OCSP."""

    def __init__(
        self,
        database: Database,
        *,
        sources: RevocationSources = RevocationSources.OCSP,
        aia: str = URL,
        hosts: frozenset[str] = frozenset({"ocsp.example:80"}),
        responders: tuple[Responder, ...] = (),
        ca: Authority | None = None,
    ) -> None:
        self.database = database
        self.ca = ca or root("Asker Root")
        self.cert = self.ca.issue("Anna", emails=(ANNA,), extra=(naming(aia),) if aia else ())
        self.parsed, self.issuer = ParsedCertificate(self.cert.der), ParsedCertificate(self.ca.der)
        self.delegate = responder(self.ca)
        self.net = Net(lambda: self.good().der())
        self.stored = StoredResponses(database.read)
        anchor = replace(self.ca.anchor(), sources=sources)
        self.trust = StoredTrust(
            database.read, anchors=[anchor], ocsp=self.stored, poll=timedelta(0)
        )
        rules = OcspRules(FetchRules(hosts), responders)
        self.asker = OcspAsker(database.read, database.write, rules, get=self.net)
        self.finder = CertificateFinder(
            read=database.read, trust=self.trust, directories=(), ocsp=self.asker
        )
        with database.write() as conn:
            import_certificate(conn, self.cert.der, by="test", source="test", moment=NOW)

    def good(self, **changes: object) -> Answer:
        return Answer(self.cert, self.ca, self.delegate).but(**changes)

    def find(self, at: datetime = NOW) -> Certified | NoCertificate | CannotTell:
        return self.finder.find(ANNA, moment=at)

    def round(self, at: datetime = NOW, *, force: bool = False) -> list[OcspReport]:
        self.asker.want(self.stored.take_wanted(), at)
        return self.asker.refresh(self.trust.current().material, moment=at, force=force)

    def versions(self) -> list[str]:
        with self.database.read() as conn:
            return [one.status for one in ocsp_store.list_responses(conn, every=True)]


@pytest.fixture
def house(pki_database: Database) -> House:
    return House(pki_database)


def test_mail_that_waits_has_the_responder_asked_once(house: House) -> None:
    found = house.find()
    assert isinstance(found, Certified)
    assert [one.kind for one in found.certificate.revocation] == ["ocsp"]
    assert found.certificate.revocation[0].source == URL
    assert len(house.net.asked) == 1
    house.finder.forget()
    assert isinstance(house.find(NOW + HOUR), Certified)
    assert len(house.net.asked) == 1, "cached until nextUpdate"
    assert house.versions() == ["good"]


def test_the_record_names_the_response_and_its_octets_are_kept(house: House) -> None:
    found = house.find()
    assert isinstance(found, Certified)
    decision = Policy((), ()).decide(Mail("a@a.example"), ANNA)
    record = json.loads(
        decision_record(decision, "encrypted", finding=found, certificate=found.certificate)
    )
    (said,) = record["certificate"]["revocation"]
    assert said["kind"] == "ocsp"
    assert "Responder" in said["responder"]
    assert said["produced-at"] == "2026-06-01T11:00:00Z"
    assert said["source"] == URL
    with house.database.read() as conn:
        der = ocsp_store.response_bytes(conn, said["sha256"])
    assert der is not None
    assert OcspResponse(der).singles[0].status == "good"


def test_no_good_answer_is_cannot_tell(house: House) -> None:
    stranger = root("Stranger")
    for answer in (
        error(3),
        b"",
        house.good(status="unknown", this_update=NOW - 2 * HOUR).der(),
        house.good(by=stranger, certificates=()).der(),
        house.good(nonce=b"n" * 32).der(),
        house.good(cert=house.delegate).der(),
        house.good(next_update=NOW - HOUR, this_update=NOW - DAY).der(),
        house.good(this_update=NOW + HOUR).der(),
    ):
        house.net.answer = lambda answer=answer: answer
        found = house.find()
        assert isinstance(found, CannotTell)
        assert found.problem.code.startswith("revocation.ocsp-")
    house.net.answer = None
    assert isinstance(house.find(), CannotTell)
    assert house.versions() == ["unknown"]


def test_revoked_is_refused_and_stays_so_behind_a_replayed_good_answer(house: House) -> None:
    assert isinstance(house.find(), Certified)
    house.net.answer = lambda: house.good(status="revoked", this_update=NOW, produced_at=NOW).der()
    house.round(NOW + 13 * HOUR, force=True)
    revoked = house.find(NOW + 13 * HOUR)
    assert isinstance(revoked, NoCertificate), "a cached verdict does not outlive it"
    assert revoked.problem.code == "revocation.revoked"
    house.net.answer = lambda: house.good().der()  # by its own dates it holds yet
    (report,) = house.round(NOW + 14 * HOUR, force=True)
    assert report.problem is not None
    assert report.problem.code == "revocation.ocsp-older"
    assert isinstance(house.find(NOW + 14 * HOUR), NoCertificate)
    assert house.versions() == ["revoked", "good"]


@pytest.mark.parametrize("crl_holds", [True, False])
@pytest.mark.parametrize(("reason", "for_good"), [(1, True), (None, False), (6, False)])
def test_an_old_answer_that_revokes_is_believed_though_a_crl_does_not_list_it_yet(
    pki_database: Database, crl_holds: bool, reason: int | None, for_good: bool
) -> None:
    """A responder whose cache is stuck at the day of the revocation: no CRL clears the key."""
    house = House(pki_database, sources=RevocationSources.OCSP_THEN_CRL)
    old = {"this_update": NOW - 2 * DAY, "produced_at": NOW - 2 * DAY, "next_update": NOW - DAY}
    revoked = house.good(status="revoked", revoked_at=NOW - 3 * DAY, reason=reason, **old).der()
    house.net.answer = lambda: revoked
    if crl_holds:
        with pki_database.write() as conn:
            store_crl(conn, Crl(house.ca.crl()), moment=NOW)
    found = house.find()
    if for_good:
        assert isinstance(found, NoCertificate)
        assert found.problem.code == "revocation.revoked"
        assert house.versions() == ["revoked"]
    else:
        assert isinstance(found, Certified if crl_holds else CannotTell)
        assert house.versions() == []
    house.net.answer = lambda: house.good(**old).der()  # good, and as old: never counts
    house.finder.forget()
    again = house.find()
    assert isinstance(again, NoCertificate if for_good else type(found))
    assert "good" not in house.versions()


@pytest.mark.parametrize(("reason", "kept"), [(1, True), (None, False), (6, False)])
def test_a_revocation_for_good_is_kept_behind_a_newer_good_answer(
    house: House, reason: int | None, kept: bool
) -> None:
    """Two responders of one CA, of which one is late with everything but the revocation."""
    assert isinstance(house.find(), Certified)
    earlier = NOW - 5 * HOUR
    house.net.answer = lambda: house.good(
        status="revoked", this_update=earlier, produced_at=earlier, reason=reason
    ).der()
    house.round(NOW + 13 * HOUR, force=True)
    found = house.find(NOW + 13 * HOUR)
    assert isinstance(found, NoCertificate if kept else Certified)
    assert sorted(house.versions()) == (["good", "revoked"] if kept else ["good"])


@pytest.mark.parametrize("silent", [True, False])
def test_a_silent_responder_costs_one_attempt_and_a_crl_helps(
    pki_database: Database, silent: bool
) -> None:
    house = House(pki_database, sources=RevocationSources.OCSP_THEN_CRL)
    if silent:
        house.net.answer = None
    with pki_database.write() as conn:
        store_crl(conn, Crl(house.ca.crl()), moment=NOW)
    for _ in range(3):
        found = house.find()
        house.finder.forget()
        assert isinstance(found, Certified)
        assert found.certificate.revocation[0].kind == ("crl" if silent else "ocsp")
    assert len(house.net.asked) == 1


def test_crl_first_asks_only_where_no_crl_can_tell(pki_database: Database) -> None:
    house = House(pki_database, sources=RevocationSources.CRL_THEN_OCSP)
    with pki_database.write() as conn:
        store_crl(conn, Crl(house.ca.crl()), moment=NOW)
    assert isinstance(house.find(), Certified)
    assert house.net.asked == []
    late = NOW + 8 * DAY  # the CRL is over
    house.net.answer = lambda: house.good(
        this_update=late, produced_at=late, next_update=late + DAY
    ).der()
    found = house.find(late)
    assert isinstance(found, Certified)
    assert found.certificate.revocation[0].kind == "ocsp"
    assert len(house.net.asked) == 1


def test_an_anchor_with_crls_alone_asks_nobody(pki_database: Database) -> None:
    house = House(pki_database, sources=RevocationSources.CRL)
    assert isinstance(house.find(), CannotTell)
    assert house.round() == []
    assert house.net.asked == []


# -- who is asked (threat L8) ------------------------------------------------------------------


def test_hosts_that_are_not_listed_are_never_asked(house: House) -> None:
    for url in (
        "http://127.0.0.1/",
        "http://169.254.169.254/",
        "http://ocsp.example:22/",
        "http://ocsp.example@evil.example/",
        "file:///etc/passwd",
        "ldap://ocsp.example/",
        "gopher://ocsp.example:80/",
        "http://evil.example/",
    ):
        cert = ParsedCertificate(house.ca.issue("Anna", extra=(naming(url),)).der)
        house.asker.supply(cert, house.trust.current().material, moment=NOW, accept=lambda _: None)
        (report,) = house.round()
        assert report.problem is not None
        assert report.problem.code == "revocation.ocsp-nobody"
        assert (report.unanswered, report.spared) == (True, False)
    assert house.net.asked == []


def test_where_a_crl_may_tell_nobody_to_ask_is_no_trouble(pki_database: Database) -> None:
    """An issuing CA without a responder below such an anchor: `ocsp refresh` ends well."""
    house = House(pki_database, sources=RevocationSources.OCSP_THEN_CRL)
    cert = ParsedCertificate(house.ca.issue("Anna").der)
    house.asker.want([(cert, ParsedCertificate(house.ca.der))], NOW)
    (report,) = house.round()
    assert report.problem is not None
    assert (report.problem.code, report.spared) == ("revocation.ocsp-nobody", True)


def test_a_certificate_that_nobody_vouches_for_has_nobody_asked(house: House) -> None:
    stranger = root("Nobody's Root")
    cert = stranger.issue("Anna", emails=(ANNA,), extra=(naming(URL),))
    house.asker.supply(
        ParsedCertificate(cert.der),
        house.trust.current().material,
        moment=NOW,
        accept=lambda _: None,
    )
    assert house.net.asked == []


def test_a_configured_responder_goes_before_the_one_in_the_certificate(
    pki_database: Database,
) -> None:
    ca = root("Asker Root")
    mine = Responder(ParsedCertificate(ca.der), "http://mine.example/ocsp", nonce=False)
    house = House(pki_database, responders=(mine,), ca=ca)
    house.find()
    (asked,) = house.net.asked
    assert asked[0].startswith("http://mine.example/ocsp/MF")  # short, without nonce: GET
    assert asked[1] == b""


def test_a_responder_that_knows_sha1_only_is_asked_once_more(house: House) -> None:
    answers = [error(6), house.good(algorithm="1.3.14.3.2.26").der()]
    house.net.answer = lambda: answers.pop(0)
    assert isinstance(house.find(), Certified)
    assert len(house.net.asked) == 2


# -- ahead of need -------------------------------------------------------------------------------


def test_what_was_needed_is_asked_about_again_at_half_time(house: House) -> None:
    house.find()
    assert house.round(NOW + HOUR) == []
    fresh = NOW + 13 * HOUR
    house.net.answer = lambda: house.good(
        this_update=fresh, produced_at=fresh, next_update=fresh + DAY
    ).der()
    (report,) = house.round(fresh)
    assert (report.state, report.status) == ("stored", "good")
    assert len(house.versions()) == 2
    assert house.round(fresh + HOUR) == []
    # A response that is the same is nothing new, and the responder is not hammered.
    (report,) = house.round(fresh + 14 * HOUR)
    assert report.state == "unchanged"
    assert house.round(fresh + 14 * HOUR + timedelta(minutes=1)) == []


def test_what_nobody_needs_any_more_is_not_asked_about(house: House) -> None:
    house.find()
    house.stored.take_wanted()
    asked = []
    for day in range(1, 12):
        at = NOW + day * DAY
        house.net.answer = lambda at=at: house.good(
            this_update=at, produced_at=at, next_update=at + DAY
        ).der()
        if house.asker.refresh(house.trust.current().material, moment=at):
            asked.append(day)
    assert asked == [1, 2, 3, 4, 5, 6]


def test_what_is_needed_again_is_kept_fresh_without_asking_twice(house: House) -> None:
    house.net.answer = lambda: house.good(next_update=NOW + 30 * DAY).der()
    house.find()
    house.finder.forget()
    house.find(NOW + 6 * DAY)
    assert len(house.net.asked) == 1
    house.stored.take_wanted()
    assert [one.state for one in house.round(NOW + 12 * DAY + HOUR, force=True)] == ["unchanged"]


def test_a_first_question_that_failed_is_repeated_by_the_keeper(house: House) -> None:
    answer, house.net.answer = house.net.answer, None
    assert isinstance(house.find(), CannotTell)
    house.net.answer = answer
    house.stored.take_wanted()
    (report,) = house.round(NOW + timedelta(minutes=2))
    assert report.state == "stored"
    assert isinstance(house.find(), Certified)


def test_what_others_looked_for_is_asked_about_by_the_keeper(house: House) -> None:
    assert house.stored.about(house.parsed, house.issuer) == []
    (report,) = house.round()
    assert report.state == "stored"
    assert [one.source for one in house.stored.about(house.parsed, house.issuer)] == [URL]


def test_a_failed_question_is_repeated_soon_and_the_old_answer_stays(house: House) -> None:
    house.find()
    house.net.answer = None
    late = NOW + 13 * HOUR
    (report,) = house.round(late)
    assert report.unanswered
    assert house.round(late + timedelta(minutes=1)) == []
    (report,) = house.round(late + timedelta(minutes=2))
    assert isinstance(house.find(late), Certified)
    with house.database.read() as conn:
        standing = ocsp_store.standing(conn, moment=late)
    assert (standing.wanted, standing.failing, standing.stale) == (1, 1, 0)
    assert standing.ends == NOW + DAY
    assert "away" in standing.reasons[0][0]


def test_a_silent_responder_is_left_in_peace_for_the_round(house: House) -> None:
    others = [house.ca.issue(f"N{n}", extra=(naming(URL),)) for n in range(5)]
    house.asker.want([(ParsedCertificate(o.der), house.issuer) for o in others], NOW)
    house.net.answer = None
    assert len(house.round()) == 1
    assert len(house.net.asked) == 1


def test_a_responder_without_nocheck_is_asked_about_too(house: House) -> None:
    checked = responder(house.ca, "Checked", nocheck=False, extra=(naming(URL),))
    about: dict[int, Issued] = {}
    for one in (house.cert, checked):
        about[one.cert.serial_number] = one

    def answer() -> bytes:
        from cryptography.x509 import ocsp as peer

        asked = peer.load_der_ocsp_request(house.net.asked[-1][1])
        cert = about[asked.serial_number]
        by = checked if cert is house.cert else house.ca
        return Answer(cert, house.ca, by).der()

    house.net.answer = answer
    found = house.find()
    assert isinstance(found, CannotTell)
    assert found.problem.code == "revocation.ocsp-responder"
    house.round()
    assert isinstance(house.find(), Certified)


def test_two_workers_that_ask_at_once_do_not_stumble(house: House) -> None:
    together = threading.Barrier(2, timeout=20)
    answer = house.good().der()

    def slow() -> bytes:
        together.wait()
        return answer

    house.net.answer = slow
    finders = [
        CertificateFinder(
            read=house.database.read, trust=house.trust, directories=(), ocsp=house.asker
        )
        for _ in range(2)
    ]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda finder: finder.find(ANNA, moment=NOW), finders))
    assert [type(one) for one in found] == [Certified, Certified]
    assert house.versions() == ["good"]


def test_rounds_of_the_keeper_say_what_came_of_it(house: House) -> None:
    neighbours = Neighbours(None, lambda: NOW)
    rounds = OcspRounds(house.asker, house.stored, house.trust.current, neighbours)
    house.stored.about(house.parsed, house.issuer)
    answer, house.net.answer = house.net.answer, None
    with capture_logs() as lines:
        rounds.when_due(NOW)
        rounds.when_due(NOW + timedelta(seconds=9))
    assert [line["event"] for line in lines if line["event"].startswith("ocsp")] == ["ocsp_failed"]
    assert len(house.net.asked) == 1
    house.net.answer = answer
    with capture_logs() as lines:
        rounds.when_due(NOW + timedelta(minutes=3))
    (line,) = [line for line in lines if line["event"].startswith("ocsp")]
    assert (line["event"], line["status"]) == ("ocsp_stored", "good")


def test_a_clock_that_ran_ahead_stops_nothing(house: House) -> None:
    house.find(NOW)
    house.round(NOW + 400 * DAY, force=True)
    house.stored.about(house.parsed, house.issuer)
    assert house.round(NOW + HOUR), "asked at once when the clock is right again"


def test_a_responder_with_many_questions_that_is_silent_keeps_no_other_waiting(
    house: House,
) -> None:
    """As many as a round takes; they are due before the others', and would be in every round."""
    elsewhere = "http://other.example/"
    many = [house.ca.issue(f"N{n}", extra=(naming(URL),), kind="ec") for n in range(230)]
    house.asker.want([(ParsedCertificate(one.der), house.issuer) for one in many], NOW - HOUR)
    last = house.ca.issue("Last", extra=(naming(elsewhere),))
    house.asker.want([(ParsedCertificate(last.der), house.issuer)], NOW)
    house.asker._rules = OcspRules(FetchRules(frozenset({"ocsp.example:80", "other.example:80"})))
    house.net.answer = None
    for number in range(3):
        house.round(NOW + timedelta(seconds=10 * number))
    assert elsewhere in [url for url, _ in house.net.asked]


def test_a_question_that_ends_in_a_fault_keeps_no_other_waiting(house: House) -> None:
    """By a stranger's answer that finds a fault of ours, or a row that somebody has written."""
    house.asker.want([(house.parsed, house.issuer)], NOW)
    spoiled = house.ca.issue("Spoiled", extra=(naming(URL),))
    odd = house.ca.issue("Odd", extra=(naming("http://ocsp.example/odd"),))
    pairs = [(ParsedCertificate(one.der), house.issuer) for one in (spoiled, odd)]
    house.asker.want(pairs, NOW - HOUR)
    with house.database.write() as conn:
        rows = ocsp_store.ocsp_questions
        conn.execute(
            rows.update().where(rows.c.certificate == spoiled.sha256).values(der=b"nothing")
        )
    honest = house.net.answer

    def answer() -> bytes:
        if house.net.asked[-1][0].endswith("/odd"):
            raise ValueError("nobody expected this")
        assert honest is not None
        return honest()

    house.net.answer = answer
    reports = {report.state: report for report in house.round()}
    assert reports["stored"].subject == house.parsed.subject_text
    assert len(house.round()) == 0, "what failed is asked later"
    assert house.versions() == ["good"]


def test_a_slow_host_is_slow_under_each_of_its_addresses(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CA may name another path in each certificate: each would cost its mail five seconds."""
    clock = [0.0]

    def slow() -> bytes:
        clock[0] += 5.0
        raise FetchTrouble(problem("limits.fetch", "away"))

    monkeypatch.setattr("pki.ocsp_asker.time.monotonic", lambda: clock[0])
    house.net.answer = slow
    for number in range(3):
        one = house.ca.issue(
            f"N{number}", extra=(naming(f"{URL}{number}"),), emails=(f"n{number}@b.example",)
        )
        with house.database.write() as conn:
            import_certificate(conn, one.der, by="test", source="test", moment=NOW)
        assert isinstance(house.finder.find(f"n{number}@b.example", moment=NOW), CannotTell)
    assert len(house.net.asked) == 1
    clock[0] += 31.0
    house.find()
    assert len(house.net.asked) == 2
