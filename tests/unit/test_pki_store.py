"""Certificates and CRLs in the database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.database import Database
from pki import crl_store, store
from pki.crl import Crl
from pki.errors import CertificateRefused, CrlRefused
from pki.trust import StoredTrust
from tests.pki_maker import DAY, NOW, root


def test_import_find_remove(pki_database: Database) -> None:
    marie = root().issue("Marie", emails=("Marie@A.example", "m.curie@a.example"))
    with pki_database.write() as conn:
        for _ in range(2):  # the second time nothing is added
            added = store.import_certificate(
                conn, marie.der, by="anne", source="marie.pem", moment=NOW
            )
            assert added == ("marie@a.example", "m.curie@a.example")
    with pki_database.read() as conn:
        rows = store.list_certificates(conn)
        assert [(row.address, row.added_by, row.added_at) for row in rows] == [
            ("m.curie@a.example", "anne", NOW),
            ("marie@a.example", "anne", NOW),
        ]
        found = store.candidates_for(conn, ["marie@a.example", "paul@a.example"])
        assert [one.der for one in found["marie@a.example"]] == [marie.der]
        assert "paul@a.example" not in found
        assert found["marie@a.example"][0].source == "store (marie.pem)"
        before = store.version(conn)
    with pki_database.write() as conn:
        assert store.remove_certificate(conn, marie.sha256, by="anne", moment=NOW) == 2
        assert store.remove_certificate(conn, marie.sha256, by="anne", moment=NOW) == 0
    with pki_database.read() as conn:
        assert store.candidates_for(conn, ["marie@a.example"]) == {}
        assert store.list_certificates(conn, "MARIE@a.example") == []
        assert store.version(conn) != before


def test_import_only_under_addresses_it_contains(pki_database: Database) -> None:
    marie = root().issue("Marie", emails=("marie@a.example",))
    bare = root().issue("Nobody").der
    with pki_database.write() as conn:
        with pytest.raises(CertificateRefused, match=r"is for marie@a\.example, not for paul"):
            store.import_certificate(
                conn, marie.der, addresses=("paul@a.example",), by="a", source="", moment=NOW
            )
        with pytest.raises(CertificateRefused, match="contains no mail address"):
            store.import_certificate(conn, bare, by="a", source="", moment=NOW)
        with pytest.raises(CertificateRefused, match="not a usable certificate"):
            store.import_certificate(conn, b"garbage", by="a", source="", moment=NOW)


def test_crls_are_kept_and_never_go_back(pki_database: Database) -> None:
    ca = root()
    with pki_database.write() as conn:
        five = ca.crl(5)
        assert crl_store.store_crl(conn, Crl(five, "http://a/"), moment=NOW)
        assert not crl_store.store_crl(conn, Crl(five), moment=NOW)
        with pytest.raises(CrlRefused, match=r"no\. 4 of .* is older than no\. 5"):
            crl_store.store_crl(conn, Crl(ca.crl(4)), moment=NOW)
        assert crl_store.store_crl(conn, Crl(ca.crl(6)), moment=NOW + DAY)
        # One that we had and that was replaced: a source that still serves it is behind.
        with pytest.raises(CrlRefused, match=r"no\. 5 of .* is older than no\. 6"):
            crl_store.store_crl(conn, Crl(five), moment=NOW + DAY)
    with pki_database.read() as conn:
        assert [row.number for row in crl_store.list_crls(conn)].count(6) == 1
        assert {row.number for row in crl_store.list_crls(conn)} == {5, 6}
        current = crl_store.current_crls(conn, {})
        assert [crl.number for crl in current] == [6]
        again = crl_store.current_crls(conn, {crl.sha256: crl for crl in current})
        assert again[0] is current[0]
        assert crl_store.crl_bytes(conn, current[0].sha256) == current[0].der


def test_trust_sees_a_new_crl(pki_database: Database) -> None:
    ca = root()
    trust = StoredTrust(pki_database.read, anchors=[ca.anchor()], poll=timedelta(hours=1))
    first = trust.current()
    assert trust.refresh() is first
    with pki_database.write() as conn:
        crl_store.store_crl(conn, Crl(ca.crl(1)), moment=NOW)
    assert trust.current() is first  # within the poll interval
    second = trust.refresh()
    assert second.version != first.version
    assert [crl.number for crls in second.material.crls.values() for crl in crls] == [1]
