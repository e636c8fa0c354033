"""Logins at a real slapd, and what a bad or hostile one can do."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.demo.process import free_port
from gateway.senders.directory import Entry, LoginClient, LoginDirectory
from pki.errors import DirectoryTrouble
from tests.flows.slapd import BASE, Slapd
from tests.pki_maker import root
from tests.services.stopwatch import Stopwatch

pytestmark = pytest.mark.flow

CA = root("Directory Test CA")
OTHER = root("Another CA")
ENTRY = Entry(f"uid=anna,{BASE}", "Anna", ("anna@a.example", "press@a.example"))


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    server = Slapd(tmp_path_factory.mktemp("logins") / "open", CA)
    try:
        server.load(
            f"dn: uid=anna,{BASE}\nobjectClass: inetOrgPerson\nuid: Anna\ncn: Anna A\nsn: A\n"
            "mail: Anna@A.example\nmail: no address\nmail: smtp:press@a.example\n"
            "userPassword: of anna\n\n"
            f"dn: uid=reader,{BASE}\nobjectClass: inetOrgPerson\nuid: reader\ncn: r\nsn: r\n"
            "userPassword: of reader\n\n"
            f"dn: cn=one,{BASE}\nobjectClass: inetOrgPerson\nuid: twice\ncn: one\nsn: o\n"
            "userPassword: of twice\n\n"
            f"dn: cn=two,{BASE}\nobjectClass: inetOrgPerson\nuid: twice\ncn: two\nsn: t\n"
        )
        yield server
    finally:
        server.stop()


def directory(slapd: Slapd, **more: object) -> LoginDirectory:
    made = LoginDirectory("staff", (slapd.tls_url.replace("127.0.0.1", "localhost"),), BASE,
                          ca=slapd.ca_file, timeout=timedelta(seconds=20))  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def client(slapd: Slapd, **more: object) -> LoginClient:
    return LoginClient(directory(slapd, **more), retry_after=timedelta(seconds=4))


@pytest.mark.parametrize(
    ("login", "password", "expected"),
    [
        ("anna", "of anna", (ENTRY, True)),
        ("ANNA", "of anna", (ENTRY, True)),
        ("anna", "of reader", (ENTRY, False)),
        ("anna", "of anna ", (ENTRY, False)),
        ("nobody", "of anna", (None, False)),
        ("*", "of anna", (None, False)),
        ("ann*", "of anna", (None, False)),
        ("anna)(uid=*", "of anna", (None, False)),
        ("x)(|(uid=*", "of anna", (None, False)),
        ("anna\\00", "of anna", (None, False)),
    ],
)
def test_find_then_bind(
    slapd: Slapd, login: str, password: str, expected: tuple[Entry | None, bool]
) -> None:
    assert client(slapd).check(login, password) == expected


def test_an_empty_password_never_binds(slapd: Slapd) -> None:
    with pytest.raises(ValueError, match="never binds"):
        client(slapd).check("anna", "")


@pytest.mark.parametrize("starttls", [True, False])
def test_as_a_service_account_and_by_starttls(slapd: Slapd, *, starttls: bool) -> None:
    settings: dict[str, object] = {"bind_dn": f"uid=reader,{BASE}", "password": "of reader"}
    if starttls:
        settings |= {"starttls": True, "urls": (slapd.url.replace("127.0.0.1", "localhost"),)}
    assert client(slapd, **settings).check("anna", "of anna") == (ENTRY, True)


def test_what_is_cannot_tell(slapd: Slapd, tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_bytes(OTHER.pem)
    closed = f"ldaps://localhost:{free_port()}"
    for settings in (
        {"ca": tmp_path / "other.pem"},
        {"urls": (slapd.tls_url.replace("127.0.0.1", "127.0.0.2"),)},
        {"urls": (closed,)},
        {"bind_dn": f"uid=reader,{BASE}", "password": "wrong"},
        {"base": "dc=elsewhere"},
        {"filter": "(uid={login}"},
    ):
        with pytest.raises(DirectoryTrouble):
            client(slapd, **settings).check("anna", "of anna")
    with pytest.raises(DirectoryTrouble, match="more than one entry"):
        client(slapd).check("twice", "of twice")


def test_the_second_server_answers_for_the_first(slapd: Slapd) -> None:
    url = slapd.tls_url.replace("127.0.0.1", "localhost")
    both = client(slapd, urls=(f"ldaps://localhost:{free_port()}", url))
    assert both.check("anna", "of anna") == (ENTRY, True)


def test_a_frozen_server_costs_its_time_once(slapd: Slapd) -> None:
    asked = client(slapd, timeout=timedelta(seconds=1))
    slapd.freeze()
    try:
        with Stopwatch() as watch, pytest.raises(DirectoryTrouble):
            asked.check("anna", "of anna")
        assert watch.seconds < 3
        with Stopwatch() as watch:
            for _ in range(50):
                with pytest.raises(DirectoryTrouble):
                    asked.check("anna", "of anna")
        assert watch.seconds < 0.3
    finally:
        slapd.thaw()
    time.sleep(4.1)
    assert asked.check("anna", "of anna") == (ENTRY, True)


def test_a_server_that_strips_starttls_never_sees_a_password(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(root().pem)
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(20)
                heard.extend(connection.recv(4096))
                # ExtendedResponse: protocolError. Whoever goes on now speaks in clear.
                connection.sendall(bytes.fromhex("300c02010178070a010204000400"))
                try:
                    while block := connection.recv(4096):
                        heard.extend(block)
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        hostile = LoginDirectory(
            "hostile",
            (f"ldap://127.0.0.1:{listening.getsockname()[1]}",),
            BASE,
            starttls=True,
            ca=ca,
            bind_dn="cn=sceau",
            password="service",
            timeout=timedelta(seconds=20),
        )
        with pytest.raises(DirectoryTrouble):
            LoginClient(hostile).check("anna", "of anna")
        thread.join(60)
        assert heard
    assert b"service" not in heard
    assert b"anna" not in heard
