"""Fetching from a hostile little server: every fetch ends, none goes where it may not."""

from __future__ import annotations

import gzip
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest

from pki import fetch as fetch_module
from pki.errors import FetchTrouble
from pki.fetch import FetchRules, fetch
from tests.services.stopwatch import Stopwatch

BODY = b"0123456789" * 1000

pytestmark = pytest.mark.flow


class Hostile(http.server.BaseHTTPRequestHandler):
    """Each path is one way to be bad."""

    protocol_version = "HTTP/1.1"
    visited: list[str]

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        type(self).visited.append(self.path)
        try:
            getattr(self, "do_" + self.path.strip("/").replace("-", "_"))()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def answer(self, status: int = 200, body: bytes = BODY, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers and "Transfer_Encoding" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_good(self) -> None:
        assert self.headers["Accept-Encoding"] == "identity"
        assert self.headers["Host"].startswith("crl.example:")
        self.answer()

    def do_chunked(self) -> None:
        self.answer(body=b"", Transfer_Encoding="chunked")
        for _ in range(3):
            self.wfile.write(b"4\r\nabcd\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def do_until_close(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        self.wfile.write(BODY)

    def do_redirect(self) -> None:
        self.answer(302, b"", Location=f"http://crl.example:{self.server.server_port}/good")  # type: ignore[attr-defined]

    def do_gzip(self) -> None:
        self.answer(body=gzip.compress(bytes(10_000_000)), Content_Encoding="gzip")

    def do_endless(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x" * 65536)

    def do_endless_chunks(self) -> None:
        self.answer(body=b"", Transfer_Encoding="chunked")
        while True:
            self.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    def do_all_in_a_chunk(self) -> None:
        self.answer(body=b"", Transfer_Encoding="chunked")
        self.wfile.write(b"-1\r\n")
        while True:
            self.wfile.write(b"x" * 65536)

    def do_negative_chunk(self) -> None:
        self.answer(body=b"", Transfer_Encoding="chunked")
        self.wfile.write(b"-2\r\nxx\r\n")

    def do_huge(self) -> None:
        self.answer(body=b"x", Content_Length=str(10**12))

    def do_drip(self) -> None:
        self.answer(body=b"", Content_Length="1000")
        while True:
            self.wfile.write(b"x")
            time.sleep(0.1)

    def do_drip_header(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            self.wfile.write(b"x")
            time.sleep(0.1)

    def do_silent(self) -> None:
        time.sleep(30)

    def do_cut(self) -> None:
        self.close_connection = True
        self.answer(Content_Length="20000")

    def do_error(self) -> None:
        self.answer(500)

    def do_nonsense(self) -> None:
        self.close_connection = True
        self.wfile.write(b"\x00\xff nonsense\r\n\r\n")


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    Hostile.visited = []
    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    found.daemon_threads = True
    found.block_on_close = False
    thread = threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()


def rules(port: int, **options: Any) -> FetchRules:
    defaults: dict[str, Any] = {
        "hosts": frozenset({f"crl.example:{port}"}),
        "private": (ip_network("127.0.0.0/8"),),
        "max_bytes": 100_000,
        "time_limit": timedelta(seconds=20),
    }
    return FetchRules(**(defaults | options))


def loopback(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


def get(server: http.server.ThreadingHTTPServer, path: str, **options: Any) -> bytes:
    port = server.server_port
    return fetch(f"http://crl.example:{port}/{path}", rules(port, **options), look_up=loopback)


@pytest.mark.parametrize("path", ["good", "until-close"])
def test_good(server: http.server.ThreadingHTTPServer, path: str) -> None:
    assert get(server, path) == BODY


def test_chunked(server: http.server.ThreadingHTTPServer) -> None:
    assert get(server, "chunked") == b"abcd" * 3


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("redirect", "redirects elsewhere"),
        ("gzip", "is encoded"),
        ("endless", "larger than 100000"),
        ("endless-chunks", "larger than 100000"),
        ("all-in-a-chunk", "larger than 100000"),
        ("negative-chunk", "ValueError"),
        ("huge", "larger than 100000"),
        ("drip", "longer than 1 s"),
        ("drip-header", "longer than 1 s"),
        ("silent", "longer than 1 s"),
        ("cut", "cut short|IncompleteRead"),
        ("error", "the server answered 500"),
        ("nonsense", "BadStatusLine"),
    ],
)
def test_hostile_answers_end_soon(
    server: http.server.ThreadingHTTPServer, path: str, words: str
) -> None:
    limits = {"time_limit": timedelta(seconds=1)} if "longer than" in words else {}
    with Stopwatch() as watch, pytest.raises(FetchTrouble, match=words):
        get(server, path, **limits)
    assert watch.seconds < 2
    assert Hostile.visited == ["/" + path]


@pytest.mark.parametrize(
    "url",
    [
        "http://other.example:{port}/good",
        "http://crl.example/good",
        "https://crl.example/good",
        "http://127.0.0.1:{port}/good",
        "http://2130706433:{port}/good",
        "http://[::1]:{port}/good",
        "http://crl.example:{port}@other.example/good",
        "http://user:secret@crl.example:{port}/good",
        "http://crl.example:{port}/good#fragment",
        "http://crl.example:{port}/go od",
        "http://crl.example:{port}\\@other.example/good",
        "http://crl.example:{port}/\r\nX: y",
        "http://crl.example.:{port}/good",
        "http://crl.example:99999/good",
        "http://crl。example:{port}/good",
        "file:///etc/passwd",
        "ldap://crl.example:{port}/cn=x",
        "gopher://crl.example:{port}/",
        "//crl.example:{port}/good",
        "good",
        "",
    ],
)
def test_only_listed_hosts(server: http.server.ThreadingHTTPServer, url: str) -> None:
    with pytest.raises(FetchTrouble):
        fetch(url.format(port=server.server_port), rules(server.server_port), look_up=loopback)
    assert Hostile.visited == []


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860::1", "64:ff9b::808:808"])
def test_public_addresses_may_be_reached(address: str) -> None:
    nowhere = FetchRules(frozenset({"crl.example:80"}))
    found = fetch_module.checked_addresses(
        "http://crl.example/",
        "crl.example",
        80,
        nowhere,
        lambda _h, _p: [address],
        time.monotonic() + 5,
    )
    assert found == [address]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "::7f00:1",
        "::ffff:0:7f00:1",
        "fec0::1",
        "5f00::1",
        "3fff::1",
        "2002:7f00:1::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
    ],
)
def test_no_inside_addresses(server: http.server.ThreadingHTTPServer, address: str) -> None:
    port = server.server_port
    for found in ([address], ["192.0.43.8", address]):
        with pytest.raises(FetchTrouble, match="which is not public"):
            fetch(
                f"http://crl.example:{port}/good",
                rules(port, private=()),
                look_up=lambda _host, _port, found=found: found,  # type: ignore[misc]
            )
    assert Hostile.visited == []


def test_the_checked_address_is_the_one_connected_to(
    server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: whatever the name means a moment later is never asked."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def spy(host: Any, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", spy)
    assert get(server, "good") == BODY
    assert set(asked) <= {"127.0.0.1"}  # a numeric address, no name


def test_a_slow_resolver_ends_too() -> None:
    def slow(_host: str, _port: int) -> list[str]:
        time.sleep(5)
        return ["127.0.0.1"]

    limit = timedelta(seconds=1)
    with Stopwatch() as watch, pytest.raises(FetchTrouble):
        fetch("http://crl.example:80/x", rules(80, time_limit=limit), look_up=slow)
    assert watch.seconds < 2


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(FetchTrouble, match="Connection refused"):
            fetch(f"http://crl.example:{port}/x", rules(port), look_up=loopback)

    def unknown(_host: str, _port: int) -> list[str]:
        raise socket.gaierror("unknown")

    with pytest.raises(FetchTrouble, match="has no address"):
        fetch("http://crl.example:80/x", rules(80), look_up=unknown)
