"""Several directories, poisoned ones (S19), chains and capabilities beside a certificate."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.database import Database
from gateway.policy import Policy
from gateway.policy.mails import Mail
from gateway.record import decision_record
from gateway.smime.algorithms import Cipher
from gateway.smime.choose import DomainCrypto, Treatment, choose
from pki import crl_store
from pki.crl import Crl
from pki.errors import DirectoryTrouble, problem
from pki.finder import CertificateFinder
from pki.ldap import Directory, DirectoryAnswer
from pki.ldap.entries import answers
from pki.ldap.wire import Entry
from pki.models import CannotTell, Certified, Finding, NoCertificate, Purpose
from pki.trust import StoredTrust
from tests.pace import at_most
from tests.pki_maker import DAY, NOW, Authority, Issued, key, root, usage
from tests.unit.smime_values import AES_256_GCM, announced, degenerate

MARIE = "marie@a.example"
DES_EDE3_CBC = "1.2.840.113549.3.7"
ROOT = root()
CA = ROOT.sub("Issuing CA")
SUB = CA.sub("Sub CA")
EVIL = root("Evil")


class FakeDirectory:
    """Holds entries; the answers are read by the code under test."""

    def __init__(self, name: str, domains: tuple[str, ...] = ("a.example",)) -> None:
        self.directory = Directory(name, (f"ldaps://{name}",), "dc=a", domains)
        self.values: dict[str, list[bytes]] = {}
        self.down = False
        self.asked: list[list[str]] = []

    def search_many(self, addresses: list[str]) -> dict[str, DirectoryAnswer | DirectoryTrouble]:
        self.asked.append(list(addresses))
        if self.down:
            away = DirectoryTrouble(problem("directory.timeout", "away"))
            return dict.fromkeys(addresses, away)
        entries = [
            Entry(f"cn={n}", (("mail", (address.encode(),)), ("userCertificate", tuple(values))))
            for n, (address, values) in enumerate(self.values.items())
        ]
        found = [e for e in entries if e.values("mail")[0].decode() in addresses]
        return answers(self.directory, self.directory.urls[0], found, addresses)

    def close(self) -> None:
        pass


class World:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.first, self.second = FakeDirectory("first"), FakeDirectory("second")
        self.trust = StoredTrust(
            database.read,
            anchors=[ROOT.anchor(domains=("a.example",))],
            intermediates=[CA.der],
        )
        self.finder = CertificateFinder(
            read=database.read,
            trust=self.trust,
            directories=[self.first, self.second],  # type: ignore[list-item]
        )
        self.crls(ROOT, CA, SUB)

    def crls(self, *authorities: Authority) -> None:
        with self.database.write() as conn:
            for ca in authorities:
                crl_store.store_crl(conn, Crl(ca.crl(1)), moment=NOW)

    def find(self, address: str = MARIE) -> Finding:
        self.finder.forget()
        return self.finder.find(address, moment=NOW)

    def treatment(self, domain: DomainCrypto = DomainCrypto.READABLE) -> Treatment:
        found = self.find()
        assert isinstance(found, Certified)
        chosen = choose(found.certificate, domain)
        assert isinstance(chosen, Treatment)
        return chosen


@pytest.fixture
def world(pki_database: Database) -> Iterator[World]:
    world = World(pki_database)
    yield world
    world.finder.close()


def marie(ca: Authority = CA, **options: object) -> Issued:
    return ca.issue("Marie", emails=(MARIE,), **options)  # type: ignore[arg-type]


# -- several directories ---------------------------------------------------------------------------


def test_the_first_directory_with_a_usable_certificate_decides(world: World) -> None:
    """Also where the second one has a newer one: the order in the file is the order of trust."""
    old, new = marie(), marie(start=NOW - DAY)
    world.first.values[MARIE], world.second.values[MARIE] = [old.der], [new.der]
    found = world.find()
    assert isinstance(found, Certified)
    assert found.certificate.der == old.der
    assert found.looked_in == ("store", "first")
    assert world.second.asked == []


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("usable", "down", Certified),
        ("down", "usable", Certified),
        ("expired", "usable", Certified),
        ("none", "none", NoCertificate),
        ("none", "down", CannotTell),
        ("down", "none", CannotTell),
        ("down", "down", CannotTell),
        ("expired", "down", CannotTell),
        ("down", "poisoned", CannotTell),
        ("none", "poisoned", NoCertificate),
    ],
)
def test_one_that_has_it_is_enough_and_one_that_is_away_is_never_a_no(
    world: World, first: str, second: str, expected: type
) -> None:
    for directory, what in ((world.first, first), (world.second, second)):
        directory.down = what == "down"
        values = {
            "usable": [marie().der],
            "expired": [marie(end=NOW - DAY).der],
            "poisoned": [EVIL.issue("Marie", emails=(MARIE,)).der],
        }
        if what in values:
            directory.values[MARIE] = values[what]
    assert isinstance(world.find(), expected)


def test_addresses_of_a_mail_are_asked_for_together(world: World) -> None:
    addresses = [f"user{number}@a.example" for number in range(20)]
    for address in addresses[:5]:
        world.first.values[address] = [CA.issue("U", emails=(address,)).der]
    found = world.finder.find_all([*addresses, "x@b.example"], moment=NOW)
    assert sorted(len(lot) for lot in world.first.asked) == [4, 16]
    # the second hears only of those whom the first one does not know
    assert sorted(address for lot in world.second.asked for address in lot) == sorted(addresses[5:])
    assert sum(isinstance(one, Certified) for one in found.values()) == 5
    assert found["x@b.example"].looked_in == ("store",)


# -- poisoned --------------------------------------------------------------------------------------


def test_a_poisoned_entry_is_refused_and_the_record_says_where_it_lay(world: World) -> None:
    """S19: somebody who can write there puts his own certificates under Marie's address."""
    attacks = {
        "path.no-anchor": EVIL.issue("Marie", emails=(MARIE,)),
        "identity.address": CA.issue("Mallory", emails=("mallory@a.example",)),
        "path.signature": Authority(CA.cert, key("evil")).issue("Marie", emails=(MARIE,)),
        "identity.no-address": CA.issue("Marie"),
    }
    world.first.values[MARIE] = [one.der for one in attacks.values()]
    found = world.find()
    assert isinstance(found, NoCertificate)
    assert [one.problem.code for one in found.refused] == list(attacks)
    good = marie()
    world.first.values[MARIE].append(good.der)
    found = world.find()
    assert isinstance(found, Certified)
    assert found.certificate.der == good.der
    decision = Policy([], []).decide(Mail("a@b.example"), MARIE)
    record = decision_record(decision, "encrypted", finding=found, certificate=found.certificate)
    assert record.count("first (ldaps://first): cn=0") == 5
    for one in attacks.values():
        assert one.sha256 in record


def test_a_trusted_ca_vouches_for_its_own_domains_only(world: World) -> None:
    directory = FakeDirectory("third", ("b.example",))
    paul = "paul@b.example"
    directory.values[paul] = [CA.issue("Paul", emails=(paul,)).der]
    finder = CertificateFinder(
        read=world.database.read,
        trust=world.trust,
        directories=[directory],  # type: ignore[list-item]
    )
    found = finder.find(paul, moment=NOW)
    finder.close()
    assert isinstance(found, NoCertificate)
    assert found.problem.code == "path.anchor-domain"


# -- chains ----------------------------------------------------------------------------------------


def test_a_chain_that_came_along_leads_to_the_anchor(world: World) -> None:
    below = marie(SUB)
    world.first.values[MARIE] = [below.der]
    found = world.find()
    assert isinstance(found, NoCertificate)
    assert found.problem.code == "path.no-anchor"
    world.first.values[MARIE] = [degenerate(below, SUB, CA)]
    found = world.find()
    assert isinstance(found, Certified)
    assert found.certificate.path == (ROOT.der, CA.der, SUB.der, below.der)
    assert len(found.certificate.revocation) == 3
    # what came along with her certificate helps nobody else
    paul = "paul@a.example"
    world.first.values[paul] = [SUB.issue("Paul", emails=(paul,)).der]
    assert isinstance(world.find(paul), NoCertificate)


def test_nothing_that_came_along_is_an_anchor(world: World) -> None:
    evil_sub = EVIL.sub("Issuing CA", ca_key=key("evil"))
    world.crls(EVIL, evil_sub)
    for ca in (EVIL, evil_sub):
        world.first.values[MARIE] = [degenerate(ca.issue("M", emails=(MARIE,)), EVIL, evil_sub)]
        assert isinstance(world.find(), NoCertificate)


def test_a_chain_without_a_crl_is_cannot_tell(pki_database: Database) -> None:
    world = World(pki_database)
    sub = CA.sub("Another sub CA")
    world.first.values[MARIE] = [degenerate(marie(sub), sub)]
    found = world.find()
    world.finder.close()
    assert isinstance(found, CannotTell)
    assert found.problem.code == "revocation.missing"


# -- capabilities ----------------------------------------------------------------------------------


def test_capabilities_she_signed_are_believed(world: World) -> None:
    person = marie()
    world.first.values[MARIE] = [person.der]
    assert world.treatment().cipher is Cipher.AES_256_CBC
    world.first.values[MARIE] = [person.der, announced(person)]
    chosen = world.treatment()
    assert chosen.cipher is Cipher.AES_256_GCM
    assert chosen.reason.code == "crypto.capabilities"


def test_a_certificate_for_signing_beside_the_one_for_encryption(world: World) -> None:
    encrypting = marie(key_usage=usage("key_encipherment"))
    signing = marie(key_usage=usage("digital_signature"), subject_key=key("signing"))
    value = announced(signing, encrypting)
    world.first.values[MARIE] = [value]
    found = world.find()
    assert isinstance(found, Certified)
    assert found.certificate.der == encrypting.der
    assert found.certificate.capabilities == (AES_256_GCM,)
    assert found.certificate.purpose is Purpose.ENCRYPT


@pytest.mark.parametrize("how", ["forged", "stranger", "other person", "expired", "may not sign"])
def test_capabilities_that_are_not_hers_are_not_believed_and_that_is_said(
    world: World, how: str
) -> None:
    person = marie(key_usage=usage("key_encipherment") if how == "may not sign" else None)
    second = key("signing")
    value = {
        "forged": lambda: announced(person, signer=Issued(person.cert, second)),
        "stranger": lambda: announced(
            EVIL.issue("Marie", emails=(MARIE,), subject_key=second), person
        ),
        "other person": lambda: announced(
            CA.issue("Paul", emails=("paul@a.example",), subject_key=second), person
        ),
        "expired": lambda: announced(marie(subject_key=second, end=NOW - DAY), person),
        "may not sign": lambda: announced(person),
    }[how]()
    world.first.values[MARIE] = [value]
    found = world.find()
    assert isinstance(found, Certified)
    assert found.certificate.der == person.der
    assert found.certificate.capabilities == ()
    assert "signature.capabilities" in [one.problem.code for one in found.refused]


def test_nobody_talks_us_down(world: World) -> None:
    """S21: who announces weak ciphers only is treated as unknown."""
    person = marie()
    world.first.values[MARIE] = [announced(person, capabilities=(DES_EDE3_CBC,))]
    assert world.treatment().cipher is Cipher.AES_256_CBC


def test_signed_capabilities_count_more_than_those_in_the_certificate(world: World) -> None:
    stated = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.2.840.113549.1.9.15"),
        bytes.fromhex("300d300b0609608648016503040116"),  # aes192-CBC
    )
    person = marie(extra=((stated, False),))
    world.first.values[MARIE] = [announced(person)]
    assert world.treatment().cipher is Cipher.AES_256_GCM


def test_certificates_made_to_be_tried_in_vain_cost_a_second_and_are_no_answer(
    world: World,
) -> None:
    """Whoever runs a directory gives Marie forty of them, each with twelve CAs of one name."""
    keys = [ec.generate_private_key(ec.SECP521R1()) for _ in range(12)]
    tower = [
        Authority(EVIL.cert, by).sub("Evil", ca_key=own)  # type: ignore[arg-type]
        for own, by in pairwise([*keys, keys[0]])
    ]
    leaves = [
        Authority(EVIL.cert, keys[0], _serial=2000 + number).issue("Marie", emails=(MARIE,))
        for number in range(40)
    ]
    world.first.values[MARIE] = [degenerate(*leaves[at : at + 4], *tower) for at in range(0, 40, 4)]
    with at_most(1.5):
        found = world.find()
    assert isinstance(found, CannotTell)  # what was not looked at might be good: no clear text
    assert found.problem.code == "limits.path"
