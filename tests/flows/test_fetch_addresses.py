"""Hosts with several addresses, some of them dead: the living one is found, in time, and checked.

All on this machine: of 127.0.0.0/8 each address is a machine of its own, with the same port.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest

from pki.channel import connect
from pki.errors import FetchTrouble
from pki.fetch import FetchRules, Post, fetch
from pki.fetch_ldap import fetch_ldap
from pki.reach import MOST_TRIED, NoneReached, in_turn, reach
from pki.unreached import told
from tests.flows.hostile_ldap import Fake, Talk
from tests.services.stopwatch import Stopwatch

pytestmark = pytest.mark.flow

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
BASE = "cn=CA"
LIVING, DEAD, SILENT, OTHER = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"


class Machine:
    """Answers every connection with the same octets, and keeps what it was sent."""

    def __init__(self, address: str, port: int = 0, answer: bytes = GOOD) -> None:
        self.heard: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server((address, port))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                with peer, suppress(OSError):
                    peer.settimeout(5)
                    self.heard.append(peer.recv(65536))
                    peer.sendall(self._answer)

    def stop(self) -> None:
        # Without it the thread in accept() keeps the port.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


@pytest.fixture
def machine(stack: ExitStack) -> Callable[..., Machine]:
    def start(*args: Any, **options: Any) -> Machine:
        found = Machine(*args, **options)
        stack.callback(found.stop)
        return found

    return start


@pytest.fixture
def swallow(stack: ExitStack) -> Callable[[str, int], None]:
    """Makes a port of an address swallow packets: its queue of connections is full."""

    def start(address: str, port: int) -> None:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((address, port))
        time.sleep(0.05)
        with pytest.raises(TimeoutError):
            socket.create_connection((address, port), timeout=0.2)

    return start


def rules(port: int, *, seconds: float = 20, **options: Any) -> FetchRules:
    settings: dict[str, Any] = {
        "hosts": frozenset({f"crl.example:{port}"}),
        "private": (ip_network("127.0.0.0/8"),),
        "time_limit": timedelta(seconds=seconds),
    }
    return FetchRules(**(settings | options))


def get(
    port: int, addresses: list[str], *, post: Post | None = None, scheme: str = "http", **more: Any
) -> bytes:
    url = f"{scheme}://crl.example:{port}/x"
    return fetch(url, rules(port, **more), look_up=lambda _h, _p: list(addresses), post=post)


def test_a_dead_machine_behind_a_name_costs_nothing(machine: Callable[..., Machine]) -> None:
    living = machine(LIVING)
    assert get(living.port, [DEAD, LIVING]) == b"good"
    assert get(living.port, ["127.0.0.9", DEAD, LIVING]) == b"good"


def test_a_dead_ipv6_costs_nothing(machine: Callable[..., Machine]) -> None:
    """Of an address of ours that nothing listens on, or of a machine without IPv6."""
    living = machine(LIVING)
    private = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert get(living.port, ["::1", LIVING], private=private) == b"good"


def test_what_swallows_packets_uses_its_share_and_no_more(
    machine: Callable[..., Machine], swallow: Callable[[str, int], None]
) -> None:
    living = machine(LIVING)
    swallow(SILENT, living.port)
    with Stopwatch() as watch:
        assert get(living.port, [SILENT, LIVING], seconds=6) == b"good"
    assert watch.seconds < 4  # 6 s: a third for each address, a third for the answer


def test_all_of_them_end_within_the_one_time_limit(
    machine: Callable[..., Machine], swallow: Callable[[str, int], None]
) -> None:
    port = machine(LIVING).port
    for address in (SILENT, OTHER):
        swallow(address, port)
    with Stopwatch() as watch, pytest.raises(FetchTrouble) as failed:
        get(port, [SILENT, OTHER], seconds=1.5)
    assert watch.seconds < 2.5
    text = failed.value.problem.text
    assert "none of its 2 addresses could be reached" in text
    # The same one in whatever order the resolver gives them.
    assert f"one of them, {min(SILENT, OTHER)}: no answer in time" in text
    with Stopwatch() as watch, pytest.raises(FetchTrouble, match=r"longer than 0.5 s"):
        get(port, [SILENT], seconds=0.5)
    assert watch.seconds < 1.5


def test_the_reason_names_how_many_and_the_last(machine: Callable[..., Machine]) -> None:
    port = machine(LIVING).port
    with pytest.raises(FetchTrouble) as failed:
        get(port, ["127.0.0.8", "127.0.0.9", DEAD])
    text = failed.value.problem.text
    assert "none of its 3 addresses" in text
    assert f"{DEAD}: Connection refused" in text
    with pytest.raises(FetchTrouble) as failed:
        get(port, [DEAD])
    assert failed.value.problem.text.endswith("was not fetched: Connection refused")


@pytest.mark.parametrize("where", [0, 1, 2])
def test_one_forbidden_address_refuses_all_and_nobody_is_asked(
    machine: Callable[..., Machine], where: int
) -> None:
    """The way in by several addresses: the first is made to fail, so that the next is asked."""
    inside = machine(LIVING)
    outside = machine(DEAD, inside.port)
    addresses = [DEAD, DEAD]
    addresses.insert(where, LIVING)
    with pytest.raises(FetchTrouble, match="which is not public"):
        get(inside.port, addresses, private=(ip_network(f"{DEAD}/32"),))
    assert inside.heard == outside.heard == []


def test_a_forbidden_address_beyond_those_that_are_tried_refuses_too(
    machine: Callable[..., Machine],
) -> None:
    outside = machine(DEAD)
    addresses = [DEAD, *(f"127.0.0.{n}" for n in range(10, 30))]
    private = (ip_network("127.0.0.0/28"),)
    with pytest.raises(FetchTrouble, match=r"127\.0\.0\.16, which is not public"):
        get(outside.port, addresses, private=private)
    assert outside.heard == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 There\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut",
        b"\0nonsense\r\n\r\n",
        b"",  # closed without a word
    ],
)
@pytest.mark.parametrize("post", [None, Post(b"question", "application/ocsp-request")])
def test_who_took_the_question_is_the_last_to_be_asked(
    machine: Callable[..., Machine], answer: bytes, post: Post | None
) -> None:
    first = machine(LIVING, answer=answer)
    second = machine(DEAD, first.port)
    with pytest.raises(FetchTrouble):
        get(first.port, [LIVING, DEAD], post=post)
    assert len(first.heard) == 1
    assert second.heard == []


def test_a_post_is_sent_once_to_the_one_that_lives(
    machine: Callable[..., Machine], swallow: Callable[[str, int], None]
) -> None:
    living = machine(LIVING)
    other = machine(OTHER, living.port)
    swallow(SILENT, living.port)
    question = Post(b"question", "application/ocsp-request")
    assert get(living.port, [DEAD, SILENT, LIVING, OTHER], post=question, seconds=5) == b"good"
    assert len(living.heard) == 1
    assert living.heard[0].endswith(b"\r\n\r\nquestion")
    assert other.heard == []


@pytest.mark.parametrize("scheme", ["https", "ldaps"])
def test_a_failure_of_tls_is_final(machine: Callable[..., Machine], scheme: str) -> None:
    first = machine(LIVING, answer=b"no TLS here")
    second = machine(DEAD, first.port)
    ask = fetch if scheme == "https" else fetch_ldap
    with pytest.raises(FetchTrouble, match="SSL"):
        ask(
            f"{scheme}://crl.example:{first.port}/{BASE}",
            rules(first.port),
            look_up=lambda _h, _p: [LIVING, DEAD],
        )
    assert len(first.heard) == 1
    assert second.heard == []


@pytest.mark.parametrize("dead", ["refused", "swallowed"])
def test_a_directory_with_a_dead_machine_gives_its_crl(
    stack: ExitStack, swallow: Callable[[str, int], None], dead: str
) -> None:
    def gives(talk: Talk) -> None:
        talk.bind()
        message, _ = talk.next()
        talk.entry(message, BASE, {"certificateRevocationList;binary": (b"crl",)})
        talk.done(message)
        with suppress(OSError):
            talk.peer.recv(1)

    server = Fake(gives)
    stack.callback(server.stop)
    if dead == "swallowed":
        swallow(SILENT, server.port)
    with Stopwatch() as watch:
        found = fetch_ldap(
            f"ldap://crl.example:{server.port}/{BASE}",
            rules(server.port, seconds=5),
            look_up=lambda _h, _p: [SILENT, LIVING],
        )
    assert found == b"crl"
    assert watch.seconds < 3
    with pytest.raises(FetchTrouble, match="which is not public"):
        fetch_ldap(
            f"ldap://crl.example:{server.port}/{BASE}",
            rules(server.port, private=(ip_network(f"{LIVING}/32"),)),
            look_up=lambda _h, _p: [LIVING, SILENT],
        )


def test_directories_go_the_same_way(
    machine: Callable[..., Machine],
    swallow: Callable[[str, int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    living = machine(LIVING)
    swallow(SILENT, living.port)
    monkeypatch.setattr("pki.channel.resolve", lambda _h, _p: [SILENT, DEAD, LIVING])
    with Stopwatch() as watch:
        connect(
            "ldap.example", living.port, tls=None, starttls=False, deadline=time.monotonic() + 4
        ).close()
    assert watch.seconds < 2.5  # a quarter of 4 s for the silent one


def test_families_by_turns_and_not_without_end() -> None:
    assert in_turn(["2001:db8::1"]) == ["2001:db8::1"]
    assert in_turn(["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"]) == [
        "2001:db8::1",
        "192.0.2.1",
        "2001:db8::2",
        "192.0.2.2",
    ]
    assert in_turn(["192.0.2.1", "2001:db8::1", "192.0.2.2"]) == [
        "192.0.2.1",
        "2001:db8::1",
        "192.0.2.2",
    ]
    thousand = [f"2001:db8::{n:x}" for n in range(1, 1000)]
    assert in_turn([*thousand, "192.0.2.1"])[1] == "192.0.2.1"


def test_a_name_with_a_thousand_addresses_is_no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, float]] = []

    def refused(place: tuple[str, int], timeout: float) -> None:
        asked.append((place[0], timeout))
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", refused)
    with pytest.raises(NoneReached) as failed:
        reach([f"192.0.2.{n}" for n in range(1, 200)], 80, time.monotonic() + 14)
    assert failed.value.tried == len(asked) == MOST_TRIED
    assert asked[0][1] == pytest.approx(14 / (MOST_TRIED + 1), abs=0.1)
    assert asked[-1][1] == pytest.approx(14, abs=0.5), "the last one has all that is left"


def test_a_reason_is_the_same_in_whatever_order_the_addresses_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mail that waits writes its reason down anew when it has changed."""
    says = {"192.0.2.1": TimeoutError(), "192.0.2.2": ConnectionRefusedError(111, "refused")}

    def refused(place: tuple[str, int], timeout: float) -> None:
        del timeout
        raise says[place[0]]

    monkeypatch.setattr(socket, "create_connection", refused)
    texts = set()
    for order in (["192.0.2.1", "192.0.2.2"], ["192.0.2.2", "192.0.2.1"]):
        with pytest.raises(NoneReached) as failed:
            reach(order, 80, time.monotonic() + 9)
        assert not isinstance(failed.value, TimeoutError)
        texts.add(told(failed.value))
    assert texts == {
        "none of its 2 addresses could be reached; one of them, 192.0.2.1: no answer in time"
    }
    says["192.0.2.2"] = TimeoutError()
    with pytest.raises(TimeoutError):  # a directory that says nothing: directory.timeout
        reach(["192.0.2.1", "192.0.2.2"], 80, time.monotonic() + 9)


def test_a_directory_of_many_machines_is_reached_by_the_last_one(
    machine: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is the administrator's: behind one of Active Directory are all that there are."""
    living = machine(LIVING)
    dead = [f"127.0.0.{n}" for n in range(30, 30 + 2 * MOST_TRIED)]
    monkeypatch.setattr("pki.channel.addresses_within", lambda *_: [*dead, LIVING])
    connect(
        "ldap.example", living.port, tls=None, starttls=False, deadline=time.monotonic() + 8
    ).close()
