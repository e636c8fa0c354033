"""What ends, as the database knows it: recipients' certificates, grace of CRLs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import mlkem

from gateway.database import Database
from gateway.expiry_watch import ExpiryWatch, grace_by_issuer
from pki.expiring import recipients_ending
from pki.path import Material
from pki.store import import_certificate, remove_certificate
from pki.trust import StoredTrust
from tests.pki_maker import DAY, NOW, Authority, Issued, root


def _store(database: Database, cert: Issued) -> None:
    with database.write() as conn:
        import_certificate(conn, cert.der, by="test", source="test", moment=NOW)


def _recipient(ca: Authority, who: str, days: int) -> Issued:
    return ca.issue(who, emails=(f"{who}@b.example",), end=NOW + days * DAY)


def test_only_the_last_certificate_of_a_recipient_counts(pki_database: Database) -> None:
    ca = root("Ends Root")
    for who, days in (
        ("soon", 5),
        ("renewed", 5),
        ("renewed", 300),
        ("later", 300),
        ("gone", -1),
        ("removed", 5),
    ):
        cert = _recipient(ca, who, days)
        _store(pki_database, cert)
        if who == "removed":
            with pki_database.write() as conn:
                remove_certificate(conn, cert.sha256, by="test", moment=NOW)
    with pki_database.read() as conn:
        found = recipients_ending(conn, moment=NOW, until=NOW + 7 * DAY)
    assert (found.known, found.ending, found.ended) == (4, 1, 1)
    assert found.ends == {"soon@b.example": NOW + 5 * DAY}


def test_an_ml_kem_certificate_hides_no_end(pki_database: Database) -> None:
    """Alone it is nothing to write to, however long it lasts."""
    ca = root("Ends Root")
    for size in (mlkem.MLKEM768PrivateKey, mlkem.MLKEM1024PrivateKey):
        _store(
            pki_database, ca.issue("soon", emails=("soon@b.example",), subject_key=size.generate())
        )
    with pki_database.read() as conn:
        found = recipients_ending(conn, moment=NOW, until=NOW + 7 * DAY)
        assert (found.known, found.ending) == (0, 0)
    _store(pki_database, _recipient(ca, "soon", 5))
    with pki_database.read() as conn:
        found = recipients_ending(conn, moment=NOW, until=NOW + 7 * DAY)
    assert (found.known, found.ending, found.ended) == (1, 1, 0)


def test_the_watch_counts_recipients_hourly(pki_database: Database) -> None:
    ca = root("Ends Root")
    trust = StoredTrust(pki_database.read, anchors=[ca.anchor(grace=DAY)])
    watch = ExpiryWatch(pki_database.read, trust.current, recipients=7 * DAY, persons=7 * DAY)
    watch.once(NOW)
    assert watch.ends.recipients.ending == 0
    _store(pki_database, _recipient(ca, "soon", 5))
    watch.once(NOW + timedelta(minutes=59))
    assert watch.ends.recipients.ending == 0
    watch.once(NOW + timedelta(minutes=61))
    assert watch.ends.recipients.ending == 1
    assert list(watch.ends.grace.values()) == [DAY]


def test_grace_is_that_of_the_anchor_above() -> None:
    one, other = root("Patient Root"), root("Strict Root")
    below, strict = one.sub("Below"), other.sub("Strict below")
    anchors = [one.anchor(grace=2 * DAY), replace(other.anchor(), name="other")]
    material = Material(anchors, [below.der, strict.der])
    found = grace_by_issuer(material, NOW)
    assert set(found.values()) == {2 * DAY}
    assert sorted(name.split("CN=")[1].split(",")[0] for name in found) == [
        "Below",
        "Patient Root",
    ]
