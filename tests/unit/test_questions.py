"""Authorities that nobody knows: asked once each, bounded, never trusted; on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway import unknown as unknown_module
from gateway.database import Database
from gateway.unknown import Unknown
from pki import questions
from pki.certificate import ParsedCertificate
from pki.finder import CertificateFinder
from pki.models import NoCertificate
from pki.questions import Met, Place, count_open, dismiss, meet, park
from pki.store import import_certificate
from pki.trust import StoredTrust
from tests.pki_maker import DAY, NOW, Authority, Issued, root

PAUL = "paul@partner.example"


def met(
    person: Issued, *above: Authority, place: Place = Place.DIRECTORY, address: str = PAUL
) -> Met:
    chain = [one.der for one in above]
    return meet(
        ParsedCertificate(person.der), chain, place=place, source="a directory", address=address
    )


def asked(database: Database) -> list[questions.Question]:
    with database.read() as conn:
        return questions.questions(conn)


def test_an_authority_is_one_question_however_often_it_is_met(database: Database) -> None:
    ca = root("Partner Root", kind="ec")
    paul, marie = (ca.issue(name, emails=(PAUL,), kind="ec") for name in ("Paul", "Marie"))
    with database.write() as conn:
        assert park(conn, met(paul), moment=NOW)
        assert park(conn, met(marie), moment=NOW + DAY, times=3)

    (question,) = asked(database)

    assert (question.times, question.first_at, question.last_at) == (4, NOW, NOW + DAY)
    assert question.name == ca.cert.subject.rfc4514_string()
    assert question.certificate == paul.der
    assert question.above == ()


def test_what_came_along_is_evidence_in_order(database: Database) -> None:
    top = root("Partner Root", kind="ec")
    middle = top.sub("Partner CA")
    paul = middle.issue("Paul", emails=(PAUL,), kind="ec")
    stranger = root("Somebody Else", kind="ec")
    with database.write() as conn:
        park(conn, met(paul, stranger, top, middle), moment=NOW)

    (question,) = asked(database)

    assert question.above == (middle.der, top.der)
    assert question.name == top.cert.subject.rfc4514_string()


def test_a_forged_root_of_the_same_name_is_another_question(database: Database) -> None:
    real = root("Partner Root", kind="ec")
    fake = _self_signed("Partner Root", "forged key")
    one = real.issue("Paul", emails=(PAUL,), kind="ec")
    other = fake.issue("Paul", emails=(PAUL,), kind="ec")
    with database.write() as conn:
        park(conn, met(one, real), moment=NOW)
        park(conn, met(other, fake), moment=NOW)

    assert len(asked(database)) == 2


def _self_signed(name: str, key_name: str) -> Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    from tests.pki_maker import dn, key

    own = key(key_name, "ec")
    builder = (
        x509.CertificateBuilder()
        .subject_name(dn(name))
        .issuer_name(dn(name))
        .public_key(own.public_key())
        .serial_number(7)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 100 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    )
    return Authority(builder.sign(own, hashes.SHA256()), own)


def test_strangers_fill_their_own_room_and_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "MOST_OPEN", 3)
    ours = root("Our Partner", kind="ec").issue("Paul", emails=(PAUL,), kind="ec")
    strangers = [
        root(f"Stranger {n}", kind="ec").issue("X", emails=("x@x.example",), kind="ec")
        for n in range(6)
    ]
    with database.write() as conn:
        came = [park(conn, met(one, place=Place.MAIL), moment=NOW) for one in strangers]
        assert came == [True] * 3 + [False] * 3
        assert park(conn, met(ours, place=Place.DIRECTORY), moment=NOW)
        assert count_open(conn) == 4
        first = questions.questions(conn)[0]
        assert dismiss(conn, first.id, by="anna", why="a stranger", moment=NOW)
        assert not dismiss(conn, first.id, by="anna", why="again", moment=NOW)
        assert park(conn, met(strangers[5], place=Place.MAIL), moment=NOW)  # there is room again


def test_a_thousand_times_is_few_writes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = met(root("Partner Root", kind="ec").issue("Paul", emails=(PAUL,), kind="ec"))
    writes = []

    def write():  # type: ignore[no-untyped-def]
        writes.append(1)
        return database.write()

    tell = Unknown(write, lambda: NOW)
    for _ in range(1000):
        tell([one])
    assert len(writes) == 1
    monkeypatch.setattr(unknown_module, "_AGAIN", 0.0)
    tell([one])

    (question,) = asked(database)
    assert question.times == 1001


def test_a_look_up_asks_and_trusts_nothing(database: Database) -> None:
    ca = root("Partner Root", kind="ec")
    paul = ca.issue("Paul", emails=(PAUL,), kind="ec")
    with database.write() as conn:
        import_certificate(conn, paul.der, by="test", source="a test", moment=NOW)
    trust = StoredTrust(database.read, anchors=(), poll=timedelta(0))
    finder = CertificateFinder(
        read=database.read,
        trust=trust,
        directories=(),
        unknown=Unknown(database.write, lambda: NOW),
    )

    found = finder.find(PAUL, moment=NOW)
    finder.close()  # which waits for what is being written

    assert isinstance(found, NoCertificate)
    (question,) = asked(database)
    assert (question.place, question.address) == (Place.STORE, PAUL)
    assert trust.current().material.anchors == ()
