"""Several real slapd for one directory, and what people's entries look like in the field."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from pki.directory import GroupRules, ServerOrder
from pki.errors import CannotTellGroups, DirectoryTrouble
from pki.groups import DirectoryGroups, Groups
from pki.health import ServerHealth, ServerState
from pki.ldap import Directory, DirectoryClient
from tests.flows.slapd import BASE, Slapd
from tests.pki_maker import Issued, dn, key, root
from tests.services.stopwatch import Stopwatch

pytestmark = pytest.mark.flow

CA = root("Directory Test CA")
MARIE = CA.issue("Marie", emails=("marie@a.example",))
PAUL = CA.issue("Paul", emails=("paul@a.example",))
GROUPS = f"ou=groups,{BASE}"


def fill(server: Slapd, certificate: bytes = MARIE.der) -> None:
    server.person("marie", "marie@a.example", certificate)
    server.person("paul", "paul@a.example", PAUL.der)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Slapd, Slapd]]:
    """Two servers with the same entries; tests leave both running."""
    folder = tmp_path_factory.mktemp("pair")
    servers = (Slapd(folder / "one", CA), Slapd(folder / "two", CA))
    try:
        for server in servers:
            fill(server)
        yield servers
    finally:
        for server in servers:
            server.stop()


@pytest.fixture
def clients() -> Iterator[list[DirectoryClient]]:
    made: list[DirectoryClient] = []
    yield made
    for client in made:
        client.close()


def connect(clients: list[DirectoryClient], *servers: Slapd, **options: Any) -> DirectoryClient:
    pauses = {name: options.pop(name) for name in ("first_pause", "changed") if name in options}
    settings: dict[str, Any] = {
        "name": "ministry",
        "urls": tuple(server.tls_url for server in servers),
        "base": BASE,
        "domains": ("a.example",),
        "ca_file": servers[0].ca_file,
        "network_timeout": timedelta(seconds=20),
        "operation_timeout": timedelta(seconds=20),
    }
    clients.append(DirectoryClient(Directory(**(settings | options)), **pauses))
    return clients[-1]


def states(client: DirectoryClient) -> list[ServerState]:
    return [server.state for server in client.health().servers]


def ders(client: DirectoryClient, address: str = "marie@a.example") -> list[bytes]:
    return [one.der for one in client.search(address).candidates]


def until(condition: Any, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_a_frozen_first_server_leaves_time_for_the_second(
    pair: tuple[Slapd, Slapd], clients: list[DirectoryClient]
) -> None:
    one, two = pair
    news: list[tuple[str, str, ServerState]] = []

    def changed(name: str, server: ServerHealth) -> None:
        news.append((name, server.url, server.state))

    times = {"network_timeout": timedelta(seconds=2), "operation_timeout": timedelta(seconds=2)}
    client = connect(clients, one, two, first_pause=0.3, changed=changed, **times)
    assert client.search("marie@a.example").server == one.tls_url
    one.freeze()
    try:
        with Stopwatch() as watch:
            found = client.search("marie@a.example")  # on a connection that was up before
        assert watch.seconds < client.directory.time_limit
        assert (found.server, len(found.candidates)) == (two.tls_url, 1)
        assert states(client) == [ServerState.OPEN, ServerState.CLOSED]
        # While the first one stays frozen it is tried again and again, and no look-up pays for it.
        end = time.monotonic() + 60
        while client.health().servers[0].failures < 2:
            assert time.monotonic() < end, client.health()
            with Stopwatch() as watch:
                assert client.search("marie@a.example").server == two.tls_url
            assert watch.seconds < 0.3
            time.sleep(0.02)
        first = client.health().servers[0]
        assert first.failures >= 2
        assert first.problem is not None
        assert first.problem.code == "directory.timeout"
    finally:
        one.thaw()
    # It comes back by itself, and as the preferred one.
    assert until(lambda: client.search("marie@a.example").server == one.tls_url)
    assert states(client) == [ServerState.CLOSED, ServerState.CLOSED]
    assert news == [
        ("ministry", one.tls_url, ServerState.OPEN),
        ("ministry", one.tls_url, ServerState.CLOSED),
    ]


def test_a_killed_server_and_then_none(tmp_path: Path, clients: list[DirectoryClient]) -> None:
    one, two = Slapd(tmp_path / "one", CA), Slapd(tmp_path / "two", CA)
    try:
        fill(one)
        fill(two)
        client = connect(clients, one, two)
        assert ders(client) == [MARIE.der]
        one.kill()
        assert client.search("marie@a.example").server == two.tls_url
        two.stop()
        with pytest.raises(DirectoryTrouble) as found:
            client.search("marie@a.example")
        assert found.value.problem.code == "directory.unreachable"
        assert not client.health().available
        assert [trial.problem is None for trial in client.try_servers()] == [False, False]
        two.start()
        # on purpose it is tried at once, and is back for everybody
        assert [trial.problem is None for trial in client.try_servers()] == [False, True]
        assert ders(client) == [MARIE.der]
    finally:
        one.stop()
        two.stop()


def test_in_turn(pair: tuple[Slapd, Slapd], clients: list[DirectoryClient]) -> None:
    client = connect(clients, *pair, order=ServerOrder.ROUND_ROBIN)
    asked = [client.search("marie@a.example").server for _ in range(6)]
    assert asked == [pair[0].tls_url, pair[1].tls_url] * 3


def test_the_answer_of_the_server_that_is_well_counts_even_if_it_is_no(
    tmp_path: Path, pair: tuple[Slapd, Slapd], clients: list[DirectoryClient]
) -> None:
    """Servers of one directory hold the same entries: "no" of one is "no"."""
    empty = Slapd(tmp_path / "empty", CA)
    try:
        assert ders(connect(clients, empty, pair[0])) == []
        # but a server that has lost its base answers nothing
        assert ders(connect(clients, empty, pair[0], base=f"uid=marie,{BASE}")) == [MARIE.der]
    finally:
        empty.stop()


def test_many_threads_and_a_server_that_comes_and_goes(
    pair: tuple[Slapd, Slapd], clients: list[DirectoryClient]
) -> None:
    one, two = pair
    client = connect(clients, one, two, first_pause=0.1, connections=3)
    stop = threading.Event()
    wrong: list[str] = []

    def ask() -> None:
        while not stop.is_set():
            try:
                if ders(client) != [MARIE.der]:
                    wrong.append("another answer")
            except DirectoryTrouble as error:
                wrong.append(error.problem.text)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        one.stop()
        time.sleep(0.3)
        one.start()
        time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    deadline = time.monotonic() + 60  # a probe of a server that was away may still be under way
    while any(server.busy for server in client.health().servers):
        assert time.monotonic() < deadline, client.health()
        time.sleep(0.02)
    assert all(server.idle <= 3 for server in client.health().servers)


# -- login -----------------------------------------------------------------------------------------


def client_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(dn(name))
        .issuer_name(CA.cert.subject)
        .public_key(key("client").public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(CA.key, hashes.SHA256())
    )
    issued = Issued(cert, key("client"))
    (folder / f"{name}.crt").write_bytes(issued.pem)
    (folder / f"{name}.key").write_bytes(issued.key_pem)
    return folder / f"{name}.crt", folder / f"{name}.key"


def test_login_by_client_certificate(tmp_path: Path, clients: list[DirectoryClient]) -> None:
    server = Slapd(tmp_path / "closed", CA, closed=True, clients=True)
    try:
        fill(server)
        certificate, key_file = client_certificate(tmp_path, "reader")
        ours = {"certificate_file": certificate, "key_file": key_file}
        external = connect(clients, server, external=True, **ours)
        assert ders(external) == [MARIE.der]
        starttls = connect(
            clients, server, external=True, urls=(server.url,), starttls=True, **ours
        )
        assert ders(starttls) == [MARIE.der]
        other, other_key = client_certificate(tmp_path, "other")
        theirs = {"certificate_file": other, "key_file": other_key, "external": True}
        for options, code in (
            (ours, "directory.answer"),  # shown, but not used to log in: nobody sees nothing
            (theirs, "directory.answer"),  # known, but not as somebody who may read
            ({}, "directory.unreachable"),
        ):
            with pytest.raises(DirectoryTrouble) as found:
                ders(connect(clients, server, **options))
            assert found.value.problem.code == code
    finally:
        server.stop()


def test_an_encrypted_client_key_is_an_error_and_asks_nobody(
    tmp_path: Path, pair: tuple[Slapd, Slapd], clients: list[DirectoryClient]
) -> None:
    certificate, key_file = client_certificate(tmp_path, "reader")
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", key_file, "-aes256", "-passout", "pass:x", "-out", locked],
        check=True,
        capture_output=True,
    )
    client = connect(clients, pair[0], certificate_file=certificate, key_file=locked)
    with pytest.raises(DirectoryTrouble) as found:
        ders(client)
    assert found.value.problem.code == "directory.unreachable"


# -- addresses -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """Entries as they are in the field, and groups."""
    server = Slapd(tmp_path_factory.mktemp("field") / "slapd", CA, overlays=("memberof",))
    try:
        server.person(
            "marie",
            "m.durand@a.example",
            MARIE.der,
            more=(
                "mailAlternateAddress: Marie@A.example",
                "proxyAddresses: SMTP:first@a.example",
                "proxyAddresses: smtp:second@a.example",
                "proxyAddresses: X400:c=fr;s=marie@a.example",
                "proxyAddresses: sip:marie.sip@a.example",
            ),
        )
        server.person("paul", "paul@a.example", PAUL.der)
        server.person("twin", "paul@a.example", MARIE.der)
        load_groups(server)
        yield server
    finally:
        server.stop()


def load_groups(server: Slapd) -> None:
    def group(name: str, *members: str) -> str:
        lines = "".join(f"member: {member}\n" for member in members)
        return f"dn: cn={name},{GROUPS}\nobjectClass: groupOfNames\n{lines}\n"

    marie = f"uid=marie,{BASE}"
    server.load(f"dn: {GROUPS}\nobjectClass: organizationalUnit\nou: groups\n")
    server.load(
        group("Direction", marie)
        + group("House", f"cn=Direction,{GROUPS}")
        + group("Loop", f"cn=House,{GROUPS}", f"cn=Loop,{GROUPS}", f"cn=Back,{GROUPS}")
        + group("Back", f"cn=Loop,{GROUPS}")
        + group("Others", f"uid=paul,{BASE}")
        + group("Odd\\, name", f"uid=paul,{BASE}")
    )
    server.load(
        f"dn: cn=wheel,{GROUPS}\nobjectClass: posixGroup\ncn: wheel\ngidNumber: 7\n"
        "memberUid: marie\nmemberUid: root\n"
    )
    server.load("".join(group(f"g{number:04d}", f"uid=twin,{BASE}") for number in range(450)))


ADDRESSES = ("mail", "mailAlternateAddress", "proxyAddresses", "rfc822Mailbox")


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("m.durand@a.example", True),
        ("marie@a.example", True),
        ("first@a.example", True),
        ("SECOND@a.example", True),
        ("marie.sip@a.example", False),
        ("c=fr;s=marie@a.example", False),
        ("smtp:first@a.example", False),
    ],
)
def test_entries_by_any_of_their_addresses(
    field: Slapd, clients: list[DirectoryClient], address: str, found: bool
) -> None:
    client = connect(clients, field, mail_attributes=ADDRESSES)
    if ":" in address or ";" in address:
        address = f'"{address.partition("@")[0]}"@a.example'
    assert ders(client, address) == ([MARIE.der] if found else [])


def test_the_old_name_of_mail_finds_what_the_server_calls_mail(
    field: Slapd, clients: list[DirectoryClient]
) -> None:
    client = connect(clients, field, mail_attributes=("rfc822Mailbox",))
    assert ders(client, "m.durand@a.example") == [MARIE.der]


def test_all_entries_with_an_address_give_candidates(
    field: Slapd, clients: list[DirectoryClient]
) -> None:
    assert set(ders(connect(clients, field), "paul@a.example")) == {PAUL.der, MARIE.der}


def test_several_addresses_in_one_search(field: Slapd, clients: list[DirectoryClient]) -> None:
    client = connect(clients, field, mail_attributes=ADDRESSES)
    wanted = [f"nobody{number}@a.example" for number in range(12)]
    found = client.search_many([*wanted, "first@a.example", "marie@a.example", "PAUL@a.example"])
    assert client.health().servers[0].answered == 1
    counts = {
        address: len(answer.candidates)
        for address, answer in found.items()
        if not isinstance(answer, DirectoryTrouble)
    }
    assert counts == dict.fromkeys(wanted, 0) | {
        "first@a.example": 1,
        "marie@a.example": 1,
        "paul@a.example": 2,
    }


# -- groups ----------------------------------------------------------------------------------------

BY_MEMBER = GroupRules(base=GROUPS)
BY_MEMBER_OF = GroupRules(base=GROUPS, member="", member_of="memberOf")


def groups(clients: list[DirectoryClient], server: Slapd, rules: GroupRules) -> Groups:
    client = connect(clients, server, mail_attributes=ADDRESSES)
    return Groups([DirectoryGroups(client, rules)])


@pytest.mark.parametrize("rules", [BY_MEMBER, BY_MEMBER_OF])
def test_groups_of_groups_without_end(
    field: Slapd, clients: list[DirectoryClient], rules: GroupRules
) -> None:
    source = groups(clients, field, rules)
    assert source.groups_of("marie@a.example") == {"direction", "house", "loop", "back"}
    assert source.groups_of("nobody@a.example") == frozenset()
    assert source.groups_of("marie@elsewhere.example") == frozenset()


@pytest.mark.parametrize("nested", [0, 1, 2])
def test_no_deeper_than_allowed(field: Slapd, clients: list[DirectoryClient], nested: int) -> None:
    rules = GroupRules(base=GROUPS, nested=nested)
    expected = ("direction", "house", "loop")[: nested + 1]
    assert groups(clients, field, rules).groups_of("marie@a.example") == set(expected)


def test_many_groups_come_in_pages(field: Slapd, clients: list[DirectoryClient]) -> None:
    found = groups(clients, field, BY_MEMBER).groups_of("paul@a.example")
    assert len(found) == 450 + 2
    assert "odd, name" in found


def test_groups_by_account_name(field: Slapd, clients: list[DirectoryClient]) -> None:
    """posixGroup: `memberUid` holds account names (RFC 2307)."""
    rules = GroupRules(base=GROUPS, object_class="posixGroup", member="memberUid")
    source = groups(clients, field, rules)
    assert source.groups_of("marie@a.example") == {"wheel"}
    assert source.groups_of("paul@a.example") == frozenset()


def test_groups_cannot_be_told_while_the_directory_is_away(
    tmp_path: Path, clients: list[DirectoryClient]
) -> None:
    server = Slapd(tmp_path / "groups", CA)
    clock = [0.0]
    try:
        fill(server)
        load_groups_small(server)
        client = connect(clients, server, first_pause=0.05)
        source = Groups([DirectoryGroups(client, BY_MEMBER)], clock=lambda: clock[0])
        assert source.groups_of("marie@a.example") == {"direction"}
        assert source.groups_of("paul@a.example") == frozenset()
        server.stop()
        # both answers are remembered, the one that there is none too
        assert source.groups_of("marie@a.example") == {"direction"}
        assert source.groups_of("paul@a.example") == frozenset()
        clock[0] = 301.0
        for address in ("marie@a.example", "paul@a.example", "other@a.example"):
            with pytest.raises(CannotTellGroups):
                source.groups_of(address)
        server.start()
        time.sleep(0.2)
        assert until(lambda: _groups_or_none(source) == {"direction"})
    finally:
        server.stop()


def _groups_or_none(source: Groups) -> frozenset[str] | None:
    try:
        return source.groups_of("marie@a.example")
    except CannotTellGroups:
        return None


def load_groups_small(server: Slapd) -> None:
    server.load(
        f"dn: {GROUPS}\nobjectClass: organizationalUnit\nou: groups\n\n"
        f"dn: cn=Direction,{GROUPS}\nobjectClass: groupOfNames\ncn: Direction\n"
        f"member: uid=marie,{BASE}\n"
    )
