"""CRL sources on a hostile network: nothing is reached that may not be, everything ends in time,
what is known stays (threats L8, L9).

What `pki.fetch` answers to each bad server alone is in tests/flows/test_fetch.py. Here they are all
sources of one keeper, over HTTP and LDAP, and a trap counts who comes where nobody may.
"""

from __future__ import annotations

import gzip
import hashlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from gateway.config.pki_sections import CrlFetch
from gateway.database import Database
from pki import crl_store
from pki import fetch as fetch_module
from pki.errors import FetchTrouble
from pki.fetch import FetchRules, fetch
from pki.fetch_ldap import fetch_ldap, read_ldap_url
from pki.keeper import CrlSource, SourceReport, refresh_crls
from pki.trust import StoredTrust
from tests.flows.hostile_ldap import Fake, Talk, number, text, tlv
from tests.flows.slapd import server_certificate
from tests.pki_maker import DAY, NOW, key, root

CA = root("Network Test CA")
CRL = CA.crl(6)
BASE = "cn=Network Test CA,o=Sceau Tests"
ENTRY = BASE.replace(" ", "%20")
LIMIT = timedelta(seconds=2)  # for those who are bad
PATIENCE = timedelta(minutes=1)  # with those who are good, on a machine that stands still at times
# What such a machine takes beyond a limit; who is not limited takes 30 seconds, or for ever.
DELAY = 8.0
BINARY = "certificateRevocationList;binary"
ORDER_HTTP = b"HTTP/1.1 200 OK\r\n"

Answer = Callable[[Talk], None]


def loopback(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


def rules(*ports: int, **options: Any) -> FetchRules:
    hosts = {f"crl.example:{port}" for port in ports}
    settings: dict[str, Any] = {
        "hosts": frozenset(hosts),
        "private": (ip_network("127.0.0.0/8"),),
        "max_bytes": 200_000,
        "time_limit": PATIENCE,
    }
    return FetchRules(**(settings | options))


@pytest.fixture
def serve() -> Iterator[Callable[..., Fake]]:
    """Starts servers that a test wants, and stops them."""
    with ExitStack() as stack:

        def start(behave: Answer, **options: Any) -> Fake:
            server = Fake(behave, **options)
            stack.callback(server.stop)
            return server

        yield start


def http(*pieces: bytes, forever: bytes = b"", pause: float = 0.0) -> Answer:
    """Sends the pieces, and then one again and again."""

    def behave(talk: Talk) -> None:
        talk.peer.recv(4096)
        for piece in pieces:
            talk.send(piece)
        while forever:
            talk.send(forever)
            time.sleep(pause)

    return behave


def ldap(act: Callable[[Talk, int], None]) -> Answer:
    """Lets the client in and answers its search with `act`."""

    def behave(talk: Talk) -> None:
        talk.bind()
        message, _ = talk.next()
        act(talk, message)
        with suppress(OSError):
            talk.peer.recv(1)  # goodbye

    return behave


def gives(*values: bytes, name: str = BINARY, dn: str = BASE) -> Answer:
    def act(talk: Talk, message: int) -> None:
        talk.entry(message, dn, {name: values})
        talk.done(message)

    return ldap(act)


def get_ldap(server: Fake, **options: Any) -> bytes:
    url = f"ldap://crl.example:{server.port}/{ENTRY}?{BINARY}"
    return fetch_ldap(url, rules(server.port, **options), look_up=loopback)


def test_a_crl_from_a_directory(serve: Callable[..., Fake]) -> None:
    for name in (BINARY, "certificateRevocationList", "CERTIFICATEREVOCATIONLIST;BINARY"):
        assert get_ldap(serve(gives(CRL, name=name))) == CRL


def test_the_attribute_that_is_asked_for_is_the_one_that_counts(
    serve: Callable[..., Fake],
) -> None:
    server = serve(gives(CRL, name="deltaRevocationList;binary"))
    url = f"ldap://crl.example:{server.port}/{ENTRY}"
    assert fetch_ldap(f"{url}?deltaRevocationList", rules(server.port), look_up=loopback) == CRL
    for other in ("certificateRevocationList", "authorityRevocationList;binary"):
        with pytest.raises(FetchTrouble, match="or it has no"):
            fetch_ldap(f"{url}?{other}", rules(server.port), look_up=loopback)


def test_active_directory_writes_a_filter() -> None:
    url = (
        "ldap://dc1.b.example/CN=CA,CN=dc1,CN=CDP,CN=Services,CN=Configuration,DC=b,DC=example"
        "?certificateRevocationList?base?objectClass=cRLDistributionPoint"
    )
    asked = read_ldap_url(url)
    assert (asked.attribute, asked.object_class) == (
        "certificateRevocationList",
        "cRLDistributionPoint",
    )
    assert asked.base.startswith("CN=CA,CN=dc1")
    assert read_ldap_url("ldap://h/cn=a%20%c3%a9").base == "cn=a é"


@pytest.mark.parametrize(
    "rest",
    [
        "?certificateRevocationList",
        f"{ENTRY}?userPassword",
        f"{ENTRY}?certificateRevocationList,userPassword",
        f"{ENTRY}?certificateRevocationList;range=0-1",
        f"{ENTRY}?certificateRevocationList?sub",
        f"{ENTRY}?certificateRevocationList?one",
        f"{ENTRY}?certificateRevocationList?base?(uid=*)",
        f"{ENTRY}?certificateRevocationList?base?(%26(objectClass=a)(uid=b))",
        f"{ENTRY}?certificateRevocationList?base??!1.2.3=x",
        f"{ENTRY}?certificateRevocationList?base???",
        "%ff?certificateRevocationList",
    ],
)
def test_an_ldap_url_asks_for_one_crl_and_nothing_else(
    serve: Callable[..., Fake], rest: str
) -> None:
    server = serve(gives(CRL))
    with pytest.raises(FetchTrouble):
        fetch_ldap(f"ldap://crl.example:{server.port}/{rest}", rules(server.port), look_up=loopback)
    assert server.connections == 0


def test_only_listed_hosts_and_checked_addresses(serve: Callable[..., Fake]) -> None:
    server = serve(gives(CRL))
    port = server.port
    for place in (
        f"other.example:{port}",
        f"127.0.0.1:{port}",
        f"[::1]:{port}",
        f"2130706433:{port}",
        f"crl.example.:{port}",
        f"user@crl.example:{port}",
        "crl.example",
        "",
    ):
        with pytest.raises(FetchTrouble):
            fetch_ldap(f"ldap://{place}/{ENTRY}", rules(port), look_up=loopback)
    for inside in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "10.0.0.1"):
        for found in ([inside], ["192.0.43.8", inside]):
            with pytest.raises(FetchTrouble, match="not public"):
                fetch_ldap(
                    f"ldap://crl.example:{port}/{ENTRY}",
                    rules(port, private=()),
                    look_up=lambda *_, found=found: found,  # type: ignore[misc]
                )
    assert server.connections == 0


@pytest.mark.parametrize("scheme", ["http", "ldap"])
def test_a_name_that_means_something_else_a_moment_later(
    serve: Callable[..., Fake], monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Rebinding: the first answer is a public address, every later one the trap's."""
    trap = serve(lambda _talk: None)
    answers = iter([["192.0.2.1"]])
    connected: list[str] = []

    def refused(address: tuple[str, int], **_: Any) -> None:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(fetch_module.socket, "create_connection", refused)
    get = fetch if scheme == "http" else fetch_ldap
    with pytest.raises(FetchTrouble, match="ConnectionRefused"):
        get(
            f"{scheme}://crl.example:{trap.port}/{ENTRY}",
            rules(trap.port, private=(ip_network("192.0.2.0/24"),)),
            look_up=lambda *_: next(answers, ["127.0.0.1"]),
        )
    assert connected == ["192.0.2.1"]
    assert trap.connections == 0


def test_ldaps_with_another_ca_or_name(serve: Callable[..., Fake], tmp_path: Path) -> None:
    files = {}
    for name in ("crl.example", "other.example"):
        file = tmp_path / name
        cert = server_certificate(CA, name)
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        secret = key("slapd").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(cert.public_bytes(Encoding.PEM) + secret)
        files[name] = file
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(CA.pem)
    for name, ca in (("crl.example", ca_file), ("crl.example", None), ("other.example", ca_file)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files[name])
        server = serve(gives(CRL), context=context)
        url = f"ldaps://crl.example:{server.port}/{ENTRY}"
        if name == "crl.example" and ca is not None:
            assert fetch_ldap(url, rules(server.port, ca=ca), look_up=loopback) == CRL
            continue
        with pytest.raises(FetchTrouble, match="its certificate is not believed"):
            fetch_ldap(url, rules(server.port, ca=ca), look_up=loopback)


def test_https_with_another_ca(tmp_path: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CRL)))
            self.end_headers()
            self.wfile.write(CRL)

        def log_message(self, *_: Any) -> None:
            pass

    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    own = tmp_path / "own.pem"
    secret = key("slapd").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    own.write_bytes(server_certificate(CA, "crl.example").public_bytes(Encoding.PEM) + secret)
    ca_file, others = tmp_path / "ca.pem", tmp_path / "others.pem"
    ca_file.write_bytes(CA.pem)
    others.write_bytes(root("Another CA").pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url, port = f"https://crl.example:{server.server_port}/x.crl", server.server_port
        assert fetch(url, rules(port, ca=ca_file), look_up=loopback) == CRL
        for ca, words in (
            (None, "its certificate is not believed"),
            (others, "its certificate is not believed"),
            (tmp_path / "missing.pem", "No such file"),
        ):
            with pytest.raises(FetchTrouble, match=words):
                fetch(url, rules(port, ca=ca), look_up=loopback)
        server.shutdown()


def referral(trap: Fake) -> Answer:
    def act(talk: Talk, message: int) -> None:
        to = tlv(0xA3, text(f"{trap.url}/{BASE}"))
        talk.reply(message, tlv(0x65, number(10, 0x0A), text(""), text(""), to))

    return ldap(act)


def reference(trap: Fake) -> Answer:
    def act(talk: Talk, message: int) -> None:
        talk.reply(message, tlv(0x73, text(f"{trap.url}/{BASE}")))
        talk.done(message)

    return ldap(act)


def endless_entries(talk: Talk, message: int) -> None:
    while True:
        talk.entry(message, BASE, {BINARY: [b"x" * 1000]})


def endless_passed_over(talk: Talk, message: int) -> None:
    while True:  # IntermediateResponse
        talk.reply(message, tlv(0x79, b""))


def dripping(talk: Talk, message: int) -> None:
    whole = tlv(0x30, number(message), tlv(0x64, text(BASE), tlv(0x30)))
    for octet in whole * 50:
        talk.send(bytes((octet,)))
        time.sleep(0.2)


def announces_much(talk: Talk, _message: int) -> None:
    talk.send(b"\x30\x84\x7f\xff\xff\xff" + b"x" * 100)


def hostile(trap: Fake) -> dict[str, tuple[str, Answer]]:
    """Every way to be bad: scheme, and what the server does."""
    place = trap.url.partition("://")[2]
    moved = f"Location: http://{place}/x\r\nContent-Length: 0\r\n\r\n".encode()
    bomb = gzip.compress(bytes(50_000_000), 9)
    size = b"Content-Length: %d\r\n"
    return {
        "redirects inward": ("http", http(b"HTTP/1.1 302 Found\r\n" + moved)),
        "redirects for good": ("http", http(b"HTTP/1.1 308 Permanent Redirect\r\n" + moved)),
        "drips": ("http", http(ORDER_HTTP, size % 1000, b"\r\n", forever=b"x", pause=0.2)),
        "drips a header": ("http", http(ORDER_HTTP + b"X: ", forever=b"x", pause=0.2)),
        "says less than it sends": ("http", http(ORDER_HTTP, size % 100, b"\r\n", CRL)),
        "says more than it sends": ("http", http(ORDER_HTTP, size % 9999, b"\r\n", CRL)),
        "says it is huge": ("http", http(ORDER_HTTP, size % 10**13, b"\r\n", CRL)),
        "never ends": ("http", http(ORDER_HTTP + b"\r\n", forever=b"x" * 65536)),
        "never ends a chunk": (
            "http",
            http(ORDER_HTTP + b"Transfer-Encoding: chunked\r\n\r\n", forever=b"0000000000000000"),
        ),
        "a gzip bomb": (
            "http",
            http(ORDER_HTTP, b"Content-Encoding: gzip\r\n", size % len(bomb), b"\r\n", bomb),
        ),
        "a gzip bomb unsaid": ("http", http(ORDER_HTTP, size % len(bomb), b"\r\n", bomb)),
        "says nothing": ("http", http(pause=0.2, forever=b"")),
        "an older CRL": ("http", http(ORDER_HTTP + b"\r\n", CA.crl(4))),
        "another CA's": ("http", http(ORDER_HTTP + b"\r\n", root("Stranger").crl(9))),
        "refers inward": ("ldap", referral(trap)),
        "gives a reference inward": ("ldap", reference(trap)),
        "entries without end": ("ldap", ldap(endless_entries)),
        "answers without end": ("ldap", ldap(endless_passed_over)),
        "drips LDAP": ("ldap", ldap(dripping)),
        "announces much": ("ldap", ldap(announces_much)),
        "frozen LDAP": ("ldap", lambda talk: time.sleep(30)),
        "no LDAP": ("ldap", lambda talk: talk.send(ORDER_HTTP * 10)),
        "several values": ("ldap", gives(CRL, CA.crl(7))),
        "garbage in LDAP": ("ldap", gives(b"\x30\x82\xff\xff" + b"x" * 999)),
    }


def test_a_keeper_among_hostile_servers(
    serve: Callable[..., Fake], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 connections to the trap, all fetches over in time, what is known kept, good ones stored."""
    monkeypatch.setattr(
        "pki.fetch.fetch.__kwdefaults__", {**(fetch.__kwdefaults__ or {}), "look_up": loopback}
    )
    monkeypatch.setattr(
        "pki.fetch_ldap.fetch_ldap.__kwdefaults__",
        {**(fetch_ldap.__kwdefaults__ or {}), "look_up": loopback},
    )
    trap = serve(lambda talk: talk.send(ORDER_HTTP + b"\r\n" + CRL))
    bad = {name: (scheme, serve(act)) for name, (scheme, act) in hostile(trap).items()}
    good = {
        "good over HTTP": ("http", serve(http(ORDER_HTTP + size_of(CRL), CRL))),
        "good over LDAP": ("ldap", serve(gives(CRL))),
    }
    sources = [
        CrlSource(name, f"{scheme}://crl.example:{server.port}/{ENTRY}")
        for name, (scheme, server) in (bad | good).items()
    ]
    fine = {source.location for source in sources if source.name in good}
    ports = [server.port for _, server in (bad | good).values()]
    monkeypatch.setattr("pki.keeper._ROUND", 60.0)  # all of them in one round
    trust = StoredTrust(database.read, anchors=[CA.anchor()])
    with database.write() as conn:
        crl_store.store_crl(conn, known_before(), moment=NOW)

    took: dict[str, float] = {}

    def timed(url: str, within: FetchRules) -> bytes:
        from pki.keeper import fetch_source

        begin = time.monotonic()
        try:
            return fetch_source(
                url, replace(within, time_limit=PATIENCE) if url in fine else within
            )
        finally:
            took[url] = time.monotonic() - begin

    reports = refresh_crls(
        database.read,
        database.write,
        sources,
        trust=trust,
        rules=rules(*ports, time_limit=LIMIT),
        moment=NOW,
        get=timed,
    )
    states = {report.source: report.state for report in reports}
    assert {name: states[name] for name in bad} == dict.fromkeys(bad, "failed")
    assert {states[name] for name in good} == {"stored", "unchanged"}
    assert trap.connections == 0
    assert all(server.connections == 1 for _, server in (bad | good).values())
    assert max(took.values()) < LIMIT.total_seconds() + DELAY
    with database.read() as conn:
        assert [one.number for one in crl_store.current_crls(conn, {})] == [6]
        assert {one.number for one in crl_store.list_crls(conn)} == {5, 6}
        fetches = crl_store.last_fetches(conn)
    assert all(fetches[source.location].failures == (source.name in bad) for source in sources)


def test_with_the_default_limits_every_fetch_is_over_in_ten_seconds(
    serve: Callable[..., Fake],
) -> None:
    """Nothing is made shorter here: these are the limits of an installation that names none."""
    head = ORDER_HTTP + b"\r\n"
    bad: dict[str, tuple[str, Answer]] = {
        "drips its body": ("http", http(head, forever=b"x", pause=0.2)),
        "drips its header": ("http", http(ORDER_HTTP + b"X: ", forever=b"x", pause=0.2)),
        "never ends": ("http", http(head, forever=b"x" * 65536, pause=0.02)),
        "says nothing": ("http", lambda talk: time.sleep(30)),
        "drips LDAP": ("ldap", ldap(dripping)),
        "entries without end": ("ldap", ldap(slow_entries)),
        "frozen LDAP": ("ldap", lambda talk: time.sleep(30)),
    }
    servers = {name: (scheme, serve(act)) for name, (scheme, act) in bad.items()}
    fetching = CrlFetch()
    default = FetchRules(
        frozenset(f"crl.example:{server.port}" for _, server in servers.values()),
        (ip_network("127.0.0.0/8"),),
        fetching.max_size,
        fetching.timeout,
    )
    assert default.time_limit == timedelta(seconds=10)

    def get(name: str) -> tuple[float, str]:
        scheme, server = servers[name]
        url = f"{scheme}://crl.example:{server.port}/{ENTRY}"
        begin = time.monotonic()
        with pytest.raises(FetchTrouble) as raised:
            (fetch if scheme == "http" else fetch_ldap)(url, default, look_up=loopback)
        return time.monotonic() - begin, str(raised.value)

    with ThreadPoolExecutor(len(bad)) as pool:
        took = dict(zip(bad, pool.map(get, bad), strict=True))

    assert {name: said for name, said in took.items() if said[0] > 10 + DELAY} == {}


def slow_entries(talk: Talk, message: int) -> None:
    while True:
        talk.entry(message, BASE, {"description": [b"x" * 10_000]})
        time.sleep(0.05)


def known_before() -> Any:
    from pki.crl import Crl

    return Crl(CA.crl(5))


def size_of(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body)


def test_slow_sources_do_not_delay_the_others(pki_database: Database) -> None:
    """Fifty that hang, one whose CRL ends in a day: eight at a time are asked, half of that is
    asserted. The fifty times are added up as they were: what the machine adds, it adds to them.
    """
    trust = StoredTrust(pki_database.read, anchors=[CA.anchor()])
    hanging = threading.Event()
    hung: list[float] = []
    stored: list[float] = []
    written: list[float] = []

    def get(url: str, _rules: FetchRules) -> bytes:
        if url.endswith("good"):
            stored.append(time.monotonic() - begin)
            return CRL
        since = time.monotonic()
        hanging.wait(0.3)
        hung.append(time.monotonic() - since)
        raise TimeoutError

    sources = [CrlSource(str(n), f"http://crl.example/{n}") for n in range(50)]
    sources.append(CrlSource("good", "http://crl.example/good"))

    @contextmanager
    def write() -> Iterator[Any]:
        since = time.monotonic()
        with pki_database.write() as conn:
            yield conn
        written.append(time.monotonic() - since)

    def round_at(at: timedelta) -> list[SourceReport]:
        hung.clear()
        written.clear()
        return refresh_crls(
            pki_database.read,
            write,
            sources,
            trust=trust,
            rules=rules(),
            moment=NOW + at,
            get=get,
        )

    begin = time.monotonic()
    assert round_at(timedelta())[-1].state == "stored"
    assert time.monotonic() - begin < sum(hung) / 4 + sum(written)  # not one after the other
    begin = time.monotonic()
    assert round_at(6 * DAY)[-1].state == "unchanged"
    assert stored[-1] < sum(hung) / 4 + sum(written)


def test_a_round_ends_and_the_rest_comes_in_the_next(
    pki_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pki.keeper._ROUND", 0.3)
    trust = StoredTrust(pki_database.read, anchors=[CA.anchor()])
    asked: list[str] = []

    def get(url: str, _rules: FetchRules) -> bytes:
        asked.append(url)
        time.sleep(0.2)
        raise TimeoutError

    sources = [CrlSource(str(n), f"http://crl.example/{n}") for n in range(40)]
    states: list[str] = []
    for _ in range(4):
        reports = refresh_crls(
            pki_database.read,
            pki_database.write,
            sources,
            trust=trust,
            rules=rules(),
            moment=NOW,
            get=get,
        )
        states += [report.state for report in reports]
    assert states.count("failed") == len(set(asked)) == len(asked)  # none twice
    assert len(asked) > 20
    assert "waiting" in states[:40]


def test_the_digest_of_what_came_is_what_is_kept(serve: Callable[..., Fake]) -> None:
    """A CRL of 40 kB in octets that arrive in small pieces is the same CRL."""
    large = CRL + b"x" * 40_000

    def act(talk: Talk, message: int) -> None:
        whole = tlv(
            0x30,
            number(message),
            tlv(0x64, text(BASE), tlv(0x30, tlv(0x30, text(BINARY), tlv(0x31, text(large))))),
        )
        for at in range(0, len(whole), 1400):
            talk.send(whole[at : at + 1400])
        talk.done(message)

    found = get_ldap(serve(ldap(act)))
    assert hashlib.sha256(found).digest() == hashlib.sha256(large).digest()
