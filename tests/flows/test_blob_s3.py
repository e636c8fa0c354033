"""The blob store on a real S3 server (SeaweedFS): the contract; and servers that fail or lie."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from archive import blob_s3
from archive.blob_s3 import S3Settings, S3Store
from archive.blobs import Blobs
from archive.errors import BlobMissing, BlobStoreFull, BlobTrouble, Damaged
from gateway.demo.process import free_port
from tests.blob_contract import BlobStoreContract, mark, put
from tests.services.seaweed import Seaweed
from tests.services.stopwatch import Stopwatch

pytestmark = pytest.mark.flow


@pytest.fixture(autouse=True)
def _short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of fifty names takes three answers."""
    monkeypatch.setattr(blob_s3, "_PAGE", 20)


@pytest.fixture
def settings(seaweed_server: Seaweed, request: pytest.FixtureRequest) -> S3Settings:
    """A prefix of its own for each test."""
    return seaweed_server.settings(prefix=f"{abs(hash(request.node.nodeid))}/in/it/")


@pytest.fixture
def store(settings: S3Settings) -> S3Store:
    return S3Store(settings)


@pytest.fixture
def again(settings: S3Settings) -> S3Store:
    return S3Store(settings)


class TestContract(BlobStoreContract):
    pass


def test_the_server_compares_checksums(store: S3Store) -> None:
    assert store.compares()
    assert store.days() == []


def test_another_prefix_is_another_store(store: S3Store, settings: S3Settings) -> None:
    mark(store)
    name = put(store, b"x")
    other = S3Store(replace(settings, prefix=settings.prefix + "deeper/"))
    with pytest.raises(BlobMissing):
        other.get(name)
    assert other.days() == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bucket": "nobody-has-this"}, "NoSuchBucket"),
        ({"secret_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"access_key": "NOBODY"}, "InvalidAccessKeyId"),
    ],
)
def test_a_refusal_is_trouble_and_says_which(
    settings: S3Settings, changed: dict[str, str], said: str
) -> None:
    store = S3Store(replace(settings, **changed))
    for act in (lambda: put(store, b"x"), lambda: store.get("origin"), store.days):
        with pytest.raises(BlobTrouble, match=said) as caught:
            act()
        assert not isinstance(caught.value, BlobMissing)


def test_nothing_of_the_environment_is_used(
    settings: S3Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile other]\nregion = nowhere\n[default]\nca_bundle = /nowhere\n")
    dead = f"http://127.0.0.1:{free_port()}"
    for name, value in {
        "AWS_PROFILE": "nobody",
        "AWS_CONFIG_FILE": str(config),
        "AWS_ENDPOINT_URL": dead,
        "AWS_ENDPOINT_URL_S3": dead,
        "AWS_ACCESS_KEY_ID": "OTHER",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_SESSION_TOKEN": "other",
        "AWS_CA_BUNDLE": "/nowhere",
        "HTTP_PROXY": dead,
        "HTTPS_PROXY": dead,
        "http_proxy": dead,
    }.items():
        monkeypatch.setenv(name, value)
    store = S3Store(settings)
    mark(store)
    assert store.get(put(store, b"x")) == b"x"


# -- servers that are no help: each answers as the test says --------------------------------------


Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


class _Fake(ThreadingHTTPServer):
    daemon_threads = True
    answer: Answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        assert isinstance(self.server, _Fake)
        self.server.answer(self, body)

    do_GET = do_PUT = do_DELETE = do_HEAD = _any

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def fake(
    answer: Callable[[BaseHTTPRequestHandler, bytes], None], **more: object
) -> Iterator[S3Store]:
    with _Fake(("127.0.0.1", 0), _Handler) as server:
        server.answer = answer
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        values = {
            "endpoint": f"http://127.0.0.1:{server.server_address[1]}", "bucket": "sceau",
            "prefix": "", "region": "us-east-1", "access_key": "a", "secret_key": "b",
            "ca_file": None, "path_style": True, "timeout": timedelta(seconds=20), **more,
        }  # fmt: skip
        yield S3Store(S3Settings(**values))  # type: ignore[arg-type]
        server.shutdown()


def _reply(handler: BaseHTTPRequestHandler, code: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(code)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def test_a_server_that_ignores_checksums_is_read_back() -> None:
    kept: dict[str, bytes] = {}
    reads: list[str] = []

    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.command == "PUT":
            kept[handler.path] = body
            _reply(handler, 200)
        elif handler.command == "DELETE":
            kept.pop(handler.path, None)
            _reply(handler, 204)
        else:
            reads.append(handler.path)
            _reply(handler, 200, kept[handler.path])

    with fake(answer) as store:
        name = put(store, b"x" * 1000)
    assert reads == [f"/sceau/{name}"]


def test_a_server_that_repeats_a_checksum_without_looking_is_not_believed() -> None:
    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.command == "PUT":
            _reply(handler, 200, x_amz_checksum_sha256=handler.headers["x-amz-checksum-sha256"])
        elif handler.command == "DELETE":
            _reply(handler, 204)
        else:
            _reply(handler, 200, b"something else")

    with fake(answer) as store, pytest.raises(BlobTrouble, match="other octets"):
        put(store, b"x" * 1000)


def test_content_that_is_another_is_damage() -> None:
    with fake(lambda handler, _: _reply(handler, 200, b"something else")) as store:
        blobs = Blobs(store, origin="o", above=1, in_use=lambda: True)
        with pytest.raises(Damaged, match="hash"):
            blobs.fetch("2026-11-21/" + "0" * 64)


def test_a_full_server_is_full() -> None:
    with fake(lambda handler, _: _reply(handler, 507)) as store, pytest.raises(BlobStoreFull):
        put(store, b"x")


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"<?xml version='1.0'?><ListBucketResult><Contents/>"]
)
def test_answers_that_are_none_are_trouble(body: bytes) -> None:
    with fake(lambda handler, _: _reply(handler, 200, body)) as store, pytest.raises(BlobTrouble):
        list(store.names("2026-11-21"))


def test_an_answer_that_is_cut_is_asked_for_again() -> None:
    asked: list[int] = []

    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        asked.append(1)
        if len(asked) == 1:
            handler.send_response(200)
            handler.send_header("Content-Length", "5")
            handler.end_headers()
            handler.wfile.write(b"wh")
            handler.close_connection = True
        else:
            _reply(handler, 200, b"whole")

    with fake(answer) as store:
        assert store.get("origin") == b"whole"


def test_a_dead_server_is_trouble_at_once(settings: S3Settings) -> None:
    store = S3Store(replace(settings, endpoint=f"http://127.0.0.1:{free_port()}"))
    with Stopwatch() as watch, pytest.raises(BlobTrouble, match="connect"):
        put(store, b"x")
    assert watch.seconds < 5


def test_a_server_that_never_answers_keeps_nobody_for_ever() -> None:
    released = threading.Event()

    def answer(_handler: BaseHTTPRequestHandler, _: bytes) -> None:
        released.wait(20)

    with fake(answer, timeout=timedelta(milliseconds=200)) as store:
        with Stopwatch() as watch, pytest.raises(BlobTrouble, match=r"(?i)timeout|timed out"):
            put(store, b"x")
        assert watch.seconds < 6
        released.set()


def test_a_server_that_drips_keeps_nobody_for_ever() -> None:
    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        with_end = time.monotonic() + 20
        try:
            while time.monotonic() < with_end:
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:
            handler.close_connection = True

    with fake(answer, timeout=timedelta(milliseconds=200)) as store:
        with Stopwatch() as watch, pytest.raises(BlobTrouble):
            store.get("origin")
        assert watch.seconds < 8


def test_the_secret_is_nowhere_in_an_error(settings: S3Settings) -> None:
    store = S3Store(replace(settings, secret_key="hush-hush-hush", bucket="nobody-has-this"))
    with pytest.raises(BlobTrouble) as caught:
        put(store, b"x")
    assert "hush" not in str(caught.value) + repr(store._settings)
    assert "hush" not in repr(os.environ)
