"""Neighbours that are dead, frozen, or say no: mail waits, leaves never in clear, and arrives once.

The judges are the receiving server's ledger and openssl; the queue's reasons are what a person
on duty sees.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from gateway.demo.client import Receipt
from gateway.demo.crlserver import CrlServer
from gateway.demo.directory import Directory
from gateway.demo.judge import expected_entity
from gateway.demo.pki import Keys
from gateway.demo.postgres import Postgres
from gateway.demo.sink import Rules, write_rules
from gateway.demo.stage import SinkProcess
from tests.flows.stages import stage
from tests.flows.way_out_scene import AMELIE, BASTIEN, HUGO, JEANNE, Scene, mail
from tests.services.stopwatch import Stopwatch

pytestmark = pytest.mark.flow

RULES = """
[[policy.rules]]
name = "everybody"
encryption = "if-possible"
without_certificate = "send-signed"
sign = "person"
"""
OUTSIDE = "quelqu.un@dehors.example"
# What these tests do to the gateway is worth an error in its log, by these names.
EXPECTED = ("crl_failed",)


@dataclass
class TwoDirectories(Scene):
    """So that one can be frozen while the other is gone."""

    second: Directory


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory, keys: Keys, flows_on: Postgres | None
) -> Iterator[TwoDirectories]:
    folder = tmp_path_factory.mktemp("neighbours")
    with (
        stage(folder, keys=keys, postgres=flows_on) as made,
        Directory(made.world, folder / "slapd-2") as second,
    ):
        house = made.house(rules=RULES, retry='["1s"]', workers=1).make()
        house.config.write_text(
            house.config.read_text()
            + f'\n[[pki.directories]]\nname = "interieur"\nurl = "{second.ldaps_url}"\n'
            f'base = "dc=example"\ndomains = ["interieur.example"]\nca = "{made.world.tls_ca}"\n'
        )
        house.start()
        scene = TwoDirectories(made, house, second)
        yield scene
        made.crl_server.stop()
        assert house.stop() == 0
        assert scene.faults(expected=EXPECTED) == []


@dataclass(frozen=True)
class Outage:
    """Two mails that came while both directories were away, and how that went."""

    frozen: Receipt
    gone: Receipt
    original: bytes
    reasons: tuple[str, str]
    arrived_meanwhile: int
    waited: float  # seconds, of the client that waited longer


@pytest.fixture(scope="module")
def outage(scene: TwoDirectories) -> Outage:
    """Both directories die; the gateway's rules would let clear text out if there were "none"."""
    # Known before: Bastien's certificate is remembered, so his mail shall not notice.
    scene.wait_arrived(scene.accepted(mail(to=BASTIEN), BASTIEN))
    content = mail("Jamais en clair.")
    os.kill(scene.stage.directory.pid, signal.SIGSTOP)
    scene.second.stop()
    try:
        with Stopwatch() as watch:
            frozen = scene.send(content, AMELIE)
            gone = scene.send(content, HUGO)
        waited = [watch.between(one.sent, one.at) for one in (frozen, gone)]
        reasons = []
        for receipt, to, code in (
            (frozen, AMELIE, "directory.timeout"),
            (gone, HUGO, "directory.unreachable"),
        ):
            line = scene.wait_reason(receipt.archive_id, to, code)
            assert line["state"] == "queued"
            reasons.append(str(line["reason"]["text"]))
        meanwhile = len(scene.arrived(frozen.archive_id)) + len(scene.arrived(gone.archive_id))
        # Whoever has nothing to do with it gets his mail.
        with Stopwatch() as watch:
            for to in (BASTIEN, OUTSIDE):
                scene.wait_arrived(scene.accepted(mail(to=to), to))
        assert watch.seconds < 12
    finally:
        os.kill(scene.stage.directory.pid, signal.SIGCONT)
        scene.second.start()
    return Outage(frozen, gone, content, (reasons[0], reasons[1]), meanwhile, max(waited))


def test_a_dead_directory_is_no_reason_to_keep_the_client_waiting(outage: Outage) -> None:
    for receipt in (outage.frozen, outage.gone):
        assert receipt.code == 250
    assert outage.waited < 2.0  # what the directory has to take a connection


def test_a_dead_directory_does_not_mean_that_there_is_no_certificate(outage: Outage) -> None:
    assert outage.arrived_meanwhile == 0
    assert outage.reasons[0] == "the directory justice did not answer in time"
    assert outage.reasons[1].startswith("the directory interieur is not there")


def test_what_waited_for_a_directory_goes_by_itself(scene: Scene, outage: Outage) -> None:
    for receipt, to in ((outage.frozen, AMELIE), (outage.gone, HUGO)):
        ((delivery, file),) = scene.wait_arrived(receipt.archive_id, seconds=45)
        assert delivery.rcpt_to == (to,)
        assert b"Jamais en clair" not in file.read_bytes()
        assert scene.opened(file, to).entity == expected_entity(outage.original)
    scene.wait_state(outage.frozen.archive_id, AMELIE, "delivered")
    kinds = [entry["kind"] for entry in scene.history(outage.frozen.archive_id)]
    assert kinds == ["accepted", "deferred", "sealed", "delivered"]


# -- the next hop: after what waited above has gone, so that its rules meet no other mail ---------


@pytest.fixture
def sink(scene: Scene) -> Iterator[Scene]:
    yield scene
    write_rules(scene.stage.sink.folder, Rules())


def test_each_recipient_is_settled_once_whatever_the_next_hop_says(sink: Scene) -> None:
    gone, busy = "parti@dehors.example", "plein@dehors.example"
    rcpt = {gone: "550 5.1.1 parti sans adresse", busy: "450 4.2.1 boite pleine"}
    write_rules(sink.stage.sink.folder, Rules(rcpt=rcpt))
    to = (OUTSIDE, gone, busy)
    content = mail("À trois.", to=">, <".join(to))

    archive_id = sink.accepted(content, *to)
    ((first, _),) = sink.wait_arrived(archive_id)
    delivery, notice = sink.wait_notice(archive_id)
    line = sink.wait_reason(archive_id, busy, "delivery.deferred")
    write_rules(sink.stage.sink.folder, Rules())
    (_, (second, _)) = sink.wait_arrived(archive_id, 2)

    assert first.rcpt_to == (OUTSIDE,)
    assert second.rcpt_to == (busy,)
    assert "450 4.2.1 boite pleine" in line["reason"]["text"]
    assert delivery.rcpt_to == (JEANNE,)
    failed = [row for row in notice.split(b"\r\n") if row.startswith(b"Final-Recipient")]
    assert failed == [f"Final-Recipient: rfc822; {gone}".encode()]
    assert b"Diagnostic-Code: smtp; 550 5.1.1 parti sans adresse" in notice
    sink.wait_state(archive_id, busy, "delivered")
    states = {address: line["state"] for address, line in sink.queue(archive_id).items()}
    assert states == {OUTSIDE: "delivered", gone: "failed", busy: "delivered"}
    assert len(sink.arrived(archive_id)) == 2
    assert len(sink.notices(archive_id)) == 1


@pytest.mark.parametrize("reply", ["554 5.6.0 pas de cela ici", "451 4.3.0 plus tard"])
def test_the_answer_to_the_whole_mail_counts(sink: Scene, reply: str) -> None:
    # The sender's mailbox is busy as well: the notice shall wait for better rules.
    write_rules(sink.stage.sink.folder, Rules(dot=reply, rcpt={JEANNE: "450 4.2.1 occupee"}))
    archive_id = sink.accepted(mail("Le secret est mauve.", to=BASTIEN), BASTIEN)
    if reply.startswith("4"):
        line = sink.wait_reason(archive_id, BASTIEN, "delivery.deferred")
        assert reply in line["reason"]["text"]
        write_rules(sink.stage.sink.folder, Rules())
        sink.wait_arrived(archive_id)
        assert not sink.notices(archive_id)
    else:
        line = sink.wait_reason(archive_id, BASTIEN, "delivery.failed")
        assert line["state"] == "failed"
        write_rules(sink.stage.sink.folder, Rules())
        _, notice = sink.wait_notice(archive_id)
        assert reply.encode() in notice
        assert b"mauve" not in notice


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_lost_at_the_dot_costs_one_duplicate_at_most(sink: Scene, when: str) -> None:
    write_rules(sink.stage.sink.folder, Rules(close=when))
    archive_id = sink.accepted(mail(to=BASTIEN), BASTIEN)
    sink.wait_reason(archive_id, BASTIEN, "delivery.deferred")
    write_rules(sink.stage.sink.folder, Rules())
    sink.wait_state(archive_id, BASTIEN, "delivered")

    files = [file.read_bytes() for _, file in sink.arrived(archive_id)]
    # While the server cut every line, each try may have left one; all are the same octets.
    uncertain = [
        entry
        for entry in sink.history(archive_id)
        if entry["kind"] == "deferred" and entry["fields"]["uncertain"] == "yes"
    ]
    assert len(files) == 1 + (len(uncertain) if when == "after" else 0)
    assert len(set(files)) == 1


def test_a_next_hop_that_is_away_gets_the_mail_when_it_is_back(sink: Scene) -> None:
    made = sink.stage
    made.sink.stop()
    try:
        archive_id = sink.accepted(mail(to=BASTIEN), BASTIEN)
        line = sink.wait_reason(archive_id, BASTIEN, "delivery.deferred")
        assert str(made.sink.port) in line["reason"]["text"]
        assert line["next_attempt"] is not None
    finally:
        made.sink = SinkProcess.start(made.sink.folder, port=made.sink.port)
    ((_, file),) = sink.wait_arrived(archive_id)
    assert sink.opened(file, BASTIEN)


# -- revocation lists -----------------------------------------------------------------------------


def test_known_crls_serve_while_their_server_is_away_even_after_a_restart(scene: Scene) -> None:
    made = scene.stage
    port = made.crl_server.port
    made.crl_server.stop()
    try:
        assert scene.house.stop() == 0
        scene.house.start()
        ((_, file),) = scene.wait_arrived(scene.accepted(mail(), AMELIE))
        assert scene.opened(file, AMELIE)
        asked = scene.sceau("pki", "crl", "refresh")
        assert asked.returncode == 3
        assert b"the CRL fetched before holds until" in asked.stderr
    finally:
        made.crl_server = CrlServer(made.world.crl_folder, port=port)
        made.crl_server.start()


def test_a_crl_past_its_time_makes_mail_wait(scene: Scene) -> None:
    issuing = scene.stage.world.justice.issuing
    revoked = [
        person.credential.certificate
        for person in scene.stage.world.justice.people
        if person.address.startswith("carole") and person.credential
    ]

    def publish(number: int, validity: timedelta) -> None:
        moment = datetime.now(UTC).replace(microsecond=0)
        issuing.publish_crl(moment=moment, number=number, revoked=revoked, validity=validity)
        reports = scene.json("pki", "crl", "refresh")
        assert [r["number"] for r in reports if r["source"] == issuing.crl_url] == [number]

    publish(2, timedelta(seconds=20))  # time enough on a busy machine for the mail that follows
    expired = time.monotonic() + 21  # nextUpdate has whole seconds
    # Found good as long as the CRL holds, so that a remembered verdict would be the way out.
    scene.wait_arrived(scene.accepted(mail(), AMELIE))
    time.sleep(max(0.0, expired - time.monotonic()))
    archive_id = scene.accepted(mail("Jamais en clair."), AMELIE)
    line = scene.wait_reason(archive_id, AMELIE, "revocation.stale")
    assert "justice.example issuing CA" in line["reason"]["text"]
    assert not scene.arrived(archive_id)

    publish(3, timedelta(days=7))
    ((_, file),) = scene.wait_arrived(archive_id)
    assert scene.opened(file, AMELIE)
