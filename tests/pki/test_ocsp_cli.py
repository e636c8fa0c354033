"""OCSP as a PKI admin meets it: configured, asked over HTTP, listed, checked."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import ocsp as peer

from pki.certificate import ParsedCertificate
from pki.ocsp_id import SHA256, key_hash
from tests.ocsp_maker import Answer, responder
from tests.pki_maker import DAY, Authority, Issued
from tests.unit.cli_pki_house import House, sceau

ANNA, BRUNO = "anna@justice.example", "bruno@justice.example"


@dataclass
class World:
    """An installation, its CA's responder, and who is revoked."""

    house: House
    certs: dict[tuple[int, bytes], tuple[Issued, Authority]] = field(default_factory=dict)
    revoked: list[Issued] = field(default_factory=list)
    away: bool = False

    def knows(self, cert: Issued, authority: Authority) -> None:
        """The responder answers about it."""
        issuer = key_hash(ParsedCertificate(authority.der), SHA256)
        self.certs[cert.cert.serial_number, issuer] = cert, authority

    def answer(self, question: bytes) -> bytes:
        asked = peer.load_der_ocsp_request(question)
        cert, authority = self.certs[asked.serial_number, asked.issuer_key_hash]
        now = self.house.now.replace(microsecond=0)
        by = responder(authority, start=now - DAY, end=now + 30 * DAY)
        return Answer(
            cert, authority, by,
            status="revoked" if cert in self.revoked else "good",
            this_update=now, produced_at=now, revoked_at=now - timedelta(hours=1),
            next_update=now + DAY, nonce=asked.extensions[0].value.nonce,
        ).der()  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(House(tmp_path))
    responder(found.house.ca)  # its key takes time to make, of which a question has little

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            question = self.rfile.read(int(self.headers["Content-Length"]))
            if found.away:
                self.send_error(503)
                return
            answer = found.answer(question)
            self.send_response(200)
            self.send_header("Content-Type", "application/ocsp-response")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = f"127.0.0.1:{server.server_port}"
    house = found.house
    house.allow(place)
    text = house.config.read_text("utf-8")
    text = text.replace('comment = "compared', 'revocation_sources = "ocsp"\ncomment = "compared')
    house.config.write_text(text, "utf-8")
    for name in ("root", "ca"):
        file = house.write(f"{name}-issuer.pem", getattr(house, name).pem)
        house.configure(f'\n[[pki.ocsp]]\nissuer = "{file}"\nurl = "http://{place}/"\n')
    found.knows(house.ca, house.root)
    for who, address in (("Anna", ANNA), ("Bruno", BRUNO)):
        issued = house.issue(who, address)
        found.knows(issued, house.ca)
        assert house.run("cert", "import", house.write(f"{who}.pem", issued.pem)).code == 0
        if who == "Bruno":
            found.revoked.append(issued)
    yield found
    server.shutdown()
    server.server_close()


def test_from_the_configuration_to_the_verdict(world: World, tmp_path: Path) -> None:
    house = world.house
    assert house.run("cert", "find", ANNA).code == 0
    refused = house.run("cert", "find", BRUNO)
    assert refused.code == 1
    assert "was revoked on" in refused.out + refused.err

    listed = house.run("ocsp", "list", "--json").json
    assert sorted(one["status"] for one in listed) == ["good", "good", "revoked"]
    shown = house.run("ocsp", "show", listed[0]["sha256"], "--json").json
    assert shown[0]["responses"][0]["status"] == listed[0]["status"]
    assert "Anna" in house.run("ocsp", "list").out

    again = house.run("ocsp", "refresh", "--json")
    assert again.code == 0
    assert len(again.json) == 3

    world.away = True
    failed = house.run("ocsp", "refresh")
    assert failed.code == 3
    assert "503" in failed.err
    assert house.run("cert", "find", ANNA).code == 0, "the known response holds yet"
    checked = sceau("check", "--config", house.config)
    assert "of 3 certificates failed" in checked.out + checked.err


def test_what_is_not_a_response(world: World, tmp_path: Path) -> None:
    house = world.house
    assert house.run("ocsp", "show", house.write("no.ors", b"<html>")).code == 2
    assert house.run("ocsp", "show", house.write("later.ors", b"\x30\x03\x0a\x01\x03")).code == 1
    assert house.run("ocsp", "show", "0" * 64).code == 1
    assert house.run("ocsp", "list", "--json").json == []
    assert house.run("ocsp", "refresh").code == 0


def test_a_responder_outside_of_the_list_is_a_fault_of_the_configuration(world: World) -> None:
    house = world.house
    file = house.folder / "ca-issuer.pem"
    house.configure(f'\n[[pki.ocsp]]\nissuer = "{file}"\nurl = "http://elsewhere.example/"\n')
    done = house.run("ocsp", "refresh")
    assert done.code == 2
    assert "elsewhere.example:80" in done.err
