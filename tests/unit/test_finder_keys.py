"""A directory that swaps somebody's key: noticed, and by policy not used. Domain certificates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from archive.store import Draft
from gateway.database import Database
from gateway.key_memory import KeyMemory
from gateway.policy.settle import Hold, settle
from pki import store
from pki.certificate import ParsedCertificate
from pki.key_watch import KeyWatch
from pki.models import CannotTell, Certified, DomainCertificate, NoCertificate
from pki.recipient_keys import KeyChange
from pki.suggestions import accept, dismiss, waiting
from tests.pki_maker import DAY, NOW, Issued, key, root
from tests.unit.test_finder import MARIE, World
from tests.unit.test_policy import decision


class Watched(World):
    """A world whose keys are remembered as the gateway does it."""

    def __init__(self, database: Database) -> None:
        self.rule = KeyChange.HOLD
        self.use = DomainCertificate.FALLBACK
        self.entries: list[Draft] = []
        super().__init__(database)
        self.memory = KeyMemory(
            database.read, self.submit, rule=lambda _: self.rule, now=lambda: NOW, org=""
        )
        self.finder.close()
        self.finder = self.make(
            keys=KeyWatch(lambda _: self.rule, lambda seen: self.memory.note(seen)),
            domain_use=lambda _: self.use,
        )

    def submit(self, drafts: Sequence[Draft], act: Any) -> Future[None]:
        future: Future[None] = Future()
        with self.database.write() as conn:
            act(conn)
        self.entries += drafts
        future.set_result(None)
        return future

    def swapped(self, **options: Any) -> Issued:
        return self.marie(subject_key=key("swapped"), start=NOW - DAY, **options)

    def waits(self) -> list[str]:
        with self.database.read() as conn:
            return [one.sha256 for one in waiting(conn)]

    def decide(self, act: Any) -> None:
        with self.database.write() as conn:
            (one,) = waiting(conn)
            assert act(conn, one, by="anne", moment=NOW)


@pytest.fixture
def world(pki_database: Database) -> Iterator[Watched]:
    world = Watched(pki_database)
    world.crls()
    yield world
    world.finder.close()


def test_a_swapped_key_is_not_used_and_mail_waits_for_a_person(world: Watched) -> None:
    mine = world.marie()
    world.directory.entries[MARIE] = [mine]
    assert isinstance(world.find(), Certified)
    swapped = world.swapped()
    world.directory.entries[MARIE] = [swapped]
    world.finder.forget()

    found = world.find()

    assert isinstance(found, CannotTell)
    assert found.person
    assert found.problem.code == "identity.key-changed"
    assert [one.problem.code for one in found.refused] == ["identity.key-held"]
    assert world.waits() == [swapped.sha256]
    assert [(one.kind, one.fields["outcome"]) for one in world.entries] == [
        ("recipient-key-changed", b"held")
    ]
    world.find()
    assert len(world.entries) == 1  # said once

    world.decide(accept)
    accepted = world.find()
    assert isinstance(accepted, Certified)
    assert accepted.certificate.sha256 == swapped.sha256


def test_held_is_held_and_never_clear_text(world: Watched) -> None:
    """Not even where the policy sends in clear text to whom there is no certificate."""
    world.directory.entries[MARIE] = [world.marie()]
    world.find()
    world.directory.entries[MARIE] = [world.swapped()]
    world.finder.forget()
    found = world.find()
    assert isinstance(found, CannotTell)
    asked = decision("if-possible", "send-signed")
    assert settle(asked, found) == Hold(found.problem, temporary=False)


def test_the_known_key_beside_the_new_one_goes_on_being_used(world: Watched) -> None:
    mine = world.marie()
    world.directory.entries[MARIE] = [mine]
    world.find()
    world.directory.entries[MARIE] = [world.swapped(), mine]
    world.finder.forget()

    found = world.find()

    assert isinstance(found, Certified)
    assert found.certificate.sha256 == mine.sha256
    assert len(world.waits()) == 1


def test_a_dismissed_key_stays_unused(world: Watched) -> None:
    world.directory.entries[MARIE] = [world.marie()]
    world.find()
    world.directory.entries[MARIE] = [world.swapped()]
    world.finder.forget()
    world.find()
    world.decide(dismiss)
    assert isinstance(world.find(), CannotTell)
    assert world.waits() == []


def test_recorded_and_used(world: Watched) -> None:
    world.rule = KeyChange.RECORD
    world.directory.entries[MARIE] = [world.marie()]
    world.find()
    assert world.entries == []  # the first key is no change
    other = world.swapped()
    world.directory.entries[MARIE] = [other]
    world.finder.forget()
    found = world.find()
    assert isinstance(found, Certified)
    assert found.certificate.sha256 == other.sha256
    assert [one.fields["outcome"] for one in world.entries] == [b"used"]
    world.finder.forget()
    world.find()
    assert len(world.entries) == 1


def test_all_keys_of_the_first_day_are_known(world: Watched) -> None:
    mine, old = world.marie(), world.swapped()
    world.directory.entries[MARIE] = [mine, old]
    world.find()
    world.directory.entries[MARIE] = [mine]
    world.finder.forget()
    assert isinstance(world.find(), Certified)
    world.directory.entries[MARIE] = [old]
    world.finder.forget()
    assert isinstance(world.find(), Certified)


def test_what_a_person_stored_is_accepted(world: Watched) -> None:
    world.directory.entries[MARIE] = [world.marie()]
    world.find()
    other = world.swapped()
    world.in_store(other)
    found = world.find()
    assert isinstance(found, Certified)
    assert found.certificate.sha256 == other.sha256


def test_a_domain_certificate_does_not_hide_trouble(world: Watched) -> None:
    gateway = world.ca.issue("Gateway", emails=("gateway@a.example",))
    with world.database.write() as conn:
        new = store.NewCertificate(ParsedCertificate(gateway.der), "@a.example", "file")
        store.add_certificates(conn, [new], by="anne", moment=NOW)
    found = world.find()
    assert isinstance(found, Certified)
    assert (found.certificate.sha256, found.certificate.domain) == (gateway.sha256, "a.example")
    assert found.certificate.address == MARIE
    assert found.looked_in == ("store", "ministry", "store (@a.example)")
    world.finder.forget()
    world.directory.down = True
    assert isinstance(world.find(), CannotTell)
    world.use = DomainCertificate.PREFERRED
    asked = len(world.directory.asked)
    assert isinstance(world.find(), Certified)
    assert len(world.directory.asked) == asked  # nobody is asked for whom it is preferred
    world.finder.forget()
    world.use, world.directory.down = DomainCertificate.OFF, False
    assert isinstance(world.find(), NoCertificate)


def test_a_revoked_domain_certificate_is_not_used(world: Watched) -> None:
    gateway = world.ca.issue("Gateway", emails=("gateway@a.example",))
    with world.database.write() as conn:
        new = store.NewCertificate(ParsedCertificate(gateway.der), "@a.example", "file")
        store.add_certificates(conn, [new], by="anne", moment=NOW)
    world.ca.revoke(gateway)
    world.crls()
    found = world.find()
    assert isinstance(found, NoCertificate)
    assert found.problem.code == "revocation.revoked"


@pytest.mark.parametrize(
    "lie", ["another CA", "another address", "expired", "revoked", "no mail", "weak", "swapped"]
)
def test_nothing_of_a_lying_directory_is_used(world: Watched, lie: str) -> None:
    world.directory.entries[MARIE] = [world.marie()]
    world.find()
    made = {
        "another CA": lambda: root("Mallory CA").issue("Marie", emails=(MARIE,)),
        "another address": lambda: world.ca.issue("Mallory", emails=("mallory@a.example",)),
        "expired": lambda: world.marie(start=NOW - 9 * DAY, end=NOW - DAY),
        "revoked": world.marie,
        "no mail": lambda: world.marie(extended=(ExtendedKeyUsageOID.SERVER_AUTH,)),
        "weak": lambda: world.marie(subject_key=key("short", "rsa1024")),
        "swapped": world.swapped,
    }[lie]()
    if lie == "revoked":
        world.ca.revoke(made)
        world.crls()
    world.directory.entries[MARIE] = [made]
    world.finder.forget()
    assert not isinstance(world.find(), Certified)
