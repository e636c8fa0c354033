"""What a hostile or broken directory can do: nothing but cost its time, once (threats L12, S19)."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pki.directory import GroupRules
from pki.errors import DirectoryTrouble
from pki.groups import DirectoryGroups
from pki.ldap import Directory, DirectoryClient
from pki.ldap.session import MAX_OCTETS
from tests.flows.hostile_ldap import Fake, Talk, entry, number, text, tlv
from tests.flows.slapd import server_certificate
from tests.pki_maker import Issued, key, root
from tests.services.stopwatch import Stopwatch

pytestmark = pytest.mark.flow

BASE = "dc=a,dc=example"
CA = root("Directory Test CA")
MARIE = CA.issue("Marie", emails=("marie@a.example",))
ADDRESS = "marie@a.example"
GOOD = {"mail": [b"marie@a.example"], "userCertificate;binary": [MARIE.der]}

Behave = Callable[[Talk], None]


class Hostile:
    """Fakes and clients of one test, ended with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fakes: list[Fake] = []
        self.clients: list[DirectoryClient] = []

    def fake(self, behave: Behave, **options: Any) -> Fake:
        self.fakes.append(Fake(behave, **options))
        return self.fakes[-1]

    def client(self, *fakes: Fake, **options: Any) -> DirectoryClient:
        settings: dict[str, Any] = {
            "name": "ministry",
            "urls": tuple(fake.url for fake in fakes),
            "base": BASE,
            "domains": ("a.example",),
            "network_timeout": timedelta(seconds=10),
            "operation_timeout": timedelta(seconds=10),
        }
        # None is tried again before its test is over.
        made = DirectoryClient(Directory(**(settings | options)), first_pause=60)
        self.clients.append(made)
        return made

    def against(self, behave: Behave, **options: Any) -> DirectoryClient:
        return self.client(self.fake(behave), **options)


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Hostile]:
    made = Hostile(tmp_path)
    yield made
    for client in made.clients:
        client.close()
    for fake in made.fakes:
        fake.stop()


# For those who do not answer; the others have the time of a busy machine.
SOON: dict[str, Any] = {
    "network_timeout": timedelta(seconds=0.4),
    "operation_timeout": timedelta(seconds=0.4),
}


def trouble(client: DirectoryClient, address: str = ADDRESS) -> str:
    """The code of the trouble; it came within the directory's time."""
    with Stopwatch() as watch, pytest.raises(DirectoryTrouble) as found:
        client.search(address)
    assert watch.seconds < client.directory.time_limit + 0.3
    return found.value.problem.code


def searched(answer: Callable[[Talk, int], None]) -> Behave:
    """Lets everybody in, and answers each search so."""

    def behave(talk: Talk) -> None:
        talk.bind()
        while True:
            message, operation = talk.next()
            if operation != 0x63:
                return
            answer(talk, message)

    return behave


def honest(talk: Talk, message: int) -> None:
    talk.entry(message, f"uid=marie,{BASE}", GOOD)
    talk.done(message)


def wait(talk: Talk) -> None:
    talk.peer.settimeout(20)
    while talk.peer.recv(4096):
        pass


def drip(talk: Talk, data: bytes) -> None:
    for octet in data:
        talk.send(bytes((octet,)))
        time.sleep(0.1)


def test_the_fake_can_be_honest(hostile: Hostile) -> None:
    """Or all these tests would prove nothing."""
    client = hostile.against(searched(honest))
    for _ in range(3):
        (candidate,) = client.search(ADDRESS).candidates
        assert candidate.der == MARIE.der
    assert hostile.fakes[0].connections == 1


# -- time ------------------------------------------------------------------------------------------


def silent_after_search(talk: Talk) -> None:
    talk.bind()
    talk.next()
    wait(talk)


def drips_its_bind_answer(talk: Talk) -> None:
    message, _ = talk.next()
    drip(talk, tlv(0x30, number(message), tlv(0x61, number(0, 0x0A), text(""), text("x" * 99))))


def drips_an_entry(talk: Talk) -> None:
    talk.bind()
    message, _ = talk.next()
    drip(talk, tlv(0x30, number(message), entry("uid=x", GOOD)))


def sends_references_for_ever(talk: Talk) -> None:
    talk.bind()
    message, _ = talk.next()
    one = tlv(0x30, number(message), tlv(0x73, text("ldap://127.0.0.1:1/")))
    while True:
        talk.send(one * 1000)


@pytest.mark.parametrize(
    "behave", [wait, silent_after_search, drips_its_bind_answer, drips_an_entry]
)
def test_slow_is_cannot_tell_in_time_and_costs_it_once(hostile: Hostile, behave: Behave) -> None:
    client = hostile.against(behave, **SOON)
    assert trouble(client) == "directory.timeout"
    with Stopwatch() as watch:
        for _ in range(50):
            with pytest.raises(DirectoryTrouble) as found:
                client.search(ADDRESS)
            assert found.value.problem.code == "directory.timeout"
    assert watch.seconds < 0.2
    assert client.health().servers[0].failed == 1, "it was asked once"


def test_a_frozen_tls_handshake(hostile: Hostile) -> None:
    ca = hostile.folder / "ca.pem"
    ca.write_bytes(CA.pem)
    fake = hostile.fake(wait)
    client = hostile.client(fake, urls=(f"ldaps://127.0.0.1:{fake.port}",), ca_file=ca, **SOON)
    assert trouble(client) == "directory.timeout"


# -- size ------------------------------------------------------------------------------------------


def entry_of_100_mb(talk: Talk, message: int) -> None:
    talk.send(b"\x30\x84" + (100_000_000).to_bytes(4, "big") + number(message) + b"\x64\x84")
    block = b"\0" * 65536
    while True:
        talk.send(block)


def many_large_entries(talk: Talk, message: int) -> None:
    one = {"mail": [b"marie@a.example"], "userCertificate;binary": [b"\x30" * 1_000_000]}
    for number_ in range(100):
        talk.entry(message, f"uid={number_},{BASE}", one)


def ten_thousand_entries(talk: Talk, message: int) -> None:
    for number_ in range(10_000):
        talk.entry(message, f"uid={number_},{BASE}", GOOD)
    talk.done(message)


# 500,000 values of no octets each, and as many attributes without a value.
MANY_VALUES = tlv(
    0x64, text("uid=x"), tlv(0x30, tlv(0x30, text("mail"), tlv(0x31, b"\4\0" * 500_000)))
)
MANY_NAMES = tlv(0x64, text("uid=x"), tlv(0x30, tlv(0x30, text("mail"), tlv(0x31)) * 500_000))


def an_entry_of_many_values(talk: Talk, message: int) -> None:
    talk.reply(message, MANY_VALUES)


def an_entry_of_many_attributes(talk: Talk, message: int) -> None:
    talk.reply(message, MANY_NAMES)


def fifty_one_certificates(talk: Talk, message: int) -> None:
    values = [MARIE.der + bytes((n,)) for n in range(51)]
    talk.entry(message, f"uid=x,{BASE}", {"mail": GOOD["mail"], "userCertificate": values})
    talk.done(message)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (entry_of_100_mb, "limits.directory"),
        (many_large_entries, "limits.directory"),
        (an_entry_of_many_values, "limits.directory"),
        (an_entry_of_many_attributes, "limits.directory"),
        (fifty_one_certificates, "limits.directory"),
        (ten_thousand_entries, "directory.answer"),
    ],
)
def test_too_much_is_refused_within_little_memory(
    hostile: Hostile, answer: Callable[[Talk, int], None], code: str
) -> None:
    client = hostile.against(searched(answer), operation_timeout=timedelta(seconds=60))
    tracemalloc.start()
    try:
        assert trouble(client) == code
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The fake's own octets are in it too.
    assert peak < 4 * MAX_OCTETS
    # One bad entry does not take the directory away from everybody else.
    assert client.health().available


def test_references_for_ever(hostile: Hostile) -> None:
    client = hostile.against(sends_references_for_ever, **SOON)
    assert trouble(client) in ("limits.directory", "directory.timeout")


def endless_pages(talk: Talk, message: int) -> None:
    talk.page(message, b"more")


def test_pages_without_end(hostile: Hostile) -> None:
    def answer(talk: Talk, message: int) -> None:
        if first.is_set():
            endless_pages(talk, message)
        else:
            first.set()
            honest(talk, message)

    first = threading.Event()
    client = hostile.against(searched(answer), operation_timeout=timedelta(seconds=60))
    groups = DirectoryGroups(client, GroupRules(base=f"ou=groups,{BASE}"))
    with pytest.raises(DirectoryTrouble, match="50 pages"):
        groups.groups_of(ADDRESS)


# -- lies ------------------------------------------------------------------------------------------


def test_entries_of_others_are_nobodys(hostile: Hostile) -> None:
    def answer(talk: Talk, message: int) -> None:
        values = {
            **GOOD,
            "mail": [b"mallory@a.example", b"marie@a.example\0", "mariе@a.example".encode()],
        }
        talk.entry(message, f"uid=mallory,{BASE}", values)
        talk.entry(message, f"uid=none,{BASE}", {**GOOD, "mail": [b""]})
        talk.done(message)

    found = hostile.against(searched(answer)).search(ADDRESS)
    assert found.candidates == ()
    assert [one.problem.code for one in found.refused] == ["directory.stranger"] * 2
    assert "uid=mallory" in found.refused[0].source


def test_an_entry_without_its_addresses_is_cannot_tell(hostile: Hostile) -> None:
    """Where a server lets us search for addresses but not read them, "none" would be a guess."""

    def answer(talk: Talk, message: int) -> None:
        talk.entry(message, f"uid=marie,{BASE}", {"userCertificate": [MARIE.der]})
        talk.done(message)

    client = hostile.against(searched(answer))
    assert trouble(client) == "directory.answer"
    found = client.search_many([ADDRESS, "paul@a.example"])
    assert all(isinstance(one, DirectoryTrouble) for one in found.values())


def test_one_crowd_in_a_batch_is_nobody_elses_trouble_and_ends_in_time(hostile: Hostile) -> None:
    """All the answers together take more time than there is."""

    def answer(talk: Talk, message: int) -> None:
        time.sleep(1)
        asked.append(message)
        if len(asked) > 1:
            honest(talk, message)
        else:
            talk.done(message, 4)

    asked: list[int] = []
    addresses = [ADDRESS, *(f"user{number}@a.example" for number in range(15))]
    limits = {"network_timeout": timedelta(seconds=2), "operation_timeout": timedelta(seconds=2.5)}
    client = hostile.against(searched(answer), **limits)
    with Stopwatch() as watch:
        found = client.search_many(addresses)
    assert watch.seconds < 3.2 * client.directory.time_limit
    assert not isinstance(found[ADDRESS], DirectoryTrouble)
    last = found[addresses[-1]]
    assert isinstance(last, DirectoryTrouble)
    assert last.problem.code == "directory.timeout"


def test_a_batch_with_entries_of_others_is_asked_one_by_one(hostile: Hostile) -> None:
    def answer(talk: Talk, message: int) -> None:
        talk.entry(message, f"uid=marie,{BASE}", GOOD)
        talk.entry(message, f"uid=mallory,{BASE}", {**GOOD, "mail": [b"mallory@a.example"]})
        talk.done(message)

    client = hostile.against(searched(answer))
    found = client.search_many([ADDRESS, "paul@a.example"])
    marie, paul = found[ADDRESS], found["paul@a.example"]
    assert not isinstance(marie, DirectoryTrouble)
    assert not isinstance(paul, DirectoryTrouble)
    assert [one.der for one in marie.candidates] == [MARIE.der]
    assert paul.candidates == ()


# -- protocol --------------------------------------------------------------------------------------


def http(talk: Talk) -> None:
    talk.next()
    talk.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def hangs_up_at_once(talk: Talk) -> None:
    talk.next()


def closes_in_the_middle(talk: Talk, message: int) -> None:
    talk.send(tlv(0x30, number(message), entry("uid=x", GOOD))[:-20])
    talk.peer.shutdown(socket.SHUT_RDWR)


def says_goodbye(talk: Talk, message: int) -> None:
    words = tlv(0x8A, b"1.3.6.1.4.1.1466.20036")
    talk.reply(0, tlv(0x78, number(52, 0x0A), text(""), text(""), words))
    wait(talk)


def answers_another_question(talk: Talk, message: int) -> None:
    talk.entry(message + 1, f"uid=marie,{BASE}", GOOD)
    talk.done(message + 1)


def name_in_no_utf8(talk: Talk, message: int) -> None:
    talk.reply(message, tlv(0x64, text(b"cn=\xff"), tlv(0x30)))
    talk.done(message)


def cut_short_inside(talk: Talk, message: int) -> None:
    talk.reply(message, tlv(0x64, text("cn=x"), b"\x30\x05\x30\x20\x04"))


def indefinite_length(talk: Talk, message: int) -> None:
    talk.send(b"\x30\x80" + number(message) + b"\x64\x80\x04\x00\0\0\0\0")


@pytest.mark.parametrize(
    ("behave", "code"),
    [
        (http, "directory.answer"),
        (hangs_up_at_once, "directory.unreachable"),
        (searched(closes_in_the_middle), "directory.unreachable"),
        (searched(says_goodbye), "directory.unreachable"),
        (searched(answers_another_question), "directory.answer"),
        (searched(name_in_no_utf8), "directory.answer"),
        (searched(cut_short_inside), "directory.answer"),
        (searched(indefinite_length), "directory.answer"),
        (searched(lambda talk, message: talk.done(message, 51)), "directory.unreachable"),
        (searched(lambda talk, message: talk.done(message, 4)), "directory.answer"),
        (searched(lambda talk, message: talk.done(message, 80)), "directory.answer"),
    ],
)
def test_what_is_no_answer_is_cannot_tell(hostile: Hostile, behave: Behave, code: str) -> None:
    client = hostile.against(behave)
    assert trouble(client) == code
    assert hostile.fakes[0].connections <= 2


def test_no_referral_is_followed(hostile: Hostile) -> None:
    trap = hostile.fake(wait)
    url = text(f"ldap://127.0.0.1:{trap.port}/{BASE}")

    def at_login(talk: Talk) -> None:
        message, _ = talk.next()
        referral = tlv(0xA3, url)
        talk.reply(message, tlv(0x61, number(10, 0x0A), text(""), text(""), referral))
        wait(talk)

    def at_search(talk: Talk, message: int) -> None:
        referral = tlv(0xA3, url)
        talk.reply(message, tlv(0x65, number(10, 0x0A), text(""), text(""), referral))

    def beside_nothing(talk: Talk, message: int) -> None:
        talk.reply(message, tlv(0x73, url))
        talk.done(message)

    for behave in (at_login, searched(at_search), searched(beside_nothing)):
        client = hostile.against(behave)
        assert trouble(client) == "directory.answer"
    assert trap.connections == 0


# -- TLS -------------------------------------------------------------------------------------------


def test_wrong_certificate(hostile: Hostile) -> None:
    """From another CA, and nothing was sent to it."""
    ca, cert = hostile.folder / "ca.pem", hostile.folder / "cert.pem"
    ca.write_bytes(CA.pem)
    other = root("Other CA")
    issued = Issued(server_certificate(other, "localhost"), key("slapd"))
    cert.write_bytes(issued.pem + issued.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert)
    asked: list[int] = []
    fake = hostile.fake(lambda talk: asked.append(talk.next()[0]), context=context)
    assert trouble(hostile.client(fake, ca_file=ca)) == "directory.unreachable"
    assert asked == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(tlv(0x78, number(0, 0x0A), text(""), text("")), id="and more"),
        pytest.param(tlv(0x78, number(2, 0x0A), text(""), text("")), id="stripped"),
        pytest.param(tlv(0x61, number(0, 0x0A), text(""), text("")), id="another answer"),
    ],
)
def test_starttls_between_us_and_the_server(hostile: Hostile, answer: bytes) -> None:
    """Who sits on the way answers for the server, or puts octets before TLS (CVE-2011-0411)."""
    ca = hostile.folder / "ca.pem"
    ca.write_bytes(CA.pem)
    later: list[bytes] = []

    def behave(talk: Talk) -> None:
        talk.next()
        success = tlv(0x61, number(0, 0x0A), text(""), text(""))
        talk.send(tlv(0x30, b"\x02\x01\x01", answer) + tlv(0x30, b"\x02\x01\x02", success))
        later.append(talk.peer.recv(4096))

    client = hostile.against(behave, starttls=True, ca_file=ca)
    assert trouble(client) == "directory.unreachable"
    assert later in ([], [b""])


# -- several servers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behave",
    [
        wait,
        drips_an_entry,
        http,
        hangs_up_at_once,
        searched(entry_of_100_mb),
        searched(ten_thousand_entries),
        searched(lambda talk, message: talk.done(message, 51)),
    ],
)
def test_the_second_server_answers_for_a_hostile_first_one(
    hostile: Hostile, behave: Behave
) -> None:
    limits = {"network_timeout": timedelta(seconds=3), "operation_timeout": timedelta(seconds=3)}
    client = hostile.client(hostile.fake(behave), hostile.fake(searched(honest)), **limits)
    with Stopwatch() as watch:
        found = client.search(ADDRESS)
    assert watch.seconds < client.directory.time_limit * 0.75
    assert [one.der for one in found.candidates] == [MARIE.der]
    assert found.server == client.directory.urls[1]
    assert f"({client.directory.urls[1]})" in found.candidates[0].source
