"""Who is refused at RCPT: whom no mail could reach by what is stored, today or later."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mlkem
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.database import Database
from gateway.hopeless import Hopeless
from gateway.policy import Crypto, Decision, Hold, Levels, Mail, Partner, Policy, settle
from pki import store
from pki.errors import Problem
from pki.models import NoCertificate
from tests.pki_maker import NOW, root, usage
from tests.unit.test_policy import rule
from tests.unit.test_smime_hybrid import kem_of

MARIE, SENDER = "marie@a.example", "x@int.example"
CLASSICAL, KEM = "classical", "kem"
MUST = rule("must", "*", "*", "required", "refuse")
AGREED = [Partner(("a.example",), Crypto.HYBRID)]


def stored(database: Database, *kinds: str) -> None:
    for kind in kinds:
        made = root().issue("Marie", emails=(MARIE,))
        if kind == KEM:
            made = root().issue(
                "Marie",
                emails=(MARIE,),
                subject_key=mlkem.MLKEM768PrivateKey.generate(),
                key_usage=usage("key_encipherment"),
            )
        with database.write() as conn:
            store.import_certificate(conn, made.der, by="anne", source="", moment=NOW)


def refused(database: Database, policy: Policy, *, directories: tuple[str, ...] = ()) -> bool:
    return Hopeless(policy, directories, database.read)(SENDER, MARIE)


@pytest.mark.parametrize(
    ("agreed", "kinds", "no"),
    [
        ([], [], True),
        ([], [CLASSICAL], False),
        ([], [KEM], True),
        ([], [CLASSICAL, KEM], False),
        (AGREED, [], True),
        # One of the two: the worker holds the mail until the other one is there.
        (AGREED, [CLASSICAL], False),
        (AGREED, [KEM], False),
        (AGREED, [CLASSICAL, KEM], False),
    ],
)
def test_an_ml_kem_certificate_counts_where_two_envelopes_are_agreed(
    agreed: list[Partner], kinds: list[str], no: bool, pki_database: Database
) -> None:
    stored(pki_database, *kinds)
    policy = Policy([MUST], agreed)
    assert refused(pki_database, policy) is no
    assert not refused(pki_database, policy, directories=("a.example",))


@pytest.mark.parametrize(
    ("rules", "agreed", "no"),
    [
        (Levels((replace(MUST, crypto=Crypto.HYBRID),)), [], False),
        # What a rule says comes before what was agreed.
        (Levels((replace(MUST, crypto=Crypto.MODERN),)), AGREED, True),
        # A rule for others, or one that is never reached, changes nothing.
        (
            Levels((replace(rule("b", "*", "@b.example", "required"), crypto=Crypto.HYBRID), MUST)),
            [],
            True,
        ),
        (Levels((MUST, replace(MUST, name="later", crypto=Crypto.HYBRID))), [], True),
        (Levels((MUST,)), [Partner(("b.example",), Crypto.HYBRID)], True),
        # The author is not known at RCPT: any of his rules may ask for two.
        (
            Levels(
                (MUST,), {}, {"chief@int.example": (replace(MUST, name="c", crypto=Crypto.HYBRID),)}
            ),
            [],
            False,
        ),
    ],
)
def test_and_nowhere_else(
    rules: Levels, agreed: list[Partner], no: bool, pki_database: Database
) -> None:
    stored(pki_database, KEM)
    assert refused(pki_database, Policy(rules, agreed)) is no


def test_what_was_removed_counts_no_more(pki_database: Database) -> None:
    stored(pki_database, KEM)
    policy = Policy([MUST], AGREED)
    assert not refused(pki_database, policy)
    with pki_database.write() as conn:
        (row,) = store.list_certificates(conn, MARIE)
        store.remove_certificate(conn, row.sha256, by="anne", moment=NOW)
    assert refused(pki_database, policy)


def test_two_people_of_one_domain_may_be_under_two_rules(pki_database: Database) -> None:
    """What the store said for the one is remembered, and is no answer for the other."""
    stored(pki_database, KEM)
    policy = Policy(
        [
            replace(rule("two", "*", MARIE, "required"), crypto=Crypto.HYBRID),
            rule("must", "*", "*", "required"),
        ]
    )
    hopeless = Hopeless(policy, (), pki_database.read)
    for _ in range(2):
        assert not hopeless(SENDER, MARIE)
        assert hopeless(SENDER, "paul@a.example")


def test_the_worker_treats_him_alike(pki_database: Database) -> None:
    """With an ML-KEM certificate alone he is refused just where the worker would do with his mail
    what it does for people who have no certificate at all.
    """
    stored(pki_database, KEM)
    beside = Problem("algorithm.beside-only", "for a second envelope")
    alone = NoCertificate((), (), beside, kem_of(MARIE))
    nobody = NoCertificate((), (), beside)
    for said, agreed, without in product([None, *Crypto], [None, *Crypto], ["hold", "refuse"]):
        must = replace(rule("must", "*", "*", "required", without), crypto=said)
        policy = Policy([must], [] if agreed is None else [Partner(("a.example",), agreed)])
        decision = policy.decide(Mail(SENDER), MARIE)
        assert isinstance(decision, Decision)
        if refused(pki_database, policy):
            assert settle(decision, alone) == settle(decision, nobody)
        else:
            assert isinstance(settle(decision, alone), Hold)
            assert decision.crypto is Crypto.HYBRID


def test_an_rsa_certificate_with_an_ml_kem_key_in_an_extension_is_one(
    pki_database: Database,
) -> None:
    """subjectAltPublicKeyInfo (X.509 §9.8.2): who looks for the key in octets finds it there."""
    beside = mlkem.MLKEM768PrivateKey.generate().public_key()
    octets = beside.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.72"), octets)
    made = root().issue("Marie", emails=(MARIE,), extra=((extension, False),))
    with pki_database.write() as conn:
        store.import_certificate(conn, made.der, by="anne", source="", moment=NOW)

    assert not refused(pki_database, Policy([MUST], []))
