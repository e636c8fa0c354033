"""CRLs are fetched ahead of need, and nothing bad replaces a good one."""

from __future__ import annotations

import os
import socket
import threading
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from archive.working import WorkingKeys
from gateway.database import Database
from gateway.keeper import Keeper
from pki import crl_store
from pki.errors import FetchTrouble, problem
from pki.fetch import FetchRules
from pki.keeper import CrlSource, SourceReport, refresh_crls
from pki.trust import StoredTrust
from tests.crl_maker import scope
from tests.pki_maker import DAY, NOW, Authority, key, root

RULES = FetchRules(frozenset())
HOUR = timedelta(hours=1)


class Web:
    """Stands for the network: URL → bytes, or trouble."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []

    def __call__(self, url: str, _rules: FetchRules) -> bytes:
        self.asked.append(url)
        if url not in self.pages:
            raise FetchTrouble(problem("limits.fetch", "{url} was not fetched", url=url))
        return self.pages[url]


class House:
    def __init__(self, database: Database, ca: Authority) -> None:
        self.database = database
        self.web = Web()
        self.trust = StoredTrust(database.read, anchors=[ca.anchor()])

    def refresh(
        self, *sources: CrlSource, at: timedelta = timedelta(0), force: bool = False
    ) -> list[SourceReport]:
        return refresh_crls(
            self.database.read,
            self.database.write,
            sources,
            trust=self.trust,
            rules=RULES,
            moment=NOW + at,
            force=force,
            get=self.web,
        )

    def numbers(self) -> list[int | None]:
        with self.database.read() as conn:
            return [crl.number for crl in crl_store.current_crls(conn, {})]


@pytest.fixture
def ca() -> Authority:
    return root()


@pytest.fixture
def house(pki_database: Database, ca: Authority) -> House:
    return House(pki_database, ca)


URL = "http://crl.example/root.crl"
SOURCE = CrlSource("root", URL, every=6 * HOUR)


def test_from_url_and_file(house: House, ca: Authority, tmp_path: Path) -> None:
    house.web.pages[URL] = ca.crl(5)
    (report,) = house.refresh(SOURCE)
    assert (report.state, report.number, report.issuer) == ("stored", 5, "CN=Root,O=Sceau Tests")
    file = tmp_path / "by-hand.crl"
    file.write_bytes(ca.crl(6))
    (report,) = house.refresh(CrlSource("hand", str(file)))
    assert report.state == "stored"
    assert house.numbers() == [6]


def test_when_it_is_due(house: House, ca: Authority) -> None:
    # Valid from a day ago for three days in all: half of it is over in 12 hours.
    house.web.pages[URL] = ca.crl(5, end=NOW + 2 * DAY)
    assert house.refresh(SOURCE)[0].state == "stored"
    assert house.refresh(SOURCE, at=5 * HOUR)[0].state == "not-due"
    assert house.refresh(SOURCE, at=6 * HOUR)[0].state == "unchanged"
    assert house.refresh(SOURCE, at=11 * HOUR)[0].state == "not-due"
    slow = CrlSource("root", URL, every=30 * DAY)
    assert house.refresh(slow, at=12 * HOUR)[0].state == "unchanged"
    assert house.refresh(slow, at=12 * HOUR + timedelta(minutes=4))[0].state == "not-due"
    assert house.refresh(slow, at=12 * HOUR + timedelta(minutes=5))[0].state == "unchanged"
    assert (
        house.refresh(slow, at=12 * HOUR + timedelta(minutes=6), force=True)[0].state == "unchanged"
    )


def test_failure_keeps_the_old_one_and_is_retried(house: House, ca: Authority) -> None:
    house.web.pages[URL] = ca.crl(5)
    house.refresh(SOURCE)
    del house.web.pages[URL]
    (report,) = house.refresh(SOURCE, at=6 * HOUR)
    assert report.state == "failed"
    assert report.next_update == NOW + 7 * DAY
    assert report.problem is not None
    assert house.numbers() == [5]
    assert house.refresh(SOURCE, at=6 * HOUR + timedelta(seconds=59))[0].state == "not-due"
    house.web.pages[URL] = ca.crl(6)
    assert house.refresh(SOURCE, at=6 * HOUR + timedelta(minutes=1))[0].state == "stored"


def test_bad_crls_are_refused_and_the_others_go_on(house: House, ca: Authority) -> None:
    house.web.pages[URL] = ca.crl(5)
    house.refresh(SOURCE)
    bad = {
        "garbage": (b"<html>", "structure.crl"),
        "older": (ca.crl(4), "revocation.crl-number"),
        "expired": (ca.crl(9, start=NOW - 3 * DAY, end=NOW - 2 * DAY), "revocation.stale"),
        "future": (ca.crl(9, start=NOW + DAY), "revocation.crl-future"),
        "forged": (ca.crl(9, crl_key=key("stranger")), "revocation.signature"),
        "stranger": (root("Stranger").crl(9), "revocation.crl-issuer"),
    }
    sources = [CrlSource(name, f"http://crl.example/{name}") for name in bad]
    for source, (data, _) in zip(sources, bad.values(), strict=True):
        house.web.pages[source.location] = data
    good = CrlSource("good", "http://crl.example/good")
    house.web.pages[good.location] = ca.crl(6)
    reports = house.refresh(*sources, good)
    codes = [report.problem.code if report.problem else "" for report in reports]
    assert codes == [code for _, code in bad.values()] + [""]
    assert reports[-1].state == "stored"
    assert house.numbers() == [6]


def test_a_newer_crl_that_grace_would_use_is_taken(house: House, ca: Authority) -> None:
    """It lists more than the one before, which would be used in its place."""
    house.trust = StoredTrust(house.database.read, anchors=[ca.anchor(grace=48 * HOUR)])
    house.web.pages[URL] = ca.crl(5, end=NOW + HOUR)
    assert house.refresh(SOURCE)[0].state == "stored"
    house.web.pages[URL] = ca.crl(6, end=NOW + 6 * HOUR)
    assert house.refresh(SOURCE, at=7 * HOUR, force=True)[0].state == "stored"
    assert house.numbers() == [6]
    # It is no success that the CA has nothing newer than what is over.
    (again,) = house.refresh(SOURCE, at=8 * HOUR, force=True)
    assert (again.state, again.problem and again.problem.code) == ("failed", "revocation.stale")
    house.web.pages[URL] = ca.crl(7, end=NOW + 6 * HOUR)
    assert house.refresh(SOURCE, at=55 * HOUR, force=True)[0].state == "failed"
    house.web.pages[URL] = ca.crl(5, end=NOW + 6 * HOUR)
    (back,) = house.refresh(SOURCE, at=8 * HOUR, force=True)
    assert back.problem is not None
    assert back.problem.code == "revocation.crl-number"
    assert house.numbers() == [6]


def test_a_crl_of_an_unknown_version_does_not_stop_the_others(house: House, ca: Authority) -> None:
    """CRLs come over HTTP: whoever is on the way can put any bytes there."""
    versioned = ca.crl(9)
    assert b"\x02\x01\x01" in versioned[:12]
    house.web.pages[URL] = versioned.replace(b"\x02\x01\x01", b"\x02\x01\x03", 1)
    good = CrlSource("good", "http://crl.example/good")
    house.web.pages[good.location] = ca.crl(6)
    assert [one.state for one in house.refresh(SOURCE, good)] == ["failed", "stored"]


def test_missing_file(house: House, tmp_path: Path) -> None:
    (report,) = house.refresh(CrlSource("hand", str(tmp_path / "absent.crl")))
    assert report.state == "failed"
    assert report.problem is not None
    assert "absent.crl cannot be read: No such file" in report.problem.text


def test_a_ca_that_names_another_place_in_each_crl_does_not_fill_the_memory(
    house: House, ca: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crl_store, "MAX_SERIES", 3)

    def fetched(number: int, uri: str) -> SourceReport:
        house.web.pages[URL] = ca.crl(number, extra=((scope(uri=uri), True),))
        (report,) = house.refresh(SOURCE, force=True)
        return report

    states = [fetched(n, f"http://crl.example/{n}").state for n in range(1, 6)]
    assert states == ["stored"] * 3 + ["failed"] * 2
    assert len(house.numbers()) == 3
    assert fetched(9, "http://crl.example/2").state == "stored"
    refused = fetched(10, "http://crl.example/10").problem
    assert refused is not None
    assert refused.code == "limits.crl-series"
    # Another CA has room of its own.
    other = root("Other Root")
    house.trust = StoredTrust(house.database.read, anchors=[ca.anchor(), other.anchor()])
    house.web.pages[URL] = other.crl(1)
    assert house.refresh(SOURCE, force=True)[0].state == "stored"


def test_what_somebody_put_in_the_place_of_a_file_holds_up_nobody(
    house: House, ca: Authority, tmp_path: Path
) -> None:
    """A pipe that nobody writes to, a device without end, a file of a terabyte."""
    os.mkfifo(tmp_path / "pipe.crl")
    (tmp_path / "endless.crl").symlink_to("/dev/zero")
    with (tmp_path / "huge.crl").open("wb") as huge:
        huge.truncate(1 << 40)
    good = tmp_path / "good.crl"
    good.write_bytes(ca.crl(6))
    names = ("pipe", "endless", "huge", "good")
    reports = house.refresh(*(CrlSource(one, str(tmp_path / f"{one}.crl")) for one in names))
    assert [one.state for one in reports] == ["failed", "failed", "failed", "stored"]
    for report in reports[:3]:
        assert report.problem is not None
        assert f"{report.source}.crl cannot be read" in report.problem.text


def test_a_clock_put_back_does_not_stop_the_fetching(house: House, ca: Authority) -> None:
    """Fetched in a future that was none: until then every CRL known would have gone stale."""
    house.web.pages[URL] = ca.crl(5)
    house.refresh(SOURCE, at=5 * DAY)
    assert house.refresh(SOURCE)[0].state == "unchanged"
    assert house.refresh(SOURCE)[0].state == "not-due"


class Times(list[str]):
    """A keeper's crafts that count, and fail."""

    def task(self, name: str) -> None:
        self.append(name)
        raise RuntimeError("a fault nobody foresaw")


def test_a_keeper_goes_on_after_faults_and_when_the_clock_is_put_back(
    pki_database: Database, house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Times()
    monkeypatch.setattr(pki_database, "checkpoint", lambda: done.task("checkpoint"))
    monkeypatch.setattr(Keeper, "refresh_crls", lambda *_: done.task("crls"))
    monkeypatch.setattr(Keeper, "mend_plans", lambda *_: done.task("plans"))
    monkeypatch.setattr(Keeper, "end_working_keys", lambda *_: done.task("keys"))
    moments = iter([NOW + 5 * DAY, NOW, NOW + timedelta(seconds=1)])
    keeper = Keeper(
        database=pki_database,
        sources=[],
        trust=house.trust,
        rules=RULES,
        working_keys=WorkingKeys(tmp_path / "working"),
        index=tmp_path / "index",
        waits=[HOUR],
        now=lambda: next(moments),
    )
    for _ in range(3):
        keeper.once()
    everything = ["checkpoint", "crls", "plans", "keys"]
    assert done == [*everything, *everything, "checkpoint"]


@pytest.mark.parametrize("encoding", [b"x\0y", b"x\xff\x9b31m"])
def test_a_server_of_strange_words_stops_no_other_source(
    database: Database, tmp_path: Path, encoding: bytes
) -> None:
    """What a server says goes into the table of fetches, and PostgreSQL takes no NUL there."""
    ca = root("Strange Words CA")
    good = tmp_path / "good.crl"
    good.write_bytes(ca.crl(start=NOW - HOUR, end=NOW + DAY))
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: " + encoding + b"\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        rules = FetchRules(frozenset({f"127.0.0.1:{port}"}), private=(ip_network("127.0.0.0/8"),))
        sources = [CrlSource("bad", f"http://127.0.0.1:{port}/x.crl"), CrlSource("good", str(good))]
        trust = StoredTrust(database.read, anchors=[ca.anchor()])
        reports = refresh_crls(
            database.read, database.write, sources, trust=trust, rules=rules, moment=NOW
        )
        thread.join(10)
    assert [report.state for report in reports] == ["failed", "stored"]
    with database.read() as conn:
        assert crl_store.last_fetches(conn)[sources[0].location].problem
