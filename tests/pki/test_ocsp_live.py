"""OCSP with `openssl ocsp` at the other end: our questions, its answers, over real connections."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import ocsp as peer

from gateway.cli import main
from pki.anchors import RevocationSources
from pki.certificate import ParsedCertificate
from pki.errors import CertificateRefused, FetchTrouble, OcspRefused, PkiError
from pki.fetch import FetchRules, Post
from pki.ocsp import OcspResponse
from pki.ocsp_ask import Responder, ask, fetched
from pki.ocsp_judge import OcspStatement
from pki.ocsp_known import ResponsesGiven
from pki.path import Material, find_path
from tests.ocsp_maker import responder
from tests.pki_maker import DAY, Authority, Issued, root

NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass
class Scene:
    """A CA with two certificates and its `openssl ocsp`."""

    folder: Path
    ca: Authority
    anna: Issued
    bruno: Issued
    delegate: Issued
    port: int = 0

    @property
    def rules(self) -> FetchRules:
        return FetchRules(
            frozenset({f"127.0.0.1:{self.port}"}), private=(ip_network("127.0.0.0/8"),)
        )

    def responder(self, nonce: bool = True) -> Responder:
        url = f"http://127.0.0.1:{self.port}/"
        return Responder(ParsedCertificate(self.ca.der), url, nonce=nonce)

    def ask(self, cert: Issued, *, nonce: bool = True) -> OcspStatement:
        return ask(
            ParsedCertificate(cert.der),
            ParsedCertificate(self.ca.der),
            self.responder(nonce),
            rules=self.rules,
            moment=datetime.now(UTC),
        )

    def validate(self, cert: Issued, *said: OcspResponse) -> str:
        anchor = replace(self.ca.anchor(), sources=RevocationSources.OCSP)
        material = Material([anchor], ocsp=ResponsesGiven(said))
        path = find_path(ParsedCertificate(cert.der), material, moment=datetime.now(UTC))
        return path.revocation[0].responder


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("ocsp")
    ca = root("Live Root", start=NOW - 30 * DAY, end=NOW + 30 * DAY)
    dates = {"start": NOW - DAY, "end": NOW + 20 * DAY}
    anna, bruno, carl = (
        ca.issue(name, emails=(f"{name.lower()}@b.example",), **dates)
        for name in ("Anna", "Bruno", "Carl")
    )
    by = responder(ca, "Live Responder", **dates)
    found = Scene(folder, ca, anna, bruno, by)
    for name, one in (("ca", ca), ("anna", anna), ("bruno", bruno), ("carl", carl), ("by", by)):
        (folder / f"{name}.pem").write_bytes(one.pem)
    (folder / "by.key").write_bytes(by.key_pem)
    end = (NOW + 20 * DAY).strftime("%y%m%d%H%M%SZ")
    gone = (NOW - timedelta(hours=2)).strftime("%y%m%d%H%M%SZ")
    lines = [
        f"V\t{end}\t\t{anna.cert.serial_number:04X}\tunknown\t/CN=Anna",
        f"R\t{end}\t{gone},keyCompromise\t{bruno.cert.serial_number:04X}\tunknown\t/CN=Bruno",
    ]
    (folder / "index.txt").write_text("".join(f"{line}\n" for line in lines))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found.port = probe.getsockname()[1]
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        ["openssl", "ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "by.pem",
         "-rkey", "by.key", "-port", str(found.port), "-nmin", "60", "-ignore_err"],
        cwd=folder, stdout=log, stderr=log,
    )  # fmt: skip
    try:
        _wait(folder / "log")
        yield found
    finally:
        server.terminate()
        server.wait(10)
        log.close()


def _wait(log: Path) -> None:
    """Until it says that it listens: a connection without a question makes it spin for ever."""
    end = time.monotonic() + 20
    while b"waiting for OCSP client" not in log.read_bytes():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def _openssl(scene: Scene, cert: str, *more: str) -> str:
    about = ["-sha256", "-issuer", "ca.pem", "-cert", f"{cert}.pem", "-CAfile", "ca.pem"]
    run = subprocess.run(
        ["openssl", "ocsp", *about, *more],
        cwd=scene.folder, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    return run.stdout + run.stderr


@pytest.mark.parametrize("nonce", [True, False], ids=["POST with nonce", "GET without"])
def test_good_revoked_unknown(scene: Scene, nonce: bool) -> None:
    good = scene.ask(scene.anna, nonce=nonce)
    assert good.single.status == "good"
    assert (good.response.nonce is not None) is nonce
    assert "Live Responder" in scene.validate(scene.anna, good.response)

    revoked = scene.ask(scene.bruno, nonce=nonce)
    assert (revoked.single.status, revoked.single.reason) == ("revoked", "keyCompromise")
    with pytest.raises(CertificateRefused, match="keyCompromise"):
        scene.validate(scene.bruno, revoked.response)

    carl = replace(scene.anna, cert=_load(scene, "carl"))
    assert scene.ask(carl, nonce=nonce).single.status == "unknown"


def _load(scene: Scene, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((scene.folder / f"{name}.pem").read_bytes())


def test_openssl_judges_the_same_answers_alike(scene: Scene) -> None:
    for name, cert in (("anna", scene.anna), ("bruno", scene.bruno)):
        said = scene.ask(cert)
        (scene.folder / "answer").write_bytes(said.response.der)
        text = _openssl(scene, name, "-respin", "answer", "-no_nonce")
        assert "Response verify OK" in text
        assert f"{name}.pem: {said.single.status}" in text


def test_changed_answers_are_refused(scene: Scene) -> None:
    response = scene.ask(scene.anna).response
    der, own = response.der, response.der.index(scene.delegate.der)
    for at in range(4, own, 13):
        changed = der[:at] + bytes((der[at] ^ 0x10,)) + der[at + 1 :]
        with pytest.raises(PkiError):
            scene.validate(scene.anna, OcspResponse(changed))


def test_an_answer_replayed_to_another_question_is_refused(scene: Scene) -> None:
    old = scene.ask(scene.anna).response.der
    with pytest.raises(OcspRefused) as refused:
        ask(
            ParsedCertificate(scene.anna.der),
            ParsedCertificate(scene.ca.der),
            scene.responder(),
            rules=scene.rules,
            moment=datetime.now(UTC),
            get=lambda _url, _rules, _post: old,
        )
    assert refused.value.problem.code == "revocation.ocsp-nonce"


def test_pki_validate_takes_the_answer_as_a_file(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = scene.folder
    outcome = {}
    for name, cert in (("anna", scene.anna), ("bruno", scene.bruno)):
        (folder / f"{name}.ors").write_bytes(scene.ask(cert).response.der)
        for given in ("--ocsp", ""):
            args = [str(folder / f"{name}.pem"), "--anchor", str(folder / "ca.pem"), "--json"]
            args += [given, str(folder / f"{name}.ors")] if given else []
            outcome[name, given] = main(["pki", "validate", *args])
            found = json.loads(capsys.readouterr().out)
            if (name, given) == ("anna", "--ocsp"):
                (said,) = found["revocation"]
                assert said["kind"] == "ocsp"
                assert "Live Responder" in said["responder"]
    assert outcome == {
        ("anna", "--ocsp"): 0, ("anna", ""): 3, ("bruno", "--ocsp"): 1, ("bruno", ""): 3,
    }  # fmt: skip


# -- a hostile server at the other end ----------------------------------------------------------

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        _ANSWER + b"Content-Length: 70000\r\n\r\n" + bytes(70000),
        _ANSWER + b"\r\n" + bytes(70000),
        _ANSWER + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
        _ANSWER + b"Content-Length: 200\r\n\r\ncut",
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        b"",
    ],
    ids=["redirect", "text/html", "no type", "large", "larger than told", "gzip", "cut", "503",
         "nothing"],
)  # fmt: skip
def test_hostile_responder(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):  # whoever has read enough hangs up
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        rules = FetchRules(
            frozenset({f"127.0.0.1:{port}"}),
            private=(ip_network("127.0.0.0/8"),),
            time_limit=timedelta(seconds=2),
        )
        begun = time.monotonic()
        with pytest.raises(FetchTrouble):
            fetched(f"http://127.0.0.1:{port}/", rules, Post(b"question", "application/x"))
        assert time.monotonic() - begun < 10


def test_our_post_is_what_a_responder_expects(scene: Scene) -> None:
    """The octets on the wire, read by `cryptography`."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                seen.append(connection.recv(65536))

        threading.Thread(target=serve, daemon=True).start()
        there = replace(scene, port=port)
        with pytest.raises(FetchTrouble):
            there.ask(scene.anna)
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST / HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/ocsp-request\r\n" in head
    asked = peer.load_der_ocsp_request(body)
    assert asked.serial_number == scene.anna.cert.serial_number
    assert len(asked.extensions[0].value.nonce) == 32
