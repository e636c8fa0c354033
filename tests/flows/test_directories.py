"""Certificates from a real slapd, and what a bad or hostile directory can do: nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.database import Database
from gateway.demo.process import free_port
from pki import crl_store
from pki.crl import Crl
from pki.errors import AddressError, DirectoryTrouble
from pki.finder import CertificateFinder
from pki.ldap import Directory, DirectoryClient
from pki.models import CannotTell, Certified, NoCertificate
from pki.trust import StoredTrust
from tests.flows.slapd import BASE, Slapd
from tests.pki_maker import DAY, NOW, Authority, root
from tests.services.stopwatch import Stopwatch

pytestmark = pytest.mark.flow

CA = root("Directory Test CA")
ISSUING = CA.sub("Issuing CA")
MARIE = ISSUING.issue("Marie", emails=("marie@a.example",))
ELLIPTIC = ISSUING.issue("Else", emails=("else@a.example",), kind="ec")


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    server = Slapd(tmp_path_factory.mktemp("ldap") / "open", CA)
    try:
        fill(server)
        yield server
    finally:
        server.stop()


def fill(server: Slapd) -> None:
    server.person("marie", "marie@a.example", MARIE.der)
    server.person("else", "Else@A.example", ELLIPTIC.der)
    server.person("paul", "paul@a.example")
    server.person("mallory", "mallory@a.example", MARIE.der)
    # slapd looks at userCertificate itself; userSMIMECertificate takes any octets.
    garbage = (b"\x30\x03\x02\x01\x05", MARIE.der[:-1])
    server.person("two", "two@a.example", MARIE.der, smime=garbage)
    for number in range(25):
        server.person(f"crowd{number}", "crowd@a.example")
    server.load(
        f"dn: ou=elsewhere,{BASE}\nobjectClass: referral\nobjectClass: extensibleObject\n"
        f"ou: elsewhere\nref: ldap://127.0.0.1:1/{BASE}\n"
    )
    server.load(
        f"dn: uid=reader,{BASE}\nobjectClass: inetOrgPerson\nuid: reader\ncn: r\nsn: r\n"
        "userPassword: open sesame\n"
    )


@pytest.fixture
def clients() -> Iterator[list[DirectoryClient]]:
    made: list[DirectoryClient] = []
    yield made
    for client in made:
        client.close()


def connect(
    clients: list[DirectoryClient], slapd: Slapd, *, retry: float = 30, **options: Any
) -> DirectoryClient:
    settings: dict[str, Any] = {
        "name": "ministry",
        "urls": (slapd.tls_url,),
        "base": BASE,
        "domains": ("a.example",),
        "ca_file": slapd.ca_file,
        "network_timeout": timedelta(seconds=20),
        "operation_timeout": timedelta(seconds=20),
        "ignore_references": True,  # the tree has one, and slapd adds it to every answer
    }
    if "url" in options:
        options["urls"] = (options.pop("url"),)
    client = DirectoryClient(Directory(**(settings | options)), first_pause=retry)
    clients.append(client)
    return client


def ders(client: DirectoryClient, address: str) -> list[bytes]:
    return [one.der for one in client.search(address).candidates]


def idle(client: DirectoryClient) -> int:
    return sum(server.idle for server in client.health().servers)


def back(client: DirectoryClient) -> list[bytes]:
    """What it says once it answers again."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return ders(client, "marie@a.example")
        except DirectoryTrouble:
            assert time.monotonic() < deadline, client.health()
            time.sleep(0.05)


def trouble(client: DirectoryClient, address: str = "marie@a.example") -> str:
    with pytest.raises(DirectoryTrouble) as found:
        client.search(address)
    return found.value.problem.code


@pytest.mark.parametrize("way", ["ldaps", "starttls", "loopback", "socket", "external"])
def test_ways_to_connect(slapd: Slapd, clients: list[DirectoryClient], way: str) -> None:
    options: dict[str, Any] = {
        "ldaps": {},
        "starttls": {"url": slapd.url, "starttls": True},
        "loopback": {"url": slapd.url, "ca_file": None},
        "socket": {"url": slapd.local_url, "ca_file": None},
        "external": {"url": slapd.local_url, "ca_file": None, "external": True},
    }[way]
    client = connect(clients, slapd, **options)
    for _ in range(3):  # the second time on the same connection
        answer = client.search("marie@a.example")
        assert [one.der for one in answer.candidates] == [MARIE.der]
        assert (
            answer.candidates[0].source
            == f"ministry ({client.directory.urls[0]}): uid=marie,{BASE}"
        )
    assert ders(client, "else@a.example") == [ELLIPTIC.der]
    assert ders(client, "paul@a.example") == []
    assert ders(client, "nobody@a.example") == []
    assert idle(client) == 1  # all on one connection


def test_bound_with_a_password(
    tmp_path: Path, slapd: Slapd, clients: list[DirectoryClient]
) -> None:
    reader = f"uid=reader,{BASE}"
    good = connect(clients, slapd, bind_dn=reader, password="open sesame")
    assert ders(good, "marie@a.example") == [MARIE.der]
    bad = connect(clients, slapd, bind_dn=reader, password="wrong")
    assert trouble(bad) == "directory.access"
    assert "open sesame" not in repr(good.directory)


def test_garbage_is_reported_and_the_rest_used(
    slapd: Slapd, clients: list[DirectoryClient]
) -> None:
    client = connect(clients, slapd, attributes=("userSMIMECertificate", "userCertificate;binary"))
    answer = client.search("two@a.example")
    assert [one.der for one in answer.candidates] == [MARIE.der]
    assert [one.problem.code for one in answer.refused] == ["structure.certificate"] * 2
    assert "is not a certificate" in answer.refused[0].problem.text
    assert "uid=two" in answer.refused[0].source


@pytest.mark.parametrize(
    "address",
    [
        "*@a.example",
        "m*@a.example",
        '"*)(mail=*"@a.example',
        '"*)(uid=*))(|(uid=*"@a.example',
        '"marie@a.example)(!(mail=x"@a.example',
        "é*@a.example",
        "mariе@a.example",
        '"\\\\2a"@a.example',
    ],
)
def test_filter_injection(slapd: Slapd, clients: list[DirectoryClient], address: str) -> None:
    client = connect(clients, slapd)
    assert ders(client, address) == []
    assert ders(client, "marie@a.example") == [MARIE.der]


@pytest.mark.parametrize(
    "address",
    [
        "*",
        "*)(mail=*",
        "marie@a.example\x00",
        "\x00",
        "x" * 4096 + "@a.example",
        "(marie@a.example)",
        "marie@a.example\n",
    ],
)
def test_what_is_no_address_never_leaves(
    slapd: Slapd, clients: list[DirectoryClient], address: str
) -> None:
    client = connect(clients, slapd)
    with pytest.raises(AddressError):
        client.search(address)
    assert idle(client) == 0


def test_too_many_entries_is_trouble(slapd: Slapd, clients: list[DirectoryClient]) -> None:
    client = connect(clients, slapd)
    assert trouble(client, "crowd@a.example") == "directory.answer"
    assert ders(client, "marie@a.example") == [MARIE.der]


def test_wrong_base_is_trouble_not_absence(slapd: Slapd, clients: list[DirectoryClient]) -> None:
    assert trouble(connect(clients, slapd, base="ou=absent," + BASE)) == "directory.answer"


def test_referrals_are_never_followed(slapd: Slapd, clients: list[DirectoryClient]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.3)
        port = trap.getsockname()[1]
        slapd.load(
            f"dn: ou=trap,{BASE}\nobjectClass: referral\nobjectClass: extensibleObject\n"
            f"ou: trap\nref: ldap://127.0.0.1:{port}/{BASE}\n"
        )
        client = connect(clients, slapd)
        assert ders(client, "marie@a.example") == [MARIE.der]  # with references in the answer
        inside = connect(clients, slapd, base=f"ou=trap,{BASE}")
        assert trouble(inside) == "directory.answer"
        with pytest.raises(TimeoutError):
            trap.accept()


def test_an_answer_that_only_refers_elsewhere_is_cannot_tell(
    slapd: Slapd, clients: list[DirectoryClient]
) -> None:
    """What is asked for may lie there: "no certificate" would let mail leave in clear."""
    client = connect(clients, slapd, ignore_references=False)
    assert ders(client, "marie@a.example") == [MARIE.der]
    with pytest.raises(DirectoryTrouble, match="refers to another server"):
        client.search("nobody@a.example")
    assert connect(clients, slapd).search("nobody@a.example").candidates == ()


def test_wrong_ca(tmp_path: Path, slapd: Slapd, clients: list[DirectoryClient]) -> None:
    file = tmp_path / "other.pem"
    file.write_bytes(root("Other CA").pem)
    assert trouble(connect(clients, slapd, ca_file=file)) == "directory.unreachable"
    starttls = connect(clients, slapd, ca_file=file, url=slapd.url, starttls=True)
    assert trouble(starttls) == "directory.unreachable"


def test_wrong_host_name(tmp_path: Path, clients: list[DirectoryClient]) -> None:
    server = Slapd(tmp_path / "wrong", CA, name="other.example")
    try:
        assert trouble(connect(clients, server)) == "directory.unreachable"
        starttls = connect(clients, server, url=server.url, starttls=True)
        assert trouble(starttls) == "directory.unreachable"
    finally:
        server.stop()


def test_stripped_starttls(tmp_path: Path, clients: list[DirectoryClient]) -> None:
    """A server, or somebody between, that does not offer StartTLS never sees a bind."""
    server = Slapd(tmp_path / "plain", CA, tls=False)
    try:
        server.person("marie", "marie@a.example", MARIE.der)
        client = connect(clients, server, url=server.url, starttls=True)
        assert trouble(client) == "directory.unreachable"
    finally:
        server.stop()


def test_frozen_server_costs_its_time_once(tmp_path: Path, clients: list[DirectoryClient]) -> None:
    server = Slapd(tmp_path / "frozen", CA)
    server.person("marie", "marie@a.example", MARIE.der)
    try:
        for options in ({}, {"url": server.url, "starttls": True}):
            for known_before in (False, True):
                second = timedelta(seconds=1)
                times = {"network_timeout": second, "operation_timeout": second}
                client = connect(clients, server, retry=4, **options, **times)
                if known_before:
                    assert ders(client, "marie@a.example") == [MARIE.der]
                server.freeze()
                with Stopwatch() as watch:
                    assert trouble(client) in ("directory.timeout", "directory.unreachable")
                assert watch.seconds < 2.5
                with Stopwatch() as watch:
                    for _ in range(100):
                        trouble(client)
                assert watch.seconds < 0.4
                server.thaw()
                assert back(client) == [MARIE.der]
    finally:
        server.stop()


def test_restarted_server_is_not_even_noticed(
    tmp_path: Path, clients: list[DirectoryClient]
) -> None:
    server = Slapd(tmp_path / "restart", CA)
    server.person("marie", "marie@a.example", MARIE.der)
    try:
        client = connect(clients, server)
        assert ders(client, "marie@a.example") == [MARIE.der]
        server.stop()
        server.start()
        assert ders(client, "marie@a.example") == [MARIE.der]
        server.stop()
        assert trouble(client) == "directory.unreachable"
    finally:
        server.stop()


def test_many_threads(slapd: Slapd, clients: list[DirectoryClient]) -> None:
    client = connect(clients, slapd)
    wrong: list[str] = []

    def ask(name: str, expected: bytes) -> None:
        for _ in range(30):
            found = ders(client, f"{name}@a.example")
            wrong.extend([name] if found != [expected] else [])

    pairs = [("marie", MARIE.der), ("else", ELLIPTIC.der)] * 4
    threads = [threading.Thread(target=ask, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert 1 <= idle(client) <= 4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "ldap://ldap.a.example"}, "for this machine only"),
        ({"url": "ldap://127.0.0.1.a.example"}, "for this machine only"),
        ({"url": "ldaps://ldap.a.example"}, "TLS needs the file of the CA"),
        ({"url": "ldap://ldap.a.example", "starttls": True}, "TLS needs the file of the CA"),
        ({"url": "ldaps://ldap.a.example", "starttls": True}, "has TLS from the start"),
        ({"url": "ldaps://x", "ca_file": Path("/absent.pem")}, "does not exist"),
        ({"url": "https://ldap.a.example"}, "must begin with"),
        ({"url": "ldap://localhost/dc=a"}, "the base has a setting of its own"),
        ({"url": "ldap://localhost", "mail_attributes": ()}, "at least one"),
        ({"url": "ldap://localhost", "bind_dn": "cn=x"}, "would log in as nobody"),
        ({"url": "ldap://localhost", "external": True}, "needs a client certificate"),
        ({"urls": ()}, "it has no server"),
    ],
)
def test_unsafe_settings(settings: dict[str, Any], words: str) -> None:
    urls = (settings["url"],) if "url" in settings else ()
    settings = {"urls": urls} | {key: settings[key] for key in settings if key != "url"}
    with pytest.raises(DirectoryTrouble, match=words):
        DirectoryClient(Directory(name="d", base=BASE, domains=(), **settings))


def test_nobody_there(clients: list[DirectoryClient], slapd: Slapd) -> None:
    client = connect(clients, slapd, url=f"ldap://127.0.0.1:{free_port()}", ca_file=None)
    assert trouble(client) == "directory.unreachable"


def test_found_checked_and_refused(
    slapd: Slapd, clients: list[DirectoryClient], tmp_path: Path
) -> None:
    """The whole way: slapd, CRLs in the database, verdicts."""
    from gateway.database import open_database
    from pki.tables import metadata

    database: Database = open_database(f"sqlite:///{tmp_path}/pki.db", checkpoint=True)
    authorities: tuple[Authority, ...] = (CA, ISSUING)
    with database.write() as conn:
        metadata.create_all(conn)
        for ca in authorities:
            crl_store.store_crl(conn, Crl(ca.crl(1)), moment=NOW)
    trust = StoredTrust(
        database.read,
        anchors=[CA.anchor()],
        intermediates=[ISSUING.der],
        poll=timedelta(0),
    )
    client = connect(clients, slapd)
    finder = CertificateFinder(read=database.read, trust=trust, directories=[client])
    try:
        found = finder.find("Marie@a.example", moment=NOW)
        assert isinstance(found, Certified)
        assert found.certificate.source == f"ministry ({slapd.tls_url}): uid=marie,{BASE}"
        wrong = finder.find("mallory@a.example", moment=NOW)
        assert isinstance(wrong, NoCertificate)
        assert wrong.problem.text == (
            "the certificate of CN=Marie,O=Sceau Tests is for marie@a.example, "
            "not for mallory@a.example"
        )
        assert isinstance(finder.find("*)(mail=*@a.example", moment=NOW), NoCertificate)
        assert isinstance(finder.find("crowd@a.example", moment=NOW), CannotTell)
        assert isinstance(finder.find("marie@a.example", moment=NOW + 8 * DAY), CannotTell)
    finally:
        finder.close()
        database.close()
