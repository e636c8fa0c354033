"""With a real Postfix: as client in front of the gateway, and as server behind it."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.demo.process import free_port
from gateway.smtp.client import Deliverer, NextHop, Result, TlsDemand
from tests.services.certificates import make_server_certificate
from tests.services.postfix import Postfix
from tests.services.smtp_listener import NotingIntake, listening

pytestmark = pytest.mark.flow

MAIL = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: s\r\n\r\n.dot\r\n\xe9t\xe9\r\n"


async def until(condition: Any, seconds: float = 80) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


async def reasons(postfix: Postfix, words: str) -> list[str]:
    """Why mail waits in Postfix, of those reasons that have these words, once there are some."""
    found: list[str] = []

    def look() -> list[str]:
        queue = postfix.mailq()
        every = [one["recipients"][0].get("delay_reason", "") for one in queue]
        return [reason for reason in every if words in reason]

    async with asyncio.timeout(60):
        while not (found := await asyncio.to_thread(look)):
            await asyncio.sleep(0.05)
    return found


def submit(port: int, *recipients: str, data: bytes = MAIL) -> None:
    """Put a mail into Postfix with a client that is not ours."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.sendmail("a@example.org", list(recipients), data, mail_options=["BODY=8BITMIME"])


def test_postfix_in_front_sends_keeps_and_bounces_as_we_say(tmp_path: Path) -> None:
    pki = make_server_certificate(tmp_path, "gw.example")
    port = free_port()

    async def flow() -> None:
        intake = NotingIntake()
        postfix = Postfix(relayhost=f"[127.0.0.1]:{port}")
        postfix.main["smtp_tls_security_level"] = "verify"
        postfix.main["smtp_tls_verify_cert_match"] = "gw.example"
        postfix.main["smtp_tls_CAfile"] = str(postfix.put("ca.pem", pki.ca.read_bytes()))
        with postfix:
            with capture_logs():
                async with listening(
                    intake, port=port, tls=pki.server_context(), require_tls=True
                ) as listener:
                    assert listener.port == port
                    # taken, for the one recipient; the other bounces with our words
                    to = "b@example.net", "nobody@example.net"
                    await asyncio.to_thread(submit, postfix.port, *to)
                    await until(lambda: len(intake.accepted) == 2)
                    mail, bounce = intake.accepted
                    assert mail.rcpt_to == ("b@example.net",)
                    assert mail.raw.endswith(MAIL.partition(b"\r\n\r\n")[2])
                    assert mail.peer.tls.startswith("TLSv1.3")
                    assert mail.peer.helo == "postfix.example.org"
                    assert mail.parameters["BODY"] == "8BITMIME"
                    assert bounce.mail_from == ""
                    assert b"550 5.1.1 No such user" in bounce.raw
                    # a fault of ours: Postfix keeps the mail and shows the id
                    intake.error = OSError("database gone")
                    await asyncio.to_thread(submit, postfix.port, "c@example.net")
                    await until(lambda: "451 4.3.0" in postfix.log)
                    # While Postfix tries it once more, its queue shows no reason.
                    (reason,) = await reasons(postfix, "451 4.3.0")
                    assert "451 4.3.0 Cannot process this now, try again later (id " in reason
                    # a network nobody vouches for: kept as well, and the reason is to be seen
                    intake.relay = None
                    await asyncio.to_thread(submit, postfix.port, "d@example.net")
                    await until(lambda: "No SMTP service for this network" in postfix.log)
                    assert await reasons(postfix, "554 5.7.1 No SMTP service")
                    # all is well again: what was kept arrives
                    intake.relay, intake.error = "test", None
                    await asyncio.to_thread(postfix.flush)
                    await until(lambda: len(intake.accepted) == 4)
                    got = {m.rcpt_to for m in intake.accepted[2:]}
                    assert got == {("c@example.net",), ("d@example.net",)}
            await until(lambda: not postfix.mailq())
        assert "non-SMTP" not in postfix.log

    asyncio.run(flow())


def test_postfix_behind_takes_what_we_deliver(tmp_path: Path) -> None:
    pki = make_server_certificate(tmp_path, "mx.example")

    async def flow() -> None:
        main = {
            "smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": str(pki.certificate),
            "smtpd_tls_key_file": str(pki.key),
            "smtpd_recipient_restrictions": "reject_non_fqdn_recipient, "
            "check_recipient_access inline:{ {gone@example.net = 550 5.1.1 gone}, "
            "{busy@example.net = 450 4.2.1 busy} }, permit",
        }
        with Postfix(main=main) as postfix:
            deliverer = Deliverer()
            hop = NextHop(
                "127.0.0.1",
                postfix.port,
                tls=TlsDemand.VERIFIED,
                ca_file=str(pki.ca),
                tls_name="mx.example",
                ehlo_name="gw.example",
            )
            to = ["b@example.net", "gone@example.net", "busy@example.net"]
            large = MAIL + (b"." + b"x" * 70 + b"\r\n") * 20_000
            for data in (MAIL, MAIL, large):
                outcomes = await deliverer.deliver(
                    hop, "a@example.org", to, data, eight_bit=True, smtputf8=False
                )
                assert [(o.result, o.code, o.status) for o in outcomes] == [
                    (Result.DELIVERED, 250, "2.0.0"),
                    (Result.PERMANENT, 550, "5.1.1"),
                    (Result.TEMPORARY, 450, "4.2.1"),
                ]
                assert outcomes[0].queued_as
                # Postfix's log is written by another of its processes, a moment later.
                await until(lambda said=outcomes[0].queued_as: said in postfix.log)
                assert outcomes[0].tls.endswith(" verified")
            await deliverer.close()
            await until(lambda: len(postfix.inbox()) == 3)
            got = sorted(postfix.inbox(), key=len)
            body = MAIL.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")
            assert got[0].endswith(b"\n\n" + body)
            large_body = large.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")
            assert got[2].endswith(b"\n\n" + large_body)
            # three mails, one connection
            assert postfix.log.count(" connect from ") - 1 == 1  # one more is the start-up probe

    asyncio.run(flow())
