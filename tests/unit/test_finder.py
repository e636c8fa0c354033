"""Where is looked, what is chosen, and that trouble never becomes "no certificate" (I3)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mlkem

from gateway.database import Database
from pki import crl_store, store
from pki.certificate import ParsedCertificate
from pki.crl import Crl
from pki.errors import DirectoryTrouble, Problem, problem
from pki.finder import CertificateFinder
from pki.ldap import Directory, DirectoryAnswer
from pki.models import (
    Candidate,
    CannotTell,
    Certified,
    CheckedCertificate,
    DomainCertificate,
    Finding,
    NoCertificate,
    Refusal,
)
from pki.recipient_keys import Familiar, Sighting, familiar, key_pair, remember
from pki.trust import StoredTrust
from tests.pki_maker import DAY, NOW, Authority, Issued, root, usage

MARIE = "marie@a.example"
SECOND = timedelta(seconds=1)


class FakeDirectory:
    """Answers from a dictionary, or fails."""

    def __init__(self, name: str = "ministry", domains: tuple[str, ...] = ("a.example",)) -> None:
        self.directory = Directory(name, ("ldaps://unused",), "", domains)
        self.entries: dict[str, list[Issued]] = {}
        self.garbage: tuple[Refusal, ...] = ()
        self.down = False
        self.asked: list[str] = []
        self.delay = 0.0
        self.busy = self.most_busy = 0
        self._lock = threading.Lock()

    def search(self, address: str) -> DirectoryAnswer:
        with self._lock:
            self.busy += 1
            self.most_busy = max(self.busy, self.most_busy)
        self.asked.append(address)
        time.sleep(self.delay)
        with self._lock:
            self.busy -= 1
        if self.down:
            raise DirectoryTrouble(problem("directory.timeout", "{d} is away", d="ministry"))
        found = [Candidate(one.der, "ministry: cn=x") for one in self.entries.get(address, ())]
        return DirectoryAnswer(tuple(found), self.garbage)

    def search_many(self, addresses: list[str]) -> dict[str, DirectoryAnswer | DirectoryTrouble]:
        found: dict[str, DirectoryAnswer | DirectoryTrouble] = {}
        for address in addresses:
            try:
                found[address] = self.search(address)
            except DirectoryTrouble as error:
                found[address] = error
        return found

    def close(self) -> None:
        pass


class World:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.root = root()
        self.ca = self.root.sub("Issuing CA")
        self.directory = FakeDirectory()
        self.other = FakeDirectory("partner", ("b.example",))
        self.trust = StoredTrust(
            database.read,
            anchors=[self.root.anchor()],
            intermediates=[self.ca.der],
            poll=timedelta(0),
        )
        self.finder = self.make()
        self.number = 0

    def make(self, **options: Any) -> CertificateFinder:
        return CertificateFinder(
            read=self.database.read,
            trust=self.trust,
            directories=[self.directory, self.other],  # type: ignore[list-item]
            **options,
        )

    def crls(self, *, end: datetime = NOW + 7 * DAY) -> None:
        self.number += 1
        with self.database.write() as conn:
            for ca in (self.root, self.ca):
                crl = Crl(ca.crl(self.number, start=NOW - DAY + self.number * SECOND, end=end))
                crl_store.store_crl(conn, crl, moment=NOW)

    def in_store(self, issued: Issued) -> None:
        with self.database.write() as conn:
            store.import_certificate(conn, issued.der, by="anne", source="file", moment=NOW)

    def find(self, address: str = MARIE, at: timedelta = timedelta(0)) -> Finding:
        return self.finder.find(address, moment=NOW + at)

    def marie(self, **options: Any) -> Issued:
        return self.ca.issue("Marie", emails=(MARIE,), **options)


@pytest.fixture
def world(pki_database: Database) -> Iterator[World]:
    world = World(pki_database)
    world.crls()
    yield world
    world.finder.close()


def test_directory_of_the_domain(world: World) -> None:
    marie = world.marie()
    world.directory.entries[MARIE] = [marie]
    found = world.find("Marie@A.EXAMPLE")
    assert isinstance(found, Certified)
    assert found.certificate.der == marie.der
    assert found.certificate.source == "ministry: cn=x"
    assert found.looked_in == ("store", "ministry")
    assert world.directory.asked == [MARIE]


def test_no_address_leaves_for_a_domain_that_is_not_listed(world: World) -> None:
    """S20: the fact that we write to somebody is nobody else's business."""
    found = world.find("somebody@elsewhere.example")
    assert isinstance(found, NoCertificate)
    assert found.problem.code == "directory.none"
    assert found.looked_in == ("store",)
    assert world.find("somebody@b.example").looked_in == ("store", "partner")
    assert world.directory.asked == []
    assert world.other.asked == ["somebody@b.example"]


def test_local_store_comes_first_and_is_enough(world: World) -> None:
    stored, newer = world.marie(), world.marie(start=NOW - DAY)
    world.in_store(stored)
    world.directory.entries[MARIE] = [newer]
    world.directory.down = True
    found = world.find()
    assert isinstance(found, Certified)
    assert found.certificate.der == stored.der
    assert world.directory.asked == []


def test_trouble_is_never_no_certificate(world: World) -> None:
    world.directory.down = True
    found = world.find()
    assert isinstance(found, CannotTell)
    assert found.problem.code == "directory.timeout"
    # nor when the store has one that cannot be used
    world.in_store(world.marie(end=NOW - DAY))
    assert isinstance(world.find(), CannotTell)
    # trouble is not remembered
    world.directory.down = False
    world.directory.entries[MARIE] = [world.marie()]
    assert isinstance(world.find(), Certified)


def of_another_version(der: bytes, version: int) -> bytes:
    """The certificate with another number where v3 stands."""
    assert der.count(b"\xa0\x03\x02\x01\x02") == 1
    return der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01" + bytes((version,)))


@pytest.mark.parametrize("version", [1, 3, 100])
def test_a_certificate_of_an_unknown_version_stops_nobody(world: World, version: int) -> None:
    """Anybody who may write to a partner's directory can put one there."""
    marie = world.marie()
    values = (of_another_version(marie.der, version), marie.der)
    answer = DirectoryAnswer(tuple(Candidate(one, "ministry: cn=x") for one in values), ())
    world.directory.search = lambda _address: answer  # type: ignore[method-assign]
    found = world.find()
    assert isinstance(found, Certified)
    assert [one.problem.code for one in found.refused] == ["structure.certificate"]


def test_a_fault_of_ours_on_one_address_is_no_answer_and_stops_nobody_else(world: World) -> None:
    paul = "paul@a.example"
    world.directory.entries[paul] = [world.ca.issue("Paul", emails=(paul,))]
    search = world.directory.search

    def faulty(address: str) -> DirectoryAnswer:
        if address == MARIE:
            raise KeyError("a fault nobody foresaw")
        return search(address)

    world.directory.search = faulty  # type: ignore[method-assign]
    found = world.finder.find_all([MARIE, paul], moment=NOW)
    assert isinstance(found[MARIE], CannotTell)
    assert isinstance(found[paul], Certified)


def test_missing_and_stale_crl_is_cannot_tell(pki_database: Database) -> None:
    world = World(pki_database)
    world.directory.entries[MARIE] = [world.marie()]
    found = world.find()
    assert isinstance(found, CannotTell)
    assert found.problem.code == "revocation.missing"
    world.crls()
    assert isinstance(world.find(), Certified)
    later = world.find(at=8 * DAY)
    assert isinstance(later, CannotTell)
    assert later.problem.code == "revocation.stale"
    world.finder.close()


def test_revoked_is_the_reason_people_hear(world: World) -> None:
    marie, wrong = world.marie(), world.ca.issue("Paul", emails=("paul@a.example",))
    world.ca.revoke(marie)
    world.crls()
    world.directory.entries[MARIE] = [wrong, marie]
    found = world.find()
    assert isinstance(found, NoCertificate)
    assert found.problem.code == "revocation.revoked"
    assert "keyCompromise" in found.problem.text
    assert [one.problem.code for one in found.refused] == [
        "identity.address",
        "revocation.revoked",
    ]


def test_revocation_counts_as_soon_as_the_crl_is_known(world: World) -> None:
    marie = world.marie()
    world.directory.entries[MARIE] = [marie]
    assert isinstance(world.find(), Certified)
    world.ca.revoke(marie)
    world.crls()
    assert isinstance(world.find(), NoCertificate)


def test_newest_is_chosen_and_the_others_are_named(world: World) -> None:
    old, new = world.marie(), world.marie(start=NOW - DAY)
    twins = sorted([new, world.marie(start=NOW - DAY)], key=lambda one: one.sha256)
    for order in ([old, *twins], [*reversed(twins), old]):
        world.directory.entries[MARIE] = list(order)
        world.finder.forget()
        found = world.find()
        assert isinstance(found, Certified)
        assert found.certificate.sha256 == twins[0].sha256
        passed_over = [one.sha256 for one in found.refused]
        assert passed_over == [twins[1].sha256, old.sha256]
        assert {one.problem.code for one in found.refused} == {"identity.passed-over"}


def test_usable_one_among_bad_ones(world: World) -> None:
    good = world.marie()
    stranger = root("Stranger").issue("Marie", emails=(MARIE,))
    expired = world.marie(end=NOW - DAY)
    world.directory.entries[MARIE] = [stranger, expired, good]
    world.directory.garbage = (Refusal("00", "", "ministry", problem("structure.certificate", "")),)
    found = world.find()
    assert isinstance(found, Certified)
    assert found.certificate.der == good.der
    assert [one.problem.code for one in found.refused] == [
        "structure.certificate",
        "path.no-anchor",
        "path.expired",
    ]


def test_found_and_not_found_are_kept_each_for_its_time(world: World) -> None:
    world.directory.entries[MARIE] = [world.marie()]
    for at, asked in ((0, 1), (599, 1), (600, 2)):
        world.find(at=at * SECOND)
        assert world.directory.asked.count(MARIE) == asked
    for at, asked in ((0, 1), (59, 1), (60, 2)):
        world.find("paul@a.example", at=at * SECOND)
        assert world.directory.asked.count("paul@a.example") == asked


def test_nothing_is_kept_beyond_its_crl_or_dates(world: World) -> None:
    world.directory.entries[MARIE] = [world.marie(end=NOW + 5 * SECOND)]
    assert isinstance(world.find(), Certified)
    assert isinstance(world.find(at=6 * SECOND), NoCertificate)
    # an earlier moment is not answered from a later one
    assert isinstance(world.find(at=-3600 * SECOND), Certified)


def test_import_is_seen_at_once(world: World) -> None:
    assert isinstance(world.find(), NoCertificate)
    world.in_store(world.marie())
    assert isinstance(world.find(), Certified)


def test_many_at_once(world: World) -> None:
    addresses = [f"user{number}@a.example" for number in range(40)]
    for address in addresses[:6]:
        world.directory.entries[address] = [world.ca.issue("U", emails=(address,))]
    world.directory.delay = 0.005
    wanted = [*addresses, addresses[0].upper(), "not an address"]
    found = world.finder.find_all(wanted, moment=NOW)
    assert set(found) == set(wanted)
    assert all(isinstance(found[address], Certified) for address in addresses[:6])
    assert all(isinstance(found[address], NoCertificate) for address in addresses[6:])
    assert found[addresses[0].upper()] == found[addresses[0]]
    assert found["not an address"].looked_in == ()
    assert world.directory.most_busy > 1
    assert len(world.directory.asked) == 40


def test_a_known_address_costs_microseconds(world: World) -> None:
    world.trust._poll = 1.0
    world.directory.entries[MARIE] = [world.marie()]
    world.find()
    best = min(_time(world) for _ in range(5))
    assert best < 30e-6


def _time(world: World) -> float:
    start = time.perf_counter()
    for _ in range(1000):
        world.finder.find(MARIE, moment=NOW)
    return (time.perf_counter() - start) / 1000


# -- a second certificate, for a second envelope ---------------------------------------------------

KEM = mlkem.MLKEM768PrivateKey.generate()


def kem(world: World, **options: Any) -> Issued:
    return world.marie(subject_key=KEM, key_usage=usage("key_encipherment"), **options)


def test_an_ml_kem_certificate_stands_beside_the_other_one(world: World) -> None:
    marie, old, new = world.marie(), kem(world, start=NOW - 40 * DAY), kem(world)
    world.directory.entries[MARIE] = [old, marie, new]
    found = world.find()
    assert isinstance(found, Certified)
    assert found.certificate.der == marie.der
    assert isinstance(found.post_quantum, CheckedCertificate)
    assert found.post_quantum.der == new.der
    assert found.post_quantum.address == MARIE
    assert len(found.post_quantum.revocation) == 2
    assert [(one.sha256, one.problem.code) for one in found.refused] == [
        (old.sha256, "identity.passed-over")
    ]


def test_it_may_be_in_the_store_and_the_other_one_in_the_directory(world: World) -> None:
    marie, second = world.marie(), kem(world)
    world.in_store(second)
    world.directory.entries[MARIE] = [marie]
    found = world.find()
    assert isinstance(found, Certified)
    assert isinstance(found.post_quantum, CheckedCertificate)
    assert (found.certificate.der, found.post_quantum.der) == (marie.der, second.der)


def test_alone_it_is_nothing_to_encrypt_to(world: World) -> None:
    world.directory.entries[MARIE] = [kem(world)]
    found = world.find()
    assert isinstance(found, NoCertificate)
    assert found.problem.code == "algorithm.beside-only"
    assert isinstance(found.post_quantum, CheckedCertificate)
    assert [one.problem.code for one in found.refused] == ["algorithm.beside-only"]


def test_alone_and_not_to_be_judged_it_is_no_missing_crl(world: World) -> None:
    """What is the matter with it is no reason for which other mail goes without encryption."""
    silent = world.root.sub("Silent CA")
    world.directory.entries[MARIE] = [silent.issue("Marie", emails=(MARIE,), subject_key=KEM)]
    finder = with_ca(world, silent)
    found = finder.find(MARIE, moment=NOW)
    assert isinstance(found, NoCertificate)
    assert found.problem.code == "algorithm.beside-only"
    assert isinstance(found.post_quantum, Problem)
    assert found.post_quantum.code == "revocation.missing"
    finder.close()


def with_ca(world: World, ca: Authority, **options: Any) -> CertificateFinder:
    """A finder that knows one more CA, of which it has no CRL."""
    world.trust = StoredTrust(
        world.database.read,
        anchors=[world.root.anchor()],
        intermediates=[world.ca.der, ca.der],
        poll=timedelta(0),
    )
    return world.make(**options)


@pytest.mark.parametrize("first", ["kem", "rsa"])
def test_one_is_not_passed_over_for_itself(world: World, first: str) -> None:
    marie, second = world.marie(), kem(world)
    world.in_store(second)
    world.directory.entries[MARIE] = [marie, second] if first == "rsa" else [second, marie]
    found = world.find()
    assert isinstance(found, Certified)
    assert isinstance(found.post_quantum, CheckedCertificate)
    assert found.refused == ()


def test_it_is_checked_as_the_other_one_is(world: World) -> None:
    marie = world.marie()
    world.directory.entries[MARIE] = [
        marie,
        root("Mallory").issue("Marie", emails=(MARIE,), subject_key=KEM),
        world.ca.issue("Eve", emails=("eve@a.example",), subject_key=KEM),
        kem(world, end=NOW - DAY),
        world.marie(subject_key=KEM, key_usage=usage("digital_signature")),
    ]
    found = world.find()
    assert isinstance(found, Certified)
    assert found.certificate.der == marie.der
    assert found.post_quantum is None
    assert sorted(one.problem.code for one in found.refused) == [
        "identity.address",
        "path.expired",
        "path.key-usage",
        "path.no-anchor",
    ]


def test_what_nobody_can_tell_of_it_keeps_no_other_mail(world: World) -> None:
    """Its CA has no CRL: that is said of the second envelope alone."""
    silent = world.root.sub("Silent CA")
    second = silent.issue("Marie", emails=(MARIE,), subject_key=KEM)
    marie = world.marie()
    world.directory.entries[MARIE] = [marie, second]
    finder = with_ca(world, silent)
    found = finder.find(MARIE, moment=NOW)
    assert isinstance(found, Certified)
    assert found.certificate.der == marie.der
    assert isinstance(found.post_quantum, Problem)
    assert found.post_quantum.code == "revocation.missing"
    with world.database.write() as conn:
        crl = Crl(silent.crl(1, start=NOW - DAY, end=NOW + DAY))
        crl_store.store_crl(conn, crl, moment=NOW)
    again = finder.find(MARIE, moment=NOW + SECOND)
    assert isinstance(again, Certified)
    assert isinstance(again.post_quantum, CheckedCertificate)
    finder.close()


def test_who_was_asked_first_and_is_away_may_have_it(world: World) -> None:
    """I3: that nobody can tell must not become "there is none"."""
    away = FakeDirectory("away")
    away.down = True
    marie, second = world.marie(), kem(world)
    world.directory.entries[MARIE] = [marie]
    finder = CertificateFinder(
        read=world.database.read,
        trust=world.trust,
        directories=[away, world.directory],  # type: ignore[list-item]
    )
    found = finder.find(MARIE, moment=NOW)
    assert isinstance(found, Certified)
    assert isinstance(found.post_quantum, Problem)
    assert found.post_quantum.code == "directory.timeout"
    away.down = False
    away.entries[MARIE] = [second]
    found = finder.find(MARIE, moment=NOW + timedelta(minutes=2))
    assert isinstance(found, Certified)
    assert isinstance(found.post_quantum, CheckedCertificate)
    finder.close()


def test_where_two_are_wanted_places_are_asked_until_there_are_two(world: World) -> None:
    """A certificate that came with a signed mail and was stored must not hide the directory."""
    marie, newer, second = world.marie(), world.marie(start=NOW - DAY), kem(world)
    world.in_store(marie)
    world.directory.entries[MARIE] = [newer, second]
    one = world.find()
    assert isinstance(one, Certified)
    assert (one.post_quantum, one.looked_in) == (None, ("store",))
    finder = world.make(second_wanted=lambda address: address == MARIE)
    both = finder.find(MARIE, moment=NOW)
    assert isinstance(both, Certified)
    assert both.certificate.der == marie.der  # the first place has decided on that
    assert isinstance(both.post_quantum, CheckedCertificate)
    assert both.post_quantum.der == second.der
    assert both.looked_in == ("store", "ministry")
    finder.close()


def test_a_directory_that_is_away_then_says_nothing_of_the_first_one(world: World) -> None:
    world.in_store(world.marie())
    world.directory.down = True
    finder = world.make(second_wanted=lambda _: True)
    found = finder.find(MARIE, moment=NOW)
    assert isinstance(found, Certified)
    assert isinstance(found.post_quantum, Problem)
    assert found.post_quantum.code == "directory.timeout"
    finder.close()


@pytest.mark.parametrize(("wanted", "after"), [(True, 2), (False, 11)])
def test_that_there_is_none_is_believed_as_long_as_of_the_first(
    world: World, wanted: bool, after: int
) -> None:
    world.directory.entries[MARIE] = [world.marie()]
    finder = world.make(second_wanted=lambda _: wanted)

    def second(minutes: int) -> object:
        found = finder.find(MARIE, moment=NOW + timedelta(minutes=minutes))
        assert isinstance(found, Certified)
        return found.post_quantum

    assert second(0) is None
    world.directory.entries[MARIE].append(kem(world))
    assert second(after - 2) is None
    assert isinstance(second(after), CheckedCertificate)
    finder.close()


def test_a_second_one_that_ends_is_not_kept_for_longer(world: World) -> None:
    world.directory.entries[MARIE] = [world.marie(), kem(world, end=NOW + 90 * SECOND)]
    first, later = world.find(), world.find(at=120 * SECOND)
    assert isinstance(first, Certified)
    assert isinstance(first.post_quantum, CheckedCertificate)
    assert isinstance(later, Certified)
    assert later.post_quantum is None


def test_own_and_domain_certificates_do_not_make_a_pair(pki_database: Database) -> None:
    """Nobody could open both: the one key is the person's, the other one his gateway's."""
    world = World(pki_database)
    world.crls()
    gateway = world.ca.issue("Gateway", emails=("gateway@a.example",), subject_key=KEM)
    with pki_database.write() as conn:
        row = store.NewCertificate(ParsedCertificate(gateway.der), "@a.example", "file")
        store.add_certificates(conn, [row], by="anne", moment=NOW)
    world.directory.entries[MARIE] = [world.marie()]
    finder = world.make(domain_use=lambda _: DomainCertificate.PREFERRED)
    found = finder.find(MARIE, moment=NOW)
    assert isinstance(found, Certified)
    assert found.certificate.der == world.directory.entries[MARIE][0].der
    assert found.post_quantum is None
    assert [(one.sha256, one.problem.code) for one in found.refused] == [
        (gateway.sha256, "identity.passed-over")
    ]
    finder.close()
    world.finder.close()


def test_two_of_the_whole_domain_make_a_pair(pki_database: Database) -> None:
    world = World(pki_database)
    world.crls()
    second = world.ca.issue("Gateway", emails=("gateway@a.example",), subject_key=KEM)
    first = world.ca.issue("Gateway", emails=("gateway@a.example",))
    with pki_database.write() as conn:
        rows = [
            store.NewCertificate(ParsedCertificate(one.der), "@a.example", "file")
            for one in (first, second)
        ]
        store.add_certificates(conn, rows, by="anne", moment=NOW)
    found = world.find()
    assert isinstance(found, Certified)
    assert isinstance(found.post_quantum, CheckedCertificate)
    assert (found.certificate.der, found.post_quantum.der) == (first.der, second.der)
    assert found.post_quantum.domain == "a.example"
    world.finder.close()


def test_a_watched_key_is_that_of_the_first_envelope(world: World) -> None:
    """The ML-KEM key known first makes the other one no change, nor the other way round."""
    marie, second = ParsedCertificate(world.marie().der), ParsedCertificate(kem(world).der)
    assert Familiar().with_key(second).change(marie, MARIE) is None
    assert Familiar().with_key(marie).change(second, MARIE) is None
    with world.database.write() as conn:
        sightings = [Sighting(MARIE, one, "file") for one in (second, marie)]
        remember(conn, sightings, by="anne", moment=NOW)
    with world.database.read() as conn:
        assert familiar(conn, [MARIE])[MARIE].pairs == {key_pair(marie)}
