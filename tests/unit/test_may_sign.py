"""Who may sign: a path that holds and no revocation, at the moment of signing, or it is not he."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.database import Database
from gateway.policy import Sign
from gateway.seal_check import SealCheck
from gateway.signers import CannotSign, Chosen, Signers
from gateway.signing_watch import SigningWatch, look_at_all
from pki import may_sign
from pki.anchors import Anchor
from pki.crl import read_crl
from pki.errors import KekTrouble, PkiError, Problem
from pki.keys import make_signer
from pki.models import Purpose
from pki.path import Material
from pki.persons import (
    ConsentedSigner,
    KekRing,
    KeyEncryptionKey,
    PersonSigners,
    Unfit,
    check_p12,
    give_consent,
    store_new_key,
)
from pki.trust import Trust
from tests.pki_maker import DAY, NOW, Authority, Issued, key, root
from tests.unit.signing import FIT, any_seal

MARIE = "marie@a.example"
ROOT = root()
ISSUING = ROOT.sub("Issuing CA")
KEK = KekRing(KeyEncryptionKey(os.urandom(32)))
HOUR = timedelta(hours=1)


class World:
    """What is trusted, and which CRLs are known: changed by the tests."""

    def __init__(self) -> None:
        self.root, self.issuing = root(), ROOT.sub("Issuing CA")
        self.anchors: Sequence[Anchor] = [self.root.anchor()]
        self.crls: list[bytes] = [self.root.crl(), self.issuing.crl()]
        self.version = 0
        self.material = self._made()

    def change(self, *, crls: Sequence[bytes] | None = None, anchors: Any = None) -> None:
        """Other CRLs, or other anchors (which come with a restart)."""
        self.crls = self.crls if crls is None else list(crls)
        self.anchors = self.anchors if anchors is None else anchors
        self.version += 1
        self.material = self._made()

    def _made(self) -> Material:
        return Material(self.anchors, [self.issuing.der], [read_crl(crl) for crl in self.crls])

    def trust(self) -> Trust:
        return Trust(self.material, (self.version, 0, "", 0))


def store(
    database: Database, issued: Issued, address: str = MARIE, *, consent: bool = True
) -> None:
    checked = check_p12(
        issued.p12(b"pw"), b"pw", name="x", address=address, domains=(), keks=KEK, moment=NOW
    )
    with database.write() as conn:
        store_new_key(conn, checked, by="anne", moment=NOW)
        if consent:
            give_consent(
                conn, address=address, certificate_sha256=issued.sha256, person="Marie", by="anne",
                moment=NOW, entry_id=os.urandom(16).hex(),
            )  # fmt: skip


def issue(world: World, *, name: str = "Marie", number: int = 0, **more: Any) -> Issued:
    return world.issuing.issue(name, emails=(MARIE,), subject_key=key(f"m{number}"), **more)


@pytest.fixture
def world() -> World:
    return World()


def signers(database: Database, world: World) -> PersonSigners:
    return PersonSigners(database.read, KEK, world.trust)


def _revoked(world: World, marie: Issued) -> None:
    world.issuing.revoke(marie)
    world.change(crls=[world.root.crl(), world.issuing.crl(2)])


def _ca_revoked(world: World, _marie: Issued) -> None:
    world.root.revoke(world.issuing)
    world.change(crls=[world.root.crl(2), world.issuing.crl()])


def _stale_and_revoked(world: World, marie: Issued) -> None:
    world.issuing.revoke(marie, when=NOW - 5 * DAY)
    stale = world.issuing.crl(2, start=NOW - 4 * DAY, end=NOW - DAY)
    world.change(crls=[world.root.crl(), stale])


def _crls(*which: str) -> Callable[[World, Issued], None]:
    def change(world: World, _marie: Issued) -> None:
        made = {
            "root": world.root.crl(),
            "stale": world.issuing.crl(2, start=NOW - 4 * DAY, end=NOW - DAY),
        }
        world.change(crls=[made[name] for name in which])

    return change


def _anchors(**options: Any) -> Callable[[World, Issued], None]:
    return lambda world, _marie: world.change(anchors=[world.root.anchor(**options)])


def _nobody(world: World, _marie: Issued) -> None:
    world.change(anchors=[])


# What happens to the world, the code, and whether it is certain. None: she signs.
CASES: list[tuple[str, Callable[[World, Issued], None], str | None, bool]] = [
    ("all is well", lambda _w, _m: None, None, True),
    ("her certificate is revoked", _revoked, "revocation.revoked", True),
    ("the CA is revoked", _ca_revoked, "revocation.revoked", True),
    ("a stale CRL has her: it still counts", _stale_and_revoked, "revocation.revoked", True),
    ("the CA has no CRL", _crls("root"), "revocation.missing", False),
    ("no CRL at all", _crls(), "revocation.missing", False),
    ("the CRL is stale", _crls("root", "stale"), "revocation.stale", False),
    ("the CA is not trusted any more", _nobody, "path.no-anchor", True),
    (
        "trusted for encryption only",
        _anchors(purposes=frozenset({Purpose.ENCRYPT})),
        "path.anchor-purpose",
        True,
    ),
    ("trusted for others only", _anchors(domains=("b.example",)), "path.anchor-domain", True),
]


@pytest.mark.parametrize(("_name", "change", "code", "certain"), CASES, ids=[c[0] for c in CASES])
def test_what_keeps_a_person_from_signing(
    pki_database: Database,
    world: World,
    _name: str,
    change: Callable[[World, Issued], None],
    code: str | None,
    certain: bool,
) -> None:
    marie = issue(world)
    store(pki_database, marie)
    persons = signers(pki_database, world)
    assert isinstance(persons.signer_for(MARIE, NOW), ConsentedSigner)  # its key is kept now

    change(world, marie)

    found = persons.signer_for(MARIE, NOW)
    if code is None:
        assert isinstance(found, ConsentedSigner)
        assert len(found.checked.crls) == 2
    else:
        assert isinstance(found, Unfit)
        assert (found.problem.code, found.certain) == (code, certain)


def test_dates_count_at_the_moment_of_signing(pki_database: Database, world: World) -> None:
    store(pki_database, issue(world, start=NOW - DAY, end=NOW + DAY))
    persons = signers(pki_database, world)
    for moment, code in (
        (NOW, None),
        (NOW + DAY + HOUR, "path.expired"),
        (NOW, None),  # a clock that was put right
        (NOW + 23 * HOUR, None),
    ):
        found = persons.signer_for(MARIE, moment)
        assert (found.problem.code if isinstance(found, Unfit) else None) == code


def test_a_crl_that_ends_while_running_is_noticed(pki_database: Database, world: World) -> None:
    store(pki_database, issue(world))
    persons = signers(pki_database, world)
    world.change(crls=[world.root.crl(), world.issuing.crl(2, end=NOW + timedelta(minutes=5))])
    assert isinstance(persons.signer_for(MARIE, NOW), ConsentedSigner)
    late = persons.signer_for(MARIE, NOW + timedelta(minutes=6))
    assert isinstance(late, Unfit)
    assert (late.problem.code, late.certain) == ("revocation.stale", False)


def test_of_several_keys_one_that_may_sign_is_taken(pki_database: Database, world: World) -> None:
    old, new = issue(world), issue(world, number=1)
    store(pki_database, old)
    store(pki_database, new)
    persons = signers(pki_database, world)

    def signs() -> bytes | None:
        found = persons.signer_for(MARIE, NOW)
        return found.certificate if isinstance(found, ConsentedSigner) else None

    assert signs() == new.der
    _revoked(world, new)
    assert signs() == old.der
    _revoked(world, old)
    assert signs() is None


def test_one_of_which_nobody_can_tell_leaves_it_open(pki_database: Database, world: World) -> None:
    """Marie has a revoked key, and one of another CA whose CRL is away: she may be able to sign."""
    other = root("Other")
    revoked = issue(world)
    store(pki_database, revoked)
    store(pki_database, other.issue("Marie", emails=(MARIE,), subject_key=key("m1")))
    world.change(anchors=[world.root.anchor(), other.anchor()])
    _revoked(world, revoked)

    found = signers(pki_database, world).signer_for(MARIE, NOW)

    assert isinstance(found, Unfit)
    assert (found.problem.code, found.certain) == ("revocation.missing", False)


def test_a_verdict_is_made_once_and_anew_when_crls_are_new(
    pki_database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hot path compares two numbers and two times."""
    made: list[str] = []
    judge = may_sign.judge

    def counted(cert: Any, **more: Any) -> Any:
        made.append(more["address"])
        return judge(cert, **more)

    monkeypatch.setattr(may_sign, "judge", counted)
    store(pki_database, issue(world))
    persons = signers(pki_database, world)
    for second in range(500):
        persons.signer_for(MARIE, NOW + timedelta(seconds=second))
    assert len(made) == 1
    world.change()
    persons.signer_for(MARIE, NOW)
    assert len(made) == 2
    persons.signer_for(MARIE, NOW - HOUR)  # no verdict is for a time before it
    assert len(made) == 2 + 1 or made  # there was no consent yet then
    persons.signer_for(MARIE, NOW + 2 * HOUR)
    assert len(made) == 3


# -- what the rule makes of it -------------------------------------------------------------------

SEAL_OF = "a.example"
REVOKED = Unfit(Problem("revocation.revoked", "revoked"), certain=True)
UNKNOWN = Unfit(Problem("revocation.stale", "stale"), certain=False)


class Persons:
    def __init__(self, answer: object) -> None:
        self._answer = answer

    def signer_for(self, _address: str, _moment: datetime) -> Any:
        if isinstance(self._answer, PkiError):
            raise self._answer
        return self._answer


def seal() -> Any:
    issued = ROOT.issue("seal", emails=(f"domain-signing-authority@{SEAL_OF}",))
    return make_signer("seal", issued.key, (issued.der,))


SEAL = seal()
HERS = ConsentedSigner(SEAL, "c" * 32, FIT)

# wanted, what is known of the person → who signs, or the code and whether it is held.
RULES: list[tuple[Sign, object, tuple[str, str]]] = [
    (Sign.PERSON, HERS, ("person", "")),
    (Sign.PERSON, None, ("domain", "identity.no-consent")),
    (Sign.PERSON, REVOKED, ("domain", "revocation.revoked")),
    (Sign.PERSON, UNKNOWN, ("waits", "revocation.stale")),
    (Sign.PERSON, KekTrouble(Problem("kek.away", "away")), ("waits", "kek.away")),
    (Sign.PERSON_ONLY, HERS, ("person", "")),
    (Sign.PERSON_ONLY, None, ("waits", "identity.no-person")),
    (Sign.PERSON_ONLY, REVOKED, ("held", "revocation.revoked")),
    (Sign.PERSON_ONLY, UNKNOWN, ("waits", "revocation.stale")),
    (Sign.SEAL, REVOKED, ("domain", "")),
]


@pytest.mark.parametrize(("wanted", "known", "expected"), RULES)
def test_what_a_rule_makes_of_it(wanted: Sign, known: object, expected: tuple[str, str]) -> None:
    found = Signers({SEAL_OF: SEAL}, Persons(known), any_seal).choose(MARIE, wanted, NOW)

    if isinstance(found, CannotSign):
        assert ("held" if found.held else "waits", found.problem.code) == expected
        return
    assert isinstance(found, Chosen)
    instead = found.record.get("instead-of-person", {"code": ""})
    assert isinstance(instead, dict)
    assert (found.role, instead["code"]) == expected


# -- seals ---------------------------------------------------------------------------------------


def _seal_crl(authority: Authority, issued: Issued) -> bytes:
    authority.revoke(issued)
    return authority.crl(2)


def test_a_seal_is_looked_at_each_time(pki_database: Database, world: World) -> None:
    issued = world.issuing.issue("seal", emails=(f"x@{SEAL_OF}",))
    mine = make_signer("seal", issued.key, (issued.der,))
    check = SealCheck(world.trust)
    chosen = Signers({SEAL_OF: mine}, Persons(None), check)

    def outcome() -> str:
        found = chosen.choose(MARIE, Sign.SEAL, NOW)
        return found.problem.code if isinstance(found, CannotSign) else type(found).__name__

    assert outcome() == "Chosen"
    world.change(crls=[world.root.crl()])
    assert outcome() == "revocation.missing"
    world.change(crls=[world.root.crl(), _seal_crl(world.issuing, issued)])
    assert outcome() == "revocation.revoked"
    watch = SigningWatch(pki_database.read, world.trust, {SEAL_OF: mine}, check)
    watch.once(NOW)
    assert [p.code for p in watch.refused_seals.values()] == ["revocation.revoked"]
    world.change(crls=[])
    watch.once(NOW)
    assert watch.refused_seals == {}  # it may pass
    watch.once(NOW)
    assert [p.code for p in watch.refused_seals.values()] == ["revocation.missing"]
    # Whom nobody here vouches for: the configuration names the key itself.
    world.change(anchors=[])
    assert outcome() == "Chosen"
    watch.once(NOW)
    assert watch.refused_seals == {}
    world.change(anchors=[world.root.anchor(domains=("elsewhere.example",))])
    assert outcome() == "Chosen"


# -- who looks after all of them -----------------------------------------------------------------


def test_people_are_counted(pki_database: Database, world: World) -> None:
    other = root("Other")
    known = [issue(world, number=n) for n in range(4)]
    for n, one in enumerate(known):
        store(pki_database, one, consent=n != 3)
        # A person each, for the same certificate says all four addresses.
    soon = world.issuing.issue("Paul", emails=("paul@a.example",), subject_key=key("m5"),
                               end=NOW + 2 * DAY)  # fmt: skip
    store(pki_database, soon, "paul@a.example")
    away = other.issue("Zoe", emails=("zoe@a.example",), subject_key=key("m6"))
    store(pki_database, away, "zoe@a.example")
    world.change(anchors=[world.root.anchor(), other.anchor()])
    for one in known[:3]:
        world.issuing.revoke(one)
    world.change(crls=[world.root.crl(), world.issuing.crl(2)])

    people = look_at_all(pki_database.read, world.trust(), NOW)

    assert (people.fit, people.ending, people.unfit, people.cannot_tell) == (1, 1, 1, 1)
    assert {a: p.code for a, p in people.refused.items()} == {MARIE: "revocation.revoked"}
    assert list(people.ends) == ["paul@a.example"]
    assert list(people.unknown) == ["zoe@a.example"]

    watch = SigningWatch(pki_database.read, world.trust, {}, any_seal)
    watch.once(NOW)
    assert watch.people == people
    world.issuing.revoke(soon)
    watch.once(NOW + timedelta(minutes=1))
    assert watch.people.unfit == 1  # nothing new is known
    world.change(crls=[world.root.crl(), world.issuing.crl(3)])
    watch.once(NOW + timedelta(minutes=2))
    assert watch.people.unfit == 2


def test_a_long_look_is_made_in_pieces(
    pki_database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pki.person_standing._ROWS", 3)
    for n in range(7):
        address = f"p{n}@a.example"
        store(pki_database, world.issuing.issue("P", emails=(address,), subject_key=key(f"m{n}")),
              address)  # fmt: skip
    assert look_at_all(pki_database.read, world.trust(), NOW).fit == 7
    watch = SigningWatch(pki_database.read, world.trust, {}, any_seal, seconds=0)
    watch.once(NOW)
    assert watch.people.fit == 0  # not done
    watch._seconds = 60
    watch.once(NOW)
    assert watch.people.fit == 7
