"""What senders ask for and hear, over real connections."""

from __future__ import annotations

import asyncio
import smtplib
from email import message_from_bytes, policy
from typing import Any

import pytest

from gateway.demo.sink import Rules, write_rules
from gateway.mail import RcptOptions
from gateway.smtp.client import Deliverer, NextHop, Outcome, TlsDemand
from gateway.smtp.wishes import Wishes
from tests.flows.way_out_scene import AMELIE, JEANNE, Scene, mail
from tests.services.hostile_smtp import Hostile, running
from tests.services.smtp_listener import NotingIntake, dialog, listening

pytestmark = pytest.mark.flow

OUTSIDE = "quelqu.un@dehors.example"
MAIL = b"From: a@example.org\r\nSubject: s\r\n\r\ntext\r\n"
WISHES = Wishes(
    "HDRS",
    "QQ+2B",
    {"b@example.net": RcptOptions("SUCCESS,DELAY", "utf-8;bøb@example.org")},
)


def to_hop(hostile: Hostile) -> list[Outcome]:
    """One mail with wishes to two recipients."""

    async def flow() -> list[Outcome]:
        async with running(hostile):
            deliverer = Deliverer()
            hop = NextHop("127.0.0.1", hostile.port, TlsDemand.NONE)
            outcomes = await deliverer.deliver(
                hop,
                "a@example.org",
                ["b@example.net", "c+d@example.net"],
                MAIL,
                eight_bit=False,
                smtputf8=False,
                wishes=WISHES,
            )
            await deliverer.close()
            return outcomes

    return asyncio.run(flow())


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_next_hop_with_dsn_hears_what_was_asked(pipelining: bool) -> None:
    hop = Hostile(rcpt={"c+d": "550 no such user"})
    hop.extensions.append("DSN")
    if not pipelining:
        hop.extensions.remove("PIPELINING")
    outcomes = to_hop(hop)
    assert hop.commands[1:4] == [
        f"MAIL FROM:<a@example.org> SIZE={len(MAIL)} RET=HDRS ENVID=QQ+2B",
        "RCPT TO:<b@example.net> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;b\\x{F8}b@example.org",
        "RCPT TO:<c+d@example.net> ORCPT=rfc822;c+2Bd@example.net",
    ]
    assert [outcome.dsn for outcome in outcomes] == [True, True]
    # The reply as it was, without a status that the peer did not give.
    assert [outcome.said for outcome in outcomes] == [
        "250 2.0.0 Ok: queued as 4F1C2",
        "550 no such user",
    ]


def test_a_next_hop_without_it_hears_nothing_of_it() -> None:
    hop = Hostile()
    outcomes = to_hop(hop)
    assert hop.commands[1:4] == [
        f"MAIL FROM:<a@example.org> SIZE={len(MAIL)}",
        "RCPT TO:<b@example.net>",
        "RCPT TO:<c+d@example.net>",
    ]
    assert [outcome.dsn for outcome in outcomes] == [False, False]


def test_what_a_client_asks_reaches_the_intake() -> None:
    async def flow() -> None:
        intake = NotingIntake()
        async with listening(intake) as listener, dialog(listener.port) as client:
            assert "250-DSN" in await client.ask(b"EHLO c")
            for command in (
                b"MAIL FROM:<a@example.org> RET=hdrs ENVID=QQ+2B SMTPUTF8",
                b"RCPT TO:<b@example.net> NOTIFY=success ORCPT=rfc822;B@example.net",
                b"RCPT TO:<c@example.net>",
                "RCPT TO:<d@example.net> ORCPT=utf-8;dø@example.net".encode(),
                # Again, and he wants to hear more: nothing of either is lost.
                b"RCPT TO:<b@example.net> NOTIFY=DELAY",
            ):
                assert (await client.ask(command))[:3] == "250"
            await client.ask(b"DATA")
            assert (await client.ask(MAIL + b"."))[:3] == "250"
            # The next mail has none of it.
            await client.ask(b"MAIL FROM:<a@example.org>")
            await client.ask(b"RCPT TO:<b@example.net>")
            await client.ask(b"DATA")
            assert (await client.ask(MAIL + b"."))[:3] == "250"
        first, second = intake.accepted
        assert first.parameters == {"RET": "HDRS", "ENVID": "QQ+2B", "SMTPUTF8": ""}
        assert first.rcpt_to == ("b@example.net", "c@example.net", "d@example.net")
        assert first.rcpt_options == {
            "b@example.net": RcptOptions("SUCCESS,DELAY", "rfc822;B@example.net"),
            "d@example.net": RcptOptions("", "utf-8;dø@example.net"),
        }
        assert (second.parameters, second.rcpt_options) == ({}, {})

    asyncio.run(flow())


def submit(scene: Scene, content: bytes, to: str, mail_options: Any, rcpt_options: Any) -> str:
    """The archive id. smtplib says what it is told, and takes the extension from our greeting."""
    with smtplib.SMTP("127.0.0.1", scene.house.listen_port, timeout=60) as client:
        client.ehlo()
        assert client.has_extn("dsn")
        client.mail(JEANNE, mail_options)
        code, _ = client.rcpt(to, rcpt_options)
        assert code == 250
        code, reply = client.data(content)
        assert code == 250
        return reply.decode().split()[1]


@pytest.mark.parametrize(("to", "shown"), [(AMELIE, False), (OUTSIDE, True)])
def test_who_asked_hears_that_his_mail_was_relayed(ministry: Scene, to: str, shown: bool) -> None:
    """The receiving server announces no DSN: nobody behind us will tell."""
    content = mail("Le mot de passe est hortensia.", to=to, extra="Accept-Language: fr-FR\r\n")
    wishes = ["NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;{to.upper()}"]
    archive_id = submit(ministry, content, to, ["RET=FULL", "ENVID=dossier+2012"], wishes)
    ((delivery, _),) = ministry.wait_arrived(archive_id)
    assert delivery.asked == ("",)
    assert not any(word.startswith(("RET", "ENVID")) for word in delivery.parameters)

    report, notice = ministry.wait_notice(archive_id, "relayed")

    assert (report.mail_from, report.rcpt_to) == ("", (JEANNE,))
    message = message_from_bytes(notice, policy=policy.default)
    assert message["Subject"] == "Message relayé au serveur suivant (relayed)"
    text, status, returned = message.iter_parts()
    assert "250 2.0.0 stored" in text.get_content()
    about, recipient = status.get_payload()
    assert about["Original-Envelope-Id"] == "dossier 12"
    assert recipient["Original-Recipient"] == f"rfc822; {to.upper()}"
    assert recipient["Final-Recipient"] == f"rfc822; {to}"
    assert recipient["Status"] == "2.0.0"
    assert recipient["Final-Log-Id"] == archive_id
    assert ("Ordre du jour" in returned.get_content()) is shown
    assert b"hortensia" not in notice
    kinds = [entry["kind"] for entry in ministry.history(archive_id)]
    assert kinds == ["accepted", "sealed", "delivered", "notified"]
    fields = ministry.history(archive_id)[0]["fields"]
    assert "dossier+2012" in fields["envelope.parameters"]
    assert to.upper() in fields["envelope.dsn.000000"]


def test_who_asked_for_silence_gets_it(ministry: Scene) -> None:
    nowhere = "absent@interieur.example"  # no directory has him: held at once
    archive_id = submit(ministry, mail("x", to=nowhere), nowhere, [], ["NOTIFY=NEVER"])
    ministry.wait_state(archive_id, nowhere, "held")
    assert ministry.sceau("queue", "bounce", archive_id).returncode == 0
    ministry.wait_state(archive_id, nowhere, "failed")
    kinds = [entry["kind"] for entry in ministry.history(archive_id)]
    assert kinds == ["accepted", "held", "failed"]


def test_a_person_may_have_the_sender_told_that_his_mail_is_held(ministry: Scene) -> None:
    busy = "occupe@dehors.example"
    write_rules(ministry.stage.sink.folder, Rules(rcpt={busy: "450 4.2.1 plus tard"}))
    try:
        archive_id = ministry.accepted(mail("x", to=busy), busy)
        ministry.wait_reason(archive_id, busy, "delivery.deferred")
        done = ministry.sceau("queue", "hold", archive_id, "--tell", "--reason", "enquete 12")
        assert done.returncode == 0, done.stderr
        _, notice = ministry.wait_notice(archive_id, "delayed")
    finally:
        write_rules(ministry.stage.sink.folder, Rules())
    assert b"Subject: Held for review: mail not sent yet (delayed)\r\n" in notice
    assert b"enquete" not in notice, "what colleagues write stays with them"
    ministry.sceau("queue", "release", archive_id)
    ministry.wait_state(archive_id, busy, "delivered")
    kinds = [entry["kind"] for entry in ministry.history(archive_id)]
    wanted = ["held", "notified", "released", "sealed", "delivered"]
    assert [kind for kind in kinds if kind in wanted][-5:] == wanted
