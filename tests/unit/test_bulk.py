"""Certificates of others in bulk: what is stored, refused, noticed; one bad entry stays one."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import mlkem
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from gateway.database import Database
from pki import store
from pki.bulk import Entry, Fate, Import, Outcome, entries_of_ldif, import_entries
from pki.crl import Crl
from pki.path import Material
from pki.recipient_keys import KeyChange, Sighting
from pki.suggestions import accept, waiting
from tests.pki_maker import DAY, NOW, Issued, key, root

MARIE, PAUL = "marie@a.example", "paul@a.example"


class Desk:
    """Where a person imports."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.root = root()
        self.ca = self.root.sub("Issuing CA")
        crls = [Crl(self.root.crl(1)), Crl(self.ca.crl(1))]
        self.material = Material([self.root.anchor()], [self.ca.der], crls)
        self.rule = KeyChange.RECORD
        self.told: list[tuple[str, str, bool]] = []

    def changed(self, _conn: sa.Connection, seen: Sequence[Sighting], held: bool) -> None:
        self.told += [(one.address, one.change.code if one.change else "", held) for one in seen]

    def bring(self, *entries: Entry, dry_run: bool = False) -> list[Outcome]:
        how = Import(
            write=self.database.write,
            material=self.material,
            by="anne",
            source="users.ldif",
            moment=NOW,
            key_change=lambda _: self.rule,
            changed=self.changed,
            dry_run=dry_run,
        )
        return list(import_entries(entries, how))

    def one(self, *ders: bytes, mail: tuple[str, ...] = ()) -> list[Outcome]:
        return self.bring(Entry(1, ders, mail, "mail"))

    def stored(self) -> list[tuple[str, str]]:
        with self.database.read() as conn:
            return [(one.address, one.sha256) for one in store.list_certificates(conn)]

    def issue(self, *emails: str, **options: object) -> Issued:
        return self.ca.issue("Person", emails=emails, **options)  # type: ignore[arg-type]


@pytest.fixture
def desk(pki_database: Database) -> Desk:
    return Desk(pki_database)


def test_stored_for_those_addresses_of_the_entry_that_are_in_it(desk: Desk) -> None:
    marie = desk.issue(MARIE, "m.curie@a.example")
    (found,) = desk.one(marie.der, mail=("Marie@A.EXAMPLE", "curie@elsewhere.example"))
    assert (found.fate, found.unusable, found.addresses) == (Fate.STORED, None, (MARIE,))
    assert desk.stored() == [(MARIE, marie.sha256)]
    (again,) = desk.one(marie.der, mail=(MARIE,))
    assert again.fate is Fate.KNOWN
    assert len(desk.stored()) == 1


def test_a_certificate_of_somebody_else_is_refused_in_the_words_of_the_list(desk: Desk) -> None:
    (found,) = desk.one(desk.issue(MARIE).der, mail=(PAUL,))
    assert found.fate is Fate.REFUSED
    assert found.problem is not None
    assert found.problem.text == (f"certificate for {MARIE} does not contain mail attribute {PAUL}")
    assert desk.stored() == []


def test_one_bad_entry_among_many_stops_nothing(desk: Desk) -> None:
    good = [desk.issue(f"p{number}@a.example") for number in range(5)]
    entries = [Entry(n, (one.der,), (), "mail") for n, one in enumerate(good, 1)]
    entries.insert(2, Entry(99, (b"\x30\x03\x02\x01\x01",), (PAUL,), "mail"))
    found = desk.bring(*entries)
    assert [one.fate for one in found].count(Fate.STORED) == 5
    assert [one.number for one in found if one.fate is Fate.REFUSED] == [99]


def test_what_cannot_be_used_now_is_stored_and_named(desk: Desk) -> None:
    expired = desk.issue(MARIE, start=NOW - 90 * DAY, end=NOW - DAY)
    stranger = root("Stranger").issue("Paul", emails=(PAUL,))
    old, unknown = desk.bring(Entry(1, (expired.der,)), Entry(2, (stranger.der,)))
    assert old.fate is unknown.fate is Fate.STORED
    assert old.unusable is not None
    assert unknown.unusable is not None
    assert (old.unusable.code, unknown.unusable.code) == ("path.expired", "path.no-anchor")


def test_a_weak_key_is_not_even_stored(desk: Desk) -> None:
    weak = desk.issue(MARIE, subject_key=key("weak", "rsa1024"))
    (found,) = desk.one(weak.der, mail=(MARIE,))
    assert found.fate is Fate.REFUSED
    assert found.problem is not None
    assert found.problem.code == "algorithm.key"
    assert desk.stored() == []


def test_a_pkcs7_brings_its_chain(desk: Desk) -> None:
    sub = desk.ca.sub("Department CA")
    marie = sub.issue("Marie", emails=(MARIE,))
    crls = [Crl(desk.root.crl(1)), Crl(desk.ca.crl(1)), Crl(sub.crl(1))]
    desk.material = Material([desk.root.anchor()], [desk.ca.der], crls)
    bundle = pkcs7.serialize_certificates([marie.cert, sub.cert, desk.ca.cert], Encoding.DER)
    (found,) = desk.one(bundle, mail=(MARIE,))
    assert (found.fate, found.unusable) == (Fate.STORED, None)
    with desk.database.read() as conn:
        (candidate,) = store.candidates_for(conn, [MARIE])[MARIE]
    assert candidate.chain == (sub.der,)  # what the configuration knows is not stored again


def test_another_key_is_recorded_and_used(desk: Desk) -> None:
    desk.one(desk.issue(MARIE).der, mail=(MARIE,))
    other = desk.issue(MARIE, subject_key=key("other"))
    (found,) = desk.one(other.der, mail=(MARIE,))
    assert found.fate is Fate.STORED
    assert [one.code for one in found.changes] == ["identity.key-changed"]
    assert desk.told == [(MARIE, "identity.key-changed", False)]
    again = desk.issue(MARIE, subject_key=key("other"))  # renewed with that key
    (renewed,) = desk.one(again.der, mail=(MARIE,))
    assert renewed.changes == ()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_an_ml_kem_key_beside_the_other_one_is_no_change(
    desk: Desk, turned: bool, together: bool
) -> None:
    desk.rule = KeyChange.HOLD
    second = desk.issue(MARIE, subject_key=mlkem.MLKEM768PrivateKey.generate())
    both = [desk.issue(MARIE), second]
    entries = [Entry(n, (one.der,)) for n, one in enumerate(both[::-1] if turned else both)]
    lots = [entries] if together else [[one] for one in entries]
    found = [one for lot in lots for one in desk.bring(*lot)]
    assert [(one.fate, one.changes, one.unusable) for one in found] == [(Fate.STORED, (), None)] * 2
    assert all(not change for _, change, _ in desk.told)


def test_another_issuer_of_the_same_key_is_a_change_too(desk: Desk) -> None:
    desk.one(desk.issue(MARIE).der, mail=(MARIE,))
    other = desk.root.sub("Other CA").issue("Marie", emails=(MARIE,))
    (found,) = desk.one(other.der, mail=(MARIE,))
    assert [one.code for one in found.changes] == ["identity.issuer-changed"]


def test_another_key_waits_for_a_person_by_policy(desk: Desk) -> None:
    first = desk.issue(MARIE)
    desk.one(first.der, mail=(MARIE,))
    desk.rule = KeyChange.HOLD
    other = desk.issue(MARIE, subject_key=key("other"))
    (found,) = desk.one(other.der, mail=(MARIE,))
    assert found.fate is Fate.HELD
    assert desk.stored() == [(MARIE, first.sha256)]
    desk.one(other.der, mail=(MARIE,))
    assert desk.told == [(MARIE, "identity.key-changed", True)]  # once
    with desk.database.write() as conn:
        (one,) = waiting(conn)
        assert accept(conn, one, by="bert", moment=NOW)
        assert not accept(conn, one, by="bert", moment=NOW)
    assert (MARIE, other.sha256) in desk.stored()
    (known,) = desk.one(other.der, mail=(MARIE,))
    assert known.fate is Fate.KNOWN


def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    desk.rule = KeyChange.HOLD
    (found,) = desk.bring(Entry(1, (desk.issue(MARIE).der,)), dry_run=True)
    assert found.fate is Fate.STORED
    assert desk.stored() == []
    desk.one(desk.issue(MARIE).der)
    other = desk.issue(MARIE, subject_key=key("other"))
    (held,) = desk.bring(Entry(1, (other.der,)), dry_run=True)
    assert held.fate is Fate.HELD
    with desk.database.read() as conn:
        assert waiting(conn) == []


def test_entries_of_ldif_with_every_name_of_an_address(desk: Desk) -> None:
    marie = desk.issue(MARIE, "m1@a.example", "m2@a.example", "m3@a.example")
    text = (
        "dn: ou=people\nobjectClass: organizationalUnit\n\n"
        f"dn: cn=Marie\nmail: {MARIE}\nmailAlternateAddress: m1@a.example\n"
        "proxyAddresses: SMTP:m2@a.example\nproxyAddresses: X400:m3@a.example\n"
        f"userSMIMECertificate;binary:: {base64.b64encode(marie.der).decode()}\n"
        f"userCertificate;binary:: {base64.b64encode(marie.der).decode()}\n\n"
        "dn: cn=Paul\nmail: paul@justice.example\n"
    )
    (entry, paul) = entries_of_ldif(io.BytesIO(text.encode()))
    assert entry.number == 2
    (found,) = desk.bring(entry)
    assert found.addresses == (MARIE, "m1@a.example", "m2@a.example")
    (without,) = desk.bring(paul)
    assert (without.fate, without.addresses) == (Fate.WITHOUT, ("paul@justice.example",))
