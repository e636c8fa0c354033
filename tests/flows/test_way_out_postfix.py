"""The gateway between two real Postfix servers, put together as the README says, TLS verified."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.demo.judge import expected_entity
from gateway.demo.pki import Keys
from gateway.demo.postgres import Postgres
from gateway.demo.process import free_port
from tests.flows.stages import stage
from tests.flows.way_out_scene import AMELIE, BASTIEN, JEANNE, Scene, mail, until
from tests.services.postfix import Postfix

pytestmark = pytest.mark.flow

# As in the README.
RULES = """
[[policy.rules]]
name = "justice"
recipient = "@justice.example"
encryption = "required"
without_certificate = "hold"
sign = "person"

[[policy.rules]]
name = "must-encrypt"
recipient = "@nulle-part.example"
encryption = "required"
without_certificate = "hold"

[[policy.rules]]
name = "everybody-else"
recipient = "*"
encryption = "if-possible"
without_certificate = "send-signed"
"""
BEHIND = {  # master.cf of the README's "Postfix behind"
    "mynetworks": "127.0.0.0/8",
    "smtpd_client_restrictions": "permit_mynetworks,reject",
    "smtpd_relay_restrictions": "permit_mynetworks,reject",
    "smtpd_recipient_restrictions": "permit_mynetworks,reject",
    "smtpd_milters": "",
    "content_filter": "",
    "receive_override_options": "no_header_body_checks",
    "message_size_limit": "80000000",
    "smtpd_tls_security_level": "encrypt",
}


@dataclass
class Chain:
    """front → gateway → behind."""

    scene: Scene
    front: Postfix
    behind: Postfix
    folder: Path

    def submit(
        self, content: bytes, *to: str, asking: tuple[str, ...] = (), of_each: tuple[str, ...] = ()
    ) -> None:
        """As a mail program does: into the Postfix in front. asking: parameters of MAIL, of_each:
        of RCPT."""
        with smtplib.SMTP("127.0.0.1", self.front.port, timeout=60) as client:
            options = ["BODY=8BITMIME", *asking]
            client.sendmail(JEANNE, list(to), content, options, list(of_each))

    def received(self, to: str, count: int = 1) -> list[Path]:
        """The files of mails in the last mailbox that were for `to`, once there are so many."""
        line = f"X-Original-To: {to}\n".encode()

        def found() -> list[bytes]:
            return [content for content in self.behind.inbox() if line in content]

        self.behind.wait(lambda: len(found()) >= count, f"get {count} mails for {to}")
        paths = []
        for n, content in enumerate(found()):
            # A mailbox has LF, and fields of its own that come before the mail's.
            path = self.folder / f"{to}-{n}.eml"
            path.write_bytes(content.replace(b"\n", b"\r\n"))
            paths.append(path)
        return paths


@pytest.fixture(scope="module")
def chain(
    tmp_path_factory: pytest.TempPathFactory, keys: Keys, flows_on: Postgres | None
) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("chain")
    with stage(folder / "stage", keys=keys, postgres=flows_on) as made:
        server = made.world.tls_server
        behind = Postfix(
            main={
                "smtpd_tls_cert_file": str(server.certificate_file),
                "smtpd_tls_key_file": str(server.key_file),
                "message_size_limit": "80000000",
            },
            smtpd=BEHIND,
        )
        with behind:
            house = made.house(
                rules=RULES, tls=True, sink_tls="verified", sink_port=behind.port, workers=1
            ).make()
            config = house.config.read_text()
            house.config.write_text(config.replace("[[relays]]", "require_tls = true\n[[relays]]"))
            front = Postfix(relayhost=f"[localhost]:{house.listen_port}", port=free_port())
            front.main |= {
                "myorigin": "interieur.example",
                "smtp_host_lookup": "native",
                "smtp_tls_security_level": "verify",
                "smtp_tls_loglevel": "1",
                "smtp_tls_CAfile": str(front.put("ca.pem", made.world.tls_ca.read_bytes())),
            }
            house.start()
            try:
                with front:
                    yield Chain(Scene(made, house), front, behind, folder)
            finally:
                assert house.stop() == 0
            assert Scene(made, house).faults() == []


def test_mail_goes_through_both_with_verified_tls(chain: Chain) -> None:
    content = mail("À travers deux serveurs.\r\n.point\r\nFrom ici", to=f"{AMELIE}>, <{BASTIEN}")

    chain.submit(content, AMELIE, BASTIEN)

    for reader in (AMELIE, BASTIEN):
        (file,) = chain.received(reader)
        opened = chain.scene.opened(file, reader)
        assert opened.entity == expected_entity(content)
        assert opened.signer == chain.scene.credential(JEANNE).der
        assert b"deux serveurs" not in file.read_bytes()
    assert "Verified TLS connection established to localhost[127.0.0.1]" in chain.front.log
    delivered_now = ("queue", "list", "--state", "delivered")
    # Behind has the mail before the gateway has noted so.
    until(lambda: bool(chain.scene.json(*delivered_now)), 20, chain.scene.house.log.read_text)
    (line, *_) = chain.scene.json(*delivered_now)
    history = chain.scene.history(str(line["id"]))
    delivered = next(entry for entry in history if entry["kind"] == "delivered")
    assert delivered["fields"]["tls"].endswith("verified")
    # Postfix's log is written by another of its processes, a moment later.
    queued_as = delivered["fields"]["queued-as"]
    chain.behind.wait(lambda: queued_as in chain.behind.log, f"log {queued_as}")
    assert json.loads(history[0]["fields"]["connection"])["tls"].startswith("TLSv1.3")
    # The id is what an administrator finds in the log of the Postfix in front (README, step 4).
    said = f"250 2.0.0 {line['id']}"
    chain.front.wait(lambda: said in chain.front.log, f"log {said}")


def test_postfix_keeps_the_mail_while_the_gateway_is_away(chain: Chain) -> None:
    content = mail("Gardez-la.")
    before = len(chain.received(AMELIE, 0))
    assert chain.scene.house.stop() == 0
    try:
        chain.submit(content, AMELIE)
        chain.front.wait(
            lambda: any(
                "refused" in recipient.get("delay_reason", "")
                for entry in chain.front.mailq()
                for recipient in entry["recipients"]
            ),
            "keep it",
        )
    finally:
        chain.scene.house.start()
    chain.front.flush()

    files = chain.received(AMELIE, before + 1)
    assert len(files) == before + 1
    entities = [chain.scene.opened(file, AMELIE).entity for file in files]
    assert entities.count(expected_entity(content)) == 1
    chain.front.wait(lambda: not chain.front.mailq(), "empty its queue")


def test_refused_mail_comes_back_with_our_words(chain: Chain) -> None:
    """The bounce that Postfix writes goes out through us, signed by the house, and arrives."""
    content = mail("Jamais en clair : éà.", to="x@nulle-part.example")

    chain.submit(content, "x@nulle-part.example")

    (file,) = chain.received(JEANNE)
    bounce = file.read_bytes()
    assert b"550 5.7.1 mail to this address must be encrypted" in bounce.replace(b"\r\n    ", b" ")
    seal = chain.scene.stage.world.interieur.seal
    assert seal is not None
    assert chain.scene.opened(file, None).signer == seal.der
    assert not [mail for mail in chain.behind.inbox() if b"X-Original-To: x@" in mail]


def test_what_the_sender_asks_goes_through_and_the_last_server_answers(chain: Chain) -> None:
    """DSN (RFC 3461) from Postfix to Postfix through us: neither front nor gateway reports."""
    before = len(chain.received(JEANNE, 0))
    chain.submit(
        mail("Accusé de réception, s'il vous plaît.", to=BASTIEN),
        BASTIEN,
        asking=("RET=FULL", "ENVID=dossier+2012"),
        of_each=("NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;{BASTIEN.upper()}"),
    )

    reports = [file.read_bytes() for file in chain.received(JEANNE, before + 1)[before:]]

    assert len(reports) == 1
    (report,) = reports
    assert b"\r\nReporting-MTA: dns; postfix.example.org\r\n" in report
    assert b"\r\nOriginal-Envelope-Id: dossier 12\r\n" in report
    assert f"\r\nOriginal-Recipient: rfc822;{BASTIEN.upper()}\r\n".encode() in report
    assert b"\r\nAction: delivered\r\n" in report
    (line, *_) = chain.scene.json("queue", "list", "--state", "delivered", "--recipient", BASTIEN)[
        -1:
    ]
    history = chain.scene.history(str(line["id"]))
    assert [entry["kind"] for entry in history] == ["accepted", "sealed", "delivered"]
