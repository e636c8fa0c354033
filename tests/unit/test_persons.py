"""Persons' keys: wrapped, bound, used only with consent."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.database import Database
from pki.errors import CertificateRefused, PrivateKeyError
from pki.models import SignatureScheme
from pki.persons import (
    CheckedKey,
    ConsentedSigner,
    KekRing,
    KeyEncryptionKey,
    PersonSigners,
    Unfit,
    check_p12,
    create_kek,
    give_consent,
    list_consents,
    list_keys,
    load_kek,
    store_new_key,
    withdraw_consent,
)
from pki.tables import person_keys
from tests.pki_maker import DAY, NOW, Issued, root, usage
from tests.unit.signing import trusting

MARIE = "marie@a.example"
CA = root()
ENTRY = "0123456789abcdef" * 2
KEK = KekRing(KeyEncryptionKey(os.urandom(32)))
TRUST = trusting(CA)


def person(address: str = MARIE, **options: object) -> Issued:
    return CA.issue("Marie", emails=(address,), **options)  # type: ignore[arg-type]


def store(database: Database, issued: Issued, address: str = MARIE) -> None:
    key = check(issued.p12(b"pw", CA.cert), address)
    with database.write() as conn:
        store_new_key(conn, key, by="anne", moment=NOW)


def check(data: bytes, address: str | None = MARIE, password: bytes = b"pw") -> CheckedKey:
    return check_p12(
        data, password, name="PKCS#12", address=address, domains=("a.example",), keks=KEK,
        moment=NOW,
    )  # fmt: skip


def consent(database: Database, issued: Issued, address: str = MARIE) -> None:
    with database.write() as conn:
        give_consent(
            conn,
            address=address,
            certificate_sha256=issued.sha256,
            person="Marie Curie",
            by="anne",
            moment=NOW,
            entry_id=ENTRY,
        )


def test_only_with_live_consent(pki_database: Database) -> None:
    marie = person()
    store(pki_database, marie)
    signers = PersonSigners(pki_database.read, KEK, TRUST)
    assert signers.signer_for(MARIE, NOW) is None
    consent(pki_database, marie)
    signer = signers.signer_for("Marie@A.example", NOW)
    assert isinstance(signer, ConsentedSigner)
    assert signer.certificate == marie.der
    assert signer.sign(b"x", SignatureScheme.RSA_PKCS1, "sha256")
    assert signer.consent == ENTRY
    assert signers.signer_for(MARIE, NOW - DAY) is None  # not yet given then
    assert signers.signer_for("paul@a.example", NOW) is None
    with pki_database.write() as conn:
        (ended,) = withdraw_consent(conn, address=MARIE, by="marie", moment=NOW + DAY)
        (record,) = list_consents(conn)
        assert record == ended
        assert withdraw_consent(conn, address=MARIE, by="marie", moment=NOW + DAY) == []
    assert signers.signer_for(MARIE, NOW + DAY) is None
    assert signers.signer_for(MARIE, NOW) is None  # a clock put back revives nothing
    assert (record.person, record.given_by, record.withdrawn_by) == ("Marie Curie", "anne", "marie")


def test_only_while_the_certificate_holds(pki_database: Database) -> None:
    marie = person(end=NOW + DAY)
    store(pki_database, marie)
    consent(pki_database, marie)
    signers = PersonSigners(pki_database.read, KEK, TRUST)
    assert isinstance(signers.signer_for(MARIE, NOW), ConsentedSigner)
    ended = signers.signer_for(MARIE, NOW + 2 * DAY)
    assert isinstance(ended, Unfit)
    assert (ended.problem.code, ended.certain) == ("path.expired", True)


def test_import_refuses(pki_database: Database) -> None:
    with pytest.raises(CertificateRefused, match=r"is for paul@a\.example, not for marie"):
        store(pki_database, person("paul@a.example"))
    with pytest.raises(CertificateRefused, match="keyUsage lacks digitalSignature"):
        store(pki_database, person(key_usage=usage("key_encipherment")))
    with pytest.raises(CertificateRefused, match="is valid from"):
        store(pki_database, person(end=NOW - DAY))
    with pytest.raises(CertificateRefused, match="rsa 1024"):
        store(pki_database, person(kind="rsa1024"))
    with pytest.raises(PrivateKeyError, match=r"the password for PKCS#12 is wrong"):
        check(person().p12(b"pw"), password=b"no")
    with pytest.raises(CertificateRefused, match=r"b\.example is not in one of our domains"):
        check(person("x@b.example").p12(b"pw"), "x@b.example")
    marie = person()
    store(pki_database, marie)
    with pytest.raises(PrivateKeyError, match="is stored already"):
        store(pki_database, marie)
    with pytest.raises(PrivateKeyError, match="no key for the certificate"):
        consent(pki_database, person())
    with pki_database.read() as conn:
        assert [one.address for one in list_keys(conn)] == [MARIE]


def test_a_row_cannot_be_moved_or_opened_by_another_key(pki_database: Database) -> None:
    """Who can write to the table must not make one person's key sign for another."""
    both = CA.issue("Both", emails=(MARIE, "paul@a.example"))
    store(pki_database, both)
    consent(pki_database, both)
    other = KekRing(KeyEncryptionKey(os.urandom(32)))
    with pytest.raises(PrivateKeyError, match="another key-encryption key"):
        PersonSigners(pki_database.read, other, TRUST).signer_for(MARIE, NOW)
    with pki_database.write() as conn:
        conn.execute(sa.update(person_keys).values(address="paul@a.example"))
    consent(pki_database, both, "paul@a.example")
    with pytest.raises(PrivateKeyError, match="was changed"):
        PersonSigners(pki_database.read, KEK, TRUST).signer_for("paul@a.example", NOW)


def test_the_database_holds_no_key_in_clear(pki_database: Database) -> None:
    marie = person()
    store(pki_database, marie)
    secret = marie.key.private_numbers().d  # type: ignore[union-attr]
    octets = secret.to_bytes((secret.bit_length() + 7) // 8, "big")
    with pki_database.read() as conn:
        rows = conn.execute(sa.select(person_keys)).all()
    stored = [value for row in rows for value in row if isinstance(value, bytes)]
    files = pki_database.folder.iterdir() if pki_database.folder else ()
    stored += [file.read_bytes() for file in files]
    assert len(stored) > 2
    assert not [one for one in stored if octets in one]


def test_key_file(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    made = create_kek(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_kek(path).name == made.name
    with pytest.raises(PrivateKeyError, match="File exists"):
        create_kek(path)
    path.chmod(0o640)
    with pytest.raises(PrivateKeyError, match="chmod 600"):
        load_kek(path)
    short = tmp_path / "short"
    short.write_bytes(b"x" * 31)
    short.chmod(0o600)
    with pytest.raises(PrivateKeyError, match="32 octets"):
        load_kek(short)
    with pytest.raises(PrivateKeyError, match="No such file"):
        load_kek(tmp_path / "absent")


def test_the_key_encryption_key_is_never_shown() -> None:
    octets = os.urandom(32)
    kek = KeyEncryptionKey(octets)
    assert octets.hex() not in repr(kek)
    with pytest.raises(TypeError):
        pickle.dumps(kek)
