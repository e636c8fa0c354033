"""The index of a large CRL says what the CRL says, and a file or a row alone says nothing."""

from __future__ import annotations

import hashlib
import random
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.database import Database
from pki import crl_receive, crl_scan, crl_store
from pki.certificate import ParsedCertificate
from pki.crl import Crl
from pki.crl_entries import Entry, header_octets, revoked_certificates
from pki.crl_folder import CrlFolder
from pki.crl_index import IndexedEntries, write_index
from pki.crl_scan import Scan
from pki.der import element
from pki.errors import CrlRefused
from pki.fetch import FetchRules
from pki.keeper import CrlSource, SourceReport, keep_indexed, refresh_crls
from pki.names import name_key
from pki.tables import crls
from pki.trust import StoredTrust
from tests.pki_maker import DAY, NOW, Authority, dn, key, root

HOUR = timedelta(hours=1)
REASONS = [one for one in x509.ReasonFlags if one is not x509.ReasonFlags.remove_from_crl]
INDIRECT = (x509.IssuingDistributionPoint(None, None, False, False, None, True, False), True)


def revoked(
    serial: int, when: datetime = NOW, *extensions: tuple[x509.ExtensionType, bool]
) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.build()


def crl_of(entries: Iterable[x509.RevokedCertificate], *extra: Any) -> bytes:
    ca = root()
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.cert.subject)
    builder = builder.last_update(NOW).next_update(NOW + DAY)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical)
    builder._revoked_certificates = list(entries)  # one by one it copies the list each time
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.DER)


def many(count: int, seed: int) -> Iterator[x509.RevokedCertificate]:
    """Entries of all shapes that there are, most of them usual."""
    chance = random.Random(seed)
    for serial in {
        chance.getrandbits(chance.choice([7, 8, 63, 120, 127, 128, 159])) + 1 for _ in range(count)
    }:
        when = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(
            seconds=chance.randrange(30 * 365 * 86400)
        )
        extensions: list[tuple[x509.ExtensionType, bool]] = []
        if chance.random() < 0.6:
            reason = chance.choice(REASONS[1:])
            extensions.append((x509.CRLReason(reason), chance.random() < 0.01))
        if chance.random() < 0.05:
            invalid = (when - timedelta(days=chance.randrange(900))).replace(microsecond=0)
            extensions.append((x509.InvalidityDate(invalid), False))
        if chance.random() < 0.01:
            odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0")
            extensions.append((odd, False))
        if chance.random() < 0.01:
            when = chance.choice([when.replace(year=1955), when.replace(year=2055, day=3)])
        if chance.random() < 0.01:
            when = when.replace(year=2024, month=2, day=29)
        yield revoked(serial, when, *extensions)


def indexed(der: bytes, folder: Path, *, indirect: bool = False) -> IndexedEntries:
    sha256 = hashlib.sha256(der).hexdigest()
    file = folder / "one"
    digest = write_index(
        Scan(der, indirect=indirect),
        crl_sha256=sha256,
        key_sha256="00" * 32,
        header=header_octets(der),
        file=file,
    )
    return IndexedEntries(file, crl_sha256=sha256, digest=digest)


@pytest.mark.parametrize("seed", range(4))
def test_every_entry_is_as_the_crl_has_it(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Windows so small that most entries lie at the edge of one.
    monkeypatch.setattr(crl_scan, "_WINDOW", 200 if seed % 2 else 64 * 1024)
    monkeypatch.setattr(crl_scan, "_SMALLEST", 64)
    entries = list(many(1500, seed))
    crl = Crl(crl_of(entries))
    index = indexed(crl.der, tmp_path)
    assert len(index) == len(crl.entries) == len(entries)
    for one in entries:
        found = index.find(one.serial_number, crl.issuer)
        assert found is not None
        assert found == crl.entries.find(one.serial_number, crl.issuer)
        assert found.date == one.revocation_date_utc
    listed = {one.serial_number for one in entries}
    for serial in (0, -1, 2**168, *(serial + 1 for serial in listed)):
        assert (index.find(serial, crl.issuer) is not None) is (serial in listed)
    other = ParsedCertificate(root("Other").der).subject
    assert index.find(entries[0].serial_number, other) is None


def test_certificate_issuer_holds_until_the_next_one(tmp_path: Path) -> None:
    one, two, own = dn("One"), dn("Two"), name_key(root().cert.subject)

    def of(name: x509.Name) -> tuple[x509.ExtensionType, bool]:
        return (x509.CertificateIssuer([x509.DirectoryName(name)]), True)

    entries = [
        revoked(1),
        revoked(2, NOW, of(one)),
        revoked(3),
        revoked(1),
        revoked(3, NOW, of(two)),
    ]
    der = crl_of([*entries, *(revoked(serial) for serial in range(10, 2000))], INDIRECT)
    crl, index = Crl(der), indexed(der, tmp_path, indirect=True)
    for serial in (1, 2, 3, 10, 1999, 2000):
        for issuer in (own, name_key(one), name_key(two)):
            assert index.find(serial, issuer) == crl.entries.find(serial, issuer), serial
    assert index.find(3, name_key(two))
    assert index.find(1, own)
    assert not index.find(3, own)
    with pytest.raises(
        CrlRefused, match=r"entry at octet \d+ has the critical extension 2\.5\.29\.29"
    ):
        Scan(der, indirect=False)


def test_of_two_entries_for_one_certificate_the_lifted_hold_does_not_count(tmp_path: Path) -> None:
    lifted = (x509.CRLReason(x509.ReasonFlags.remove_from_crl), False)
    der = crl_of([revoked(5, NOW - DAY, lifted), revoked(5, NOW), revoked(6, NOW, lifted)])
    index = indexed(der, tmp_path)
    own = name_key(root().cert.subject)
    assert index.find(5, own) == Entry(NOW, "")
    assert index.find(6, own) == Entry(NOW, "removeFromCRL")


def reason_of(entry: x509.RevokedCertificate) -> str:
    for extension in entry.extensions:
        if isinstance(extension.value, x509.CRLReason):
            return extension.value.reason.value
    return ""


def test_whatever_octet_is_changed_it_is_refused_or_read_as_the_strict_parser_reads_it(
    tmp_path: Path,
) -> None:
    reason = (x509.CRLReason(x509.ReasonFlags.key_compromise), False)
    since = (x509.InvalidityDate(NOW - DAY), True)
    der = crl_of([revoked(7), revoked(2**120, NOW, reason), revoked(300, NOW, reason, since)])
    begin, end = revoked_certificates(der)
    identifiers = {
        at
        for oid in (b"\x55\x1d\x15", b"\x55\x1d\x18")
        for found in re.finditer(oid, der)
        for at in range(*found.span())
    }
    refused = 0
    for place in range(element(der, begin)[0], end):
        for change in (0x01, 0x08, 0xFF):
            changed = bytearray(der)
            changed[place] ^= change
            try:
                scan = Scan(bytes(changed))
            except CrlRefused as error:
                refused += re.search(r"octet \d+", str(error)) is not None
                continue
            parsed = x509.load_der_x509_crl(bytes(changed))
            entries = {one.serial_number: one for one in parsed}
            assert len(entries) == len(scan) == 3
            index = indexed(bytes(changed), tmp_path)
            issuer = name_key(parsed.issuer)
            for serial, one in entries.items():
                found = index.find(serial, issuer)
                assert found is not None
                assert found.date == one.revocation_date_utc
                if place not in identifiers:  # made another extension, it need not be read
                    assert found.reason == reason_of(one)
    assert refused > 200


def test_a_damaged_or_foreign_file_is_no_index(tmp_path: Path) -> None:
    folder = CrlFolder(tmp_path / "crls", above=0)
    der = crl_of(many(200, 1))
    sha256 = hashlib.sha256(der).hexdigest()
    facts = {"crl_sha256": sha256, "key_sha256": "00" * 32, "header": header_octets(der)}
    digest = folder.write(Scan(der), **facts)  # type: ignore[arg-type]
    assert folder.write(Scan(der), **facts) == digest  # type: ignore[arg-type]
    file = next((tmp_path / "crls").glob("*.crlindex"))
    assert file.stat().st_mode & 0o777 == 0o600
    good = file.read_bytes()
    assert folder.open(sha256, digest) is not None
    forged = bytearray(good)
    forged[150] ^= 1
    body = bytes(forged[:-32])
    for bad in (b"", good[:-1], good + b"\0", bytes(forged), body + hashlib.sha256(body).digest()):
        file.write_bytes(bad)
        assert folder.open(sha256, digest) is None
    file.write_bytes(good)
    assert folder.open("11" * 32, digest) is None
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        folder.open(sha256, digest)


class House:
    """A gateway on one machine, whose every CRL is a large one."""

    def __init__(self, database: Database, ca: Authority, state: Path) -> None:
        self.database, self.ca = database, ca
        self.folder = CrlFolder(state, above=0)
        self.trust = self.process()
        self.given_up: set[str] = set()

    def process(self) -> StoredTrust:
        return StoredTrust(self.database.read, anchors=[self.ca.anchor()], folder=self.folder)

    def fetch(self, der: bytes) -> SourceReport:
        (report,) = refresh_crls(
            self.database.read,
            self.database.write,
            [CrlSource("root", "http://crl.example/")],
            trust=self.trust,
            rules=FetchRules(frozenset()),
            moment=NOW,
            force=True,
            get=lambda *_: der,
            folder=self.folder,
        )
        return report

    def keep(self) -> list[str]:
        return keep_indexed(
            self.database.read,
            self.database.write,
            trust=self.trust,
            folder=self.folder,
            given_up=self.given_up,
        )

    def known(self) -> Crl:
        ((crl,),) = self.process().current().material.crls.values()
        return crl

    def tamper(self, **values: object) -> None:
        with self.database.write() as conn:
            conn.execute(crls.update().values(**values))


@pytest.fixture
def house(pki_database: Database, tmp_path: Path) -> House:
    ca = root()
    ca.revoked = dict.fromkeys(range(1, 500), (NOW - DAY, "superseded"))
    return House(pki_database, ca, tmp_path / "crls")


def test_fetched_stored_and_looked_up_without_its_octets(house: House) -> None:
    report = house.fetch(house.ca.crl(5))
    assert (report.state, report.number) == ("stored", 5)
    assert house.fetch(house.ca.crl(5)).state == "unchanged"
    crl = house.known()
    assert isinstance(crl.entries, IndexedEntries)
    assert crl.signed_by(ParsedCertificate(house.ca.der))
    assert crl.entries.find(77, crl.issuer) == Entry(NOW - DAY, "superseded")
    with pytest.raises(ValueError, match="not in memory"):
        _ = crl.der
    with house.database.read() as conn:  # the evidence is all of it
        assert crl_store.crl_bytes(conn, crl.sha256) == house.ca.crl(5)


def test_large_ones_never_go_back_and_all_versions_are_kept(house: House) -> None:
    for number in (5, 6):
        assert house.fetch(house.ca.crl(number)).state == "stored"
    for old in (5, 4):
        problem = house.fetch(house.ca.crl(old)).problem
        assert problem is not None
        assert problem.code == "revocation.crl-number"
    with house.database.read() as conn:
        assert {one.number for one in crl_store.list_crls(conn)} == {5, 6}


def test_what_no_known_ca_signed_is_not_even_scanned(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scanned(*_: object, **__: object) -> None:
        raise AssertionError("it was scanned")

    monkeypatch.setattr(crl_receive, "Scan", scanned)
    good = house.ca.crl(5)
    bad = {
        "revocation.signature": house.ca.crl(5, crl_key=key("stranger")),
        "revocation.crl-issuer": root("Stranger").crl(5),
        "structure.crl": good + b"\0",
        "revocation.stale": house.ca.crl(5, start=NOW - 2 * DAY, end=NOW - DAY),
    }
    for code, der in bad.items():
        problem = house.fetch(der).problem
        assert problem is not None
        assert problem.code == code
    assert house.fetch(b"<html>" * 1000).problem is not None
    assert not list(house.folder._folder.glob("*"))


def test_neither_a_row_nor_a_file_alone_hides_a_revocation(house: House) -> None:
    house.fetch(house.ca.crl(5))
    sha256 = house.known().sha256
    # A CRL of the same CA without entries; its index takes the place of the right one.
    house.ca.revoked = {}
    empty = house.ca.crl(5)
    scan = Scan(empty)
    key_sha256 = hashlib.sha256(ParsedCertificate(house.ca.der).spki).hexdigest()
    file = house.folder._file(sha256)
    good = file.read_bytes()
    facts = {"crl_sha256": sha256, "key_sha256": key_sha256, "header": header_octets(empty)}
    with house.database.read() as conn:
        (row,) = crl_store.newest_crls(conn)
    forged = house.folder.write(scan, **facts)  # type: ignore[arg-type]
    assert house.known().entries.find(77, house.known().issuer)  # the file alone: made anew
    assert file.read_bytes() == good
    house.tamper(index_sha256=forged)  # the row alone: its octets are asked
    crl = house.known()
    assert crl.entries.find(77, crl.issuer)
    assert crl.signed_by(ParsedCertificate(house.ca.der))
    assert house.keep() == [sha256]  # and the keeper puts it right
    with house.database.read() as conn:
        assert crl_store.newest_crls(conn) == [row]


def test_another_machine_makes_its_index_ahead_or_when_it_is_asked(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.fetch(house.ca.crl(5))
    assert house.keep() == []
    other = House(house.database, house.ca, tmp_path / "other")
    assert other.keep() == [house.known().sha256]
    assert other.keep() == []
    third = House(house.database, house.ca, tmp_path / "third")
    made = []

    def counted(*args: Any, **more: Any) -> Scan:
        made.append(1)
        return Scan(*args, **more)

    monkeypatch.setattr(crl_receive, "Scan", counted)
    found: list[Crl] = []
    threads = [threading.Thread(target=lambda: found.append(third.known())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(isinstance(crl.entries, IndexedEntries) for crl in found)
    assert made == [1]


def test_what_an_older_version_stored_is_indexed_and_the_replaced_are_swept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with house.database.write() as conn:
        crl_store.store_crl(conn, Crl(house.ca.crl(5)), moment=NOW)
    first = house.known()
    assert first.der  # all of it, for want of an index
    assert house.keep() == [first.sha256]
    assert isinstance(house.known().entries, IndexedEntries)
    house.fetch(house.ca.crl(6))
    monkeypatch.setattr("pki.keeper._SWEPT_AFTER", -1.0)
    house.keep()
    assert not house.folder._file(first.sha256).exists()
    assert isinstance(house.known().entries, IndexedEntries)


def test_a_crl_of_a_ca_that_is_gone_is_not_read_again_and_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with house.database.write() as conn:
        crl_store.store_crl(conn, Crl(root("Gone").crl(5)), moment=NOW)
    assert house.keep() == []
    monkeypatch.setattr(crl_store, "crl_bytes", lambda *_, **__: 1 / 0)
    assert house.keep() == []


def test_a_full_disk_costs_memory_and_no_verdict(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.fetch(house.ca.crl(5))
    monkeypatch.setattr(CrlFolder, "open", lambda *_: None)

    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CrlFolder, "write", full)
    crl = house.known()
    assert crl.entries.find(77, crl.issuer)
    assert crl.signed_by(ParsedCertificate(house.ca.der))


def test_sources_that_fail_are_asked_less_often() -> None:
    from pki.keeper import is_due

    source = CrlSource("root", "http://crl.example/", every=6 * HOUR)
    last = crl_store.LastFetch(NOW, None, None, None, "it was not there")
    pauses = []
    for failures in range(1, 8):
        now = replace(last, failures=failures)
        pauses.append(next(m for m in range(60) if is_due(source, now, NOW + m * HOUR / 60)))
    assert pauses == [1, 2, 4, 8, 15, 15, 15]


def test_sources_of_one_rhythm_are_drawn_apart() -> None:
    from pki.keeper import is_due

    last = crl_store.LastFetch(NOW, NOW, NOW - DAY, NOW + 30 * DAY, "")
    hits = [0] * 61
    for number in range(500):
        source = CrlSource("", f"http://crl.example/{number}.crl", every=HOUR)
        hits[next(m for m in range(61) if is_due(source, last, NOW + m * HOUR / 60))] += 1
    assert sum(hits[:54]) == 0
    assert max(hits) < 150
