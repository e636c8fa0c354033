"""The demo's servers, judged by other programs: ldapsearch, curl's library, openssl, smtplib."""

from __future__ import annotations

import smtplib
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.demo import sink
from gateway.demo.client import Letter, read_ledger, send, spread
from gateway.demo.crlserver import CrlServer
from gateway.demo.directory import Directory
from gateway.demo.pki import Fault, World, make_world
from gateway.demo.process import Program, free_port
from gateway.demo.sink import Rules, write_rules
from gateway.demo.stage import SinkProcess

pytestmark = pytest.mark.flow

SENDER = "jeanne.moreau@interieur.example"
READER = "amelie.roux@justice.example"
MAIL = b"From: <jeanne.moreau@interieur.example>\r\nSubject: x\r\n\r\n.dot\r\n..two\r\n\r\nend\r\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(
        tmp_path_factory.mktemp("world"), "http://127.0.0.1:1", moment=datetime.now(UTC)
    )


@pytest.fixture(scope="module")
def directory(world: World) -> Iterator[Directory]:
    with Directory(world, world.folder / "ldap") as running:
        yield running


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[SinkProcess]:
    running = SinkProcess.start(tmp_path / "sink")
    yield running
    running.stop()


def ldapsearch(directory: Directory, *arguments: str, ca: Path | None = None) -> str:
    done = subprocess.run(
        ["ldapsearch", "-LLL", "-x", "-o", "ldif-wrap=no", "-b", directory.base, *arguments],
        env={"LDAPTLS_CACERT": str(ca or directory.ca_file), "LDAPTLS_REQCERT": "demand"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else f"failed: {done.stderr}"


def test_slapd_gives_out_each_persons_certificate(world: World, directory: Directory) -> None:
    for person in world.people:
        found = ldapsearch(
            directory, "-H", directory.ldaps_url, "-t", "-T", str(world.folder),
            f"(mail={person.address})", "userCertificate;binary",
        )  # fmt: skip
        files = [
            Path(line.partition("file://")[2])
            for line in found.splitlines()
            if line.startswith("userCertificate;binary")
        ]
        assert tuple(file.read_bytes() for file in files) == person.directory, person.name
        assert found.startswith("dn: uid=")


def test_slapd_speaks_starttls_and_proves_who_it_is(world: World, directory: Directory) -> None:
    found = ldapsearch(directory, "-H", directory.ldap_url, "-ZZ", f"(mail={READER})", "mail")
    assert f"mail: {READER}" in found
    stranger = world.justice.root.credential.certificate_file
    for url in (["-H", directory.ldaps_url], ["-H", directory.ldap_url, "-ZZ"]):
        assert ldapsearch(directory, *url, f"(mail={READER})", ca=stranger).startswith("failed")


def test_slapd_stops_and_comes_back_on_the_same_ports(world: World, tmp_path: Path) -> None:
    with Directory(world, tmp_path / "ldap") as directory:
        query = ["-H", directory.ldaps_url, f"(mail={READER})", "mail"]
        assert READER in ldapsearch(directory, *query)
        directory.stop()
        assert "Can't contact LDAP server" in ldapsearch(directory, *query)
        directory.start()
        assert READER in ldapsearch(directory, *query)


def test_crls_come_over_http(tmp_path: Path) -> None:
    server = CrlServer(tmp_path / "crl")
    world = make_world(tmp_path, server.base_url, moment=datetime.now(UTC))
    authority = world.justice.issuing
    with server:
        with urllib.request.urlopen(authority.crl_url) as answer:
            assert answer.read() == authority.crl_file.read_bytes()
            assert answer.headers["Content-Type"] == "application/pkix-crl"
        revoked = world.justice.person(Fault.REVOKED).credential
        assert revoked is not None
        new = authority.publish_crl(
            moment=datetime.now(UTC), number=2, revoked=[revoked.certificate]
        )
        with urllib.request.urlopen(authority.crl_url) as answer:
            assert answer.read() == new
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(server.base_url + "/absent.crl")


def test_client_and_sink_agree_on_500_mails(receiver: SinkProcess, tmp_path: Path) -> None:
    letters = [
        Letter(str(number), SENDER, (READER, f"n{number}@justice.example"), MAIL + b"%d" % number)
        for number in range(500)
    ]
    ledger = tmp_path / "ledger"
    receipts = send(letters, receiver.port, connections=4, ledger=ledger)
    assert {receipt.code for receipt in receipts} == {250}
    assert sorted(receipts, key=lambda one: int(one.key)) == sorted(
        read_ledger(ledger), key=lambda one: int(one.key)
    )
    stored = {delivery.rcpt_to: delivery for delivery in sink.read_ledger(receiver.folder)}
    assert len(stored) == 500
    for letter in letters:
        delivery = stored[letter.rcpt_to]
        content = (receiver.folder / delivery.file).read_bytes()
        assert content == letter.content + b"\r\n"
        assert (delivery.mail_from, delivery.size) == (SENDER, len(content))


def test_a_stranger_client_is_understood(receiver: SinkProcess) -> None:
    with smtplib.SMTP("127.0.0.1", receiver.port) as client:
        client.ehlo()
        for name in ("pipelining", "8bitmime", "smtputf8", "size"):
            assert client.has_extn(name)
        assert client.docmd("DATA")[0] == 554
        assert client.docmd("RCPT TO:<a@b.example>")[0] == 503
        assert client.docmd("WHAT")[0] == 502
        client.sendmail(SENDER, ["é@justice.example", READER], MAIL, ["SMTPUTF8", "BODY=8BITMIME"])
        assert client.noop()[0] == 250
    (delivery,) = sink.read_ledger(receiver.folder)
    assert delivery.rcpt_to == ("é@justice.example", READER)
    assert "SMTPUTF8" in delivery.parameters
    assert (receiver.folder / delivery.file).read_bytes() == MAIL


def test_the_client_speaks_to_servers_without_pipelining(tmp_path: Path) -> None:
    """smtp-sink of Postfix, told to offer nothing."""
    port = free_port()
    other = Program(
        ["smtp-sink", "-u", "nobody", "-p", "-8", f"127.0.0.1:{port}", "10"], tmp_path / "log"
    )
    try:
        other.wait_for_port(port)
        letters = spread([Letter("", SENDER, (READER,), MAIL)], 20)
        receipts = send(letters, port, connections=2)
    finally:
        other.stop()
    assert [receipt.code for receipt in receipts] == [250] * 20


def test_starttls_is_used_and_noted(world: World, tmp_path: Path) -> None:
    context = ssl.create_default_context(cafile=str(world.tls_ca))
    running = SinkProcess.start(tmp_path / "sink", world=world)
    receipts = send([Letter("a", SENDER, (READER,), MAIL)], running.port, tls=context)
    running.stop()
    assert receipts[0].code == 250
    (delivery,) = sink.read_ledger(running.folder)
    assert delivery.tls.startswith("TLSv1.")


def test_the_sink_refuses_whom_it_is_told_to(receiver: SinkProcess) -> None:
    write_rules(receiver.folder, Rules(rcpt={READER: "450 4.2.1 later"}))
    both = send([Letter("a", SENDER, (READER, "b@justice.example"), MAIL)], receiver.port)
    assert (both[0].code, both[0].refused) == (250, {READER: "450 4.2.1 later"})
    alone = send([Letter("b", SENDER, (READER,), MAIL)], receiver.port)
    assert (alone[0].code, alone[0].text) == (450, "4.2.1 later")
    write_rules(receiver.folder, Rules(dot="554 5.6.0 no"))
    assert send([Letter("c", SENDER, (READER,), MAIL)], receiver.port)[0].code == 554
    write_rules(receiver.folder, Rules())
    assert send([Letter("d", SENDER, (READER,), MAIL)], receiver.port)[0].code == 250
    delivered = [delivery.rcpt_to for delivery in sink.read_ledger(receiver.folder)]
    assert delivered == [("b@justice.example",), (READER,)]


@pytest.mark.parametrize(("close", "stored"), [("before", 0), ("after", 1)])
def test_the_sink_hangs_up_at_the_dot(receiver: SinkProcess, close: str, stored: int) -> None:
    write_rules(receiver.folder, Rules(close=close))
    letters = spread([Letter("", SENDER, (READER,), MAIL)], 3)
    receipts = send(letters, receiver.port, connections=1)
    assert [receipt.code for receipt in receipts] == [0, 0, 0]
    assert len(sink.read_ledger(receiver.folder)) == stored


def test_the_sink_is_slow_when_told(receiver: SinkProcess) -> None:
    write_rules(receiver.folder, Rules(delay=0.3))
    start = time.monotonic()
    (receipt,) = send([Letter("a", SENDER, (READER,), MAIL)], receiver.port)
    assert receipt.code == 250
    assert time.monotonic() - start >= 0.3


def test_a_restarted_sink_goes_on_counting(tmp_path: Path) -> None:
    for _ in range(2):
        running = SinkProcess.start(tmp_path)
        send([Letter("a", SENDER, (READER,), MAIL)], running.port)
        running.stop()
    files = [delivery.file for delivery in sink.read_ledger(tmp_path)]
    assert files == ["000001.eml", "000002.eml"]


def test_the_sink_as_a_command_says_its_port(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "gateway.demo.sink", "--dir", tmp_path, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with smtplib.SMTP("127.0.0.1", port) as client:
            assert client.noop()[0] == 250
        process.terminate()
        assert process.wait(60) == 0
