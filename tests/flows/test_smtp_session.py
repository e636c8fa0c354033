"""The dialogue with SMTP clients, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.errors import Refusal, SceauError
from gateway.smtp import replies, room
from gateway.smtp.listener import Listener, ListenSettings
from tests.services.certificates import make_server_certificate
from tests.services.smtp_listener import Dialog, NotingIntake, dialog, listening

pytestmark = pytest.mark.flow

MAIL = b"From: a@example.org\r\nSubject: s\r\n\r\ntext\r\n"


def test_a_mail_is_handed_over_as_it_came() -> None:
    async def flow() -> None:
        intake = NotingIntake()
        async with listening(intake) as listener, dialog(listener.port) as client:
            hello = await client.ask(b"EHLO client.example")
            assert hello.splitlines() == [
                "250-gw.example",
                "250-PIPELINING",
                "250-SIZE 50000000",
                "250-8BITMIME",
                "250-SMTPUTF8",
                "250-DSN",
                "250-ENHANCEDSTATUSCODES",
                "250 HELP",
            ]
            body = b"SIZE=77 BODY=8BITMIME SMTPUTF8"
            assert await client.ask(b"MAIL FROM:<a@example.org> " + body) == "250 2.1.0 Sender OK"
            for to in (b"b@example.net", b"c@example.net", b"b@example.net"):
                assert await client.ask(b"RCPT TO:<" + to + b">") == "250 2.1.5 Recipient OK"
            assert (await client.ask(b"DATA")).startswith("354 ")
            await client.say(MAIL + b"..dot\r\n\xe9\r\n.\r\n")
            assert await client.hear() == "250 2.0.0 id-1"
            assert await client.ask(b"QUIT") == "221 2.0.0 Bye"
            assert await client.hear() == ""
        (mail,) = intake.accepted
        assert mail.raw == MAIL + b".dot\r\n\xe9\r\n"
        assert mail.mail_from == "a@example.org"
        assert mail.rcpt_to == ("b@example.net", "c@example.net")
        assert mail.parameters == {"BODY": "8BITMIME", "SMTPUTF8": ""}
        assert (mail.peer.ip, mail.peer.helo, mail.peer.relay) == (
            "127.0.0.1",
            "client.example",
            "test",
        )
        assert intake.sizes == [77]
        assert mail.received_at.utcoffset() is not None

    asyncio.run(flow())


def test_a_whole_session_in_one_segment_is_answered_in_order() -> None:
    async def flow() -> None:
        intake = NotingIntake()
        async with listening(intake) as listener, dialog(listener.port) as client:
            envelope = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
            await client.say(b"EHLO c\r\n" + (envelope + MAIL + b".\r\n") * 2 + b"NOOP\r\nQUIT\r\n")
            codes = [(await client.hear())[:3] for _ in range(11)]
            assert codes == [
                "250",
                "250",
                "250",
                "354",
                "250",
                "250",
                "250",
                "354",
                "250",
                "250",
                "221",
            ]
        assert [m.raw for m in intake.accepted] == [MAIL, MAIL]

    asyncio.run(flow())


LONG = b"a" * 64
# (after EHLO) command, expected start of the reply. Each is sent on a fresh transaction; RCPT
# rows come after a good MAIL.
TABLE = [
    (b"MAIL FROM:<a@example.org>", "250 2.1.0"),
    (b"mail from:<a@example.org>", "250 2.1.0"),
    (b"MAIL FROM: <a@example.org>", "250 2.1.0"),
    (b"MAIL FROM:<>", "250 2.1.0"),
    (b"MAIL FROM:<@relay.example,@b.example:a@example.org>", "250 2.1.0"),
    (b'MAIL FROM:<"a b\\">"@example.org>', "250 2.1.0"),
    (b"MAIL FROM:<a@[192.0.2.1]>", "250 2.1.0"),
    (b"MAIL FROM:<a@[IPv6:2001:db8::1]>", "250 2.1.0"),
    (b"MAIL FROM:<" + LONG + b"@example.org>", "250 2.1.0"),
    (b"MAIL FROM:<a@example.org> SIZE=1000", "250 2.1.0"),
    (b"MAIL FROM:<a@example.org> BODY=7bit size=0", "250 2.1.0"),
    (b"MAIL FROM:<a@example.org> BODY=8BITMIME SMTPUTF8", "250 2.1.0"),
    ("MAIL FROM:<é@exämple.org> SMTPUTF8".encode(), "250 2.1.0"),
    ("MAIL FROM:<é@example.org>".encode(), "553 5.6.7"),
    (b"MAIL FROM:<\xe9@example.org> SMTPUTF8", "500 5.5.2"),
    (b"MAIL FROM:<stranger@example.org>", "550 5.7.1"),
    (b"MAIL", "501 5.5.4"),
    (b"MAIL TO:<a@example.org>", "501 5.5.4"),
    (b"MAIL FROM:a@example.org", "501 5.5.4"),
    (b"MAIL FROM:<a@example.org", "501 5.5.4"),
    (b"MAIL FROM:<a@example.org>SIZE=1", "501 5.5.4"),
    (b"MAIL FROM:<a>", "501 5.1.7"),
    (b"MAIL FROM:<a@@example.org>", "501 5.1.7"),
    (b"MAIL FROM:<a b@example.org>", "501 5.1.7"),
    (b"MAIL FROM:<a..b@example.org>", "501 5.1.7"),
    (b"MAIL FROM:<a@example.org.>", "501 5.1.7"),
    (b"MAIL FROM:<a@-example.org>", "501 5.1.7"),
    (b"MAIL FROM:<a@[300.0.0.1]>", "501 5.1.7"),
    (b"MAIL FROM:<" + LONG + b"a@example.org>", "501 5.1.7"),
    (b"MAIL FROM:<a@" + b"a." * 130 + b"org>", "501 5.1.7"),
    (b"MAIL FROM:<a\0@example.org>", "500 5.5.2"),
    (b"MAIL FROM:<a\x7f@example.org>", "500 5.5.2"),
    (b"MAIL FROM:<a@example.org> SIZE", "501 5.5.4"),
    (b"MAIL FROM:<a@example.org> SIZE=x", "501 5.5.4"),
    (b"MAIL FROM:<a@example.org> SIZE=-1", "501 5.5.4"),
    (b"MAIL FROM:<a@example.org> SIZE=1 SIZE=1", "501 5.5.4"),
    (b"MAIL FROM:<a@example.org> SIZE=60000000", "552 5.3.4"),
    (b"MAIL FROM:<a@example.org> BODY=BINARYMIME", "501 5.5.4"),
    (b"MAIL FROM:<a@example.org> BODY", "501 5.5.4"),
    (b"MAIL FROM:<a@example.org> SMTPUTF8=1", "501 5.5.4"),
    (b"MAIL FROM:<a@example.org> =x", "501 5.5.4"),
    (b"MAIL FROM:<a@example.org> RET=HDRS ENVID=QQ+2B31", "250 2.1.0"),
    (b"MAIL FROM:<a@example.org> ENVID=" + b"+20" * 100, "250 2.1.0"),
    (b"MAIL FROM:<a@example.org> ENVID=" + b"+20" * 101, "501 5.5.4"),
    (b"MAIL FROM:<a@example.org> RET=BOTH", "501 5.5.4"),
    (b"MAIL FROM:<a@example.org> RET=FULL RET=FULL", "501 5.5.4"),
    (b"MAIL FROM:<a@example.org> NOTIFY=NEVER", "555 5.5.4"),
    (b"MAIL FROM:<a@example.org> AUTH=<>", "555 5.5.4"),
    (b"RCPT TO:<b@example.net>", "250 2.1.5"),
    (b'RCPT TO:<"b@c"@example.net>', "250 2.1.5"),
    (b"RCPT TO:<Postmaster>", "250 2.1.5"),
    (b"RCPT TO:<nobody@example.net>", "550 5.1.1"),
    (b"RCPT TO:<>", "501 5.1.3"),
    (b"RCPT TO:<b>", "501 5.1.3"),
    (b"RCPT FROM:<b@example.net>", "501 5.5.4"),
    ("RCPT TO:<é@example.net>".encode(), "553 5.6.7"),
    (b"RCPT TO:<b@example.net> NOTIFY=NEVER", "250 2.1.5"),
    (b"RCPT TO:<b@example.net> notify=delay,success orcpt=rfc822;b", "250 2.1.5"),
    (b"RCPT TO:<b@example.net> ORCPT=rfc822;" + b"b" * 493, "250 2.1.5"),
    (b"RCPT TO:<b@example.net> ORCPT=rfc822;" + b"b" * 494, "501 5.5.4"),
    (b"RCPT TO:<b@example.net> ORCPT=rfc822;b+0D+0AX:+20y", "501 5.5.4"),
    (b"RCPT TO:<b@example.net> ORCPT=rfc822;b ORCPT=rfc822;b", "501 5.5.4"),
    (b"RCPT TO:<b@example.net> NOTIFY=NEVER,SUCCESS", "501 5.5.4"),
    (b"RCPT TO:<b@example.net> RET=FULL", "555 5.5.4"),
    (b"RCPT TO:<b@example.net> NOTIFY=", "501 5.5.4"),
    (b"VRFY a@example.org", "252 2.5.0"),
    (b"VRFY", "501 5.5.4"),
    (b"EXPN list", "502 5.5.1"),
    (b"AUTH PLAIN AGEAYg==", "500 5.5.1"),
    (b"BDAT 10 LAST", "500 5.5.1"),
    (b"STARTTLS", "454 4.7.0"),
    (b"DATA", "503 5.5.1"),
    (b"RSET now", "501 5.5.4"),
    (b"QUIT now", "501 5.5.4"),
    (b"", "500 5.5.1"),
    (b"NOOP " + b"x" * 505, "250 2.0.0"),
    (b"NOOP " + b"x" * 506, "500 5.5.2"),
    (b"NOOP " + b"x" * 200_000, "500 5.5.2"),
    (b"NOOP\nRSET", "500 5.5.2"),
    (b"HELP", "214 2.0.0"),
]


def test_commands_and_parameters_get_the_code_the_standards_say() -> None:
    async def flow() -> None:
        got = []
        async with listening(NotingIntake(), max_errors=1000) as listener:
            for command, _ in TABLE:
                async with dialog(listener.port) as client:
                    await client.ask(b"EHLO c")
                    if command.startswith(b"RCPT"):
                        await client.ask(b"MAIL FROM:<a@example.org>")
                    got.append((await client.ask(command))[:9])
        wrong = [(c[:60], g, e) for (c, e), g in zip(TABLE, got, strict=True) if g != e]
        assert wrong == []

    asyncio.run(flow())


def test_order_of_commands_is_held() -> None:
    async def flow() -> None:
        async with listening(NotingIntake()) as listener, dialog(listener.port) as client:
            assert (await client.ask(b"MAIL FROM:<a@example.org>"))[:9] == "503 5.5.1"
            assert (await client.ask(b"EHLO"))[:9] == "501 5.5.4"
            assert (await client.ask(b"HELO c")) == "250 gw.example"
            # without EHLO there are no parameters (RFC 5321 §4.1.1.11)
            assert (await client.ask(b"MAIL FROM:<a@example.org> SIZE=1"))[:9] == "555 5.5.4"
            await client.ask(b"EHLO c")
            assert (await client.ask(b"RCPT TO:<b@example.net>"))[:9] == "503 5.5.1"
            assert (await client.ask(b"MAIL FROM:<a@example.org>"))[:3] == "250"
            assert (await client.ask(b"MAIL FROM:<a@example.org>"))[:9] == "503 5.5.1"
            assert (await client.ask(b"DATA"))[:9] == "503 5.5.1"
            assert (await client.ask(b"RSET"))[:9] == "250 2.0.0"
            assert (await client.ask(b"RCPT TO:<b@example.net>"))[:9] == "503 5.5.1"

    asyncio.run(flow())


@pytest.mark.parametrize(
    "request_line",
    [b"POST / HTTP/1.1", b"POST /" + b"a" * 600 + b" HTTP/1.1", b"POST /" + b"a" * 100_000],
    ids=["short", "long", "endless"],
)
def test_a_page_in_a_browser_sends_no_mail(request_line: bytes) -> None:
    """The browser is in a trusted network; the body of what it sends is the page's to choose."""
    body = b"EHLO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + MAIL
    header = b"\r\nHost: gw.example:2525\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n"

    async def flow() -> None:
        intake = NotingIntake()
        async with listening(intake) as listener, dialog(listener.port) as client:
            await client.say(request_line + header + body + b".\r\nQUIT\r\n")
            said = [await client.hear()]
            while said[-1]:
                said.append(await client.hear())
            assert said[-2:] == [replies.NOT_HTTP, ""]
            assert intake.begun == []

    asyncio.run(flow())


def test_verbs_are_ascii() -> None:
    """A dotless i is an I in capitals: what filters lines ahead of us saw no MAIL there."""

    async def flow() -> None:
        async with listening(NotingIntake()) as listener, dialog(listener.port) as client:
            assert (await client.ask(b"EHLO c")).startswith("250")
            for verb in ("MA\u0131L", "QU\u0131T", "\u017fTARTTLS"):
                assert await client.ask(f"{verb} x".encode()) == replies.UNKNOWN_COMMAND

    asyncio.run(flow())


def test_two_hundred_ehlo_raise_nobodys_line_limit() -> None:
    async def flow() -> None:
        async with listening(NotingIntake()) as listener, dialog(listener.port) as client:
            for _ in range(200):
                await client.ask(b"EHLO c")
            line = b"MAIL FROM:<a@example.org> " + b"x" * 900
            assert (await client.ask(line))[:9] == "500 5.5.2"

    asyncio.run(flow())


def test_too_many_recipients_get_452_and_the_mail_goes_to_the_others() -> None:
    async def flow() -> None:
        intake = NotingIntake()
        async with listening(intake, max_recipients=3) as listener, dialog(listener.port) as client:
            await client.ask(b"EHLO c")
            await client.ask(b"MAIL FROM:<a@example.org>")
            codes = [
                (await client.ask(f"RCPT TO:<u{i}@example.net>".encode()))[:9] for i in range(5)
            ]
            assert codes == ["250 2.1.5"] * 3 + ["452 4.5.3"] * 2
            await client.ask(b"DATA")
            assert (await client.ask(MAIL + b"."))[:3] == "250"
        assert len(intake.accepted[0].rcpt_to) == 3

    asyncio.run(flow())


@pytest.mark.parametrize(
    ("content", "reply"),
    [
        (b"bare\rcr\r\n", "550 5.6.0"),
        (b"bare\nlf\r\n", "550 5.6.0"),
        (b"nul\0\r\n", "550 5.6.0"),
        (b"x" * 1001 + b"\r\n", "550 5.6.0"),
        (b"x" * 1000 + b"\r\n", "250 2.0.0"),
        ((b"x" * 98 + b"\r\n") * 101, "552 5.3.4"),
        ((b"x" * 98 + b"\r\n") * 5000, "552 5.3.4"),
        (b"Received: x\r\n" * 50 + b"\r\n", "554 5.4.6"),
    ],
)
def test_mails_that_are_refused_do_not_end_the_connection(content: bytes, reply: str) -> None:
    async def flow() -> None:
        intake = NotingIntake()
        async with (
            listening(intake, max_size=10_000, max_line=1000) as listener,
            dialog(listener.port) as client,
        ):
            await client.up_to_data()
            assert (await client.ask(content + b"."))[:9] == reply
            assert (await client.ask(b"NOOP"))[:3] == "250"
        assert len(intake.begun) == (reply[0] == "2")

    asyncio.run(flow())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError("db gone on host db1.internal"), "451 4.3.0"),
        (asyncio.CancelledError(), "451 4.3.0"),
        (Refusal(250, "2.0.0", "nonsense"), "451 4.3.0"),
        (Refusal(452, "4.3.1", "Kein Platz für\r\nmehr"), "452 4.3.1"),
    ],
)
def test_a_fault_of_ours_is_451_with_an_id_that_is_in_the_log(
    error: BaseException, code: str
) -> None:
    async def flow() -> None:
        intake = NotingIntake()
        intake.error = error
        with capture_logs() as logs:
            async with listening(intake) as listener, dialog(listener.port) as client:
                await client.up_to_data()
                reply = await client.ask(MAIL + b".")
                assert reply[:9] == code
                assert reply.isascii()
                assert "db1" not in reply
                assert "Error" not in reply
                assert (await client.ask(b"NOOP"))[:3] == "250"
        if code == "451 4.3.0":
            (entry,) = [e for e in logs if e["event"] == "smtp_internal_error"]
            assert f"id {entry['incident']})" in reply
            assert "text" not in entry["trace"].splitlines()
        else:
            assert reply == "452 4.3.1 Kein Platz f?r mehr"

    asyncio.run(flow())


def test_a_fault_in_a_quick_check_is_451_too() -> None:
    async def flow() -> None:
        intake = NotingIntake()
        intake.sender_error = ConnectionResetError("database")
        with capture_logs():
            async with listening(intake) as listener, dialog(listener.port) as client:
                await client.ask(b"EHLO c")
                assert (await client.ask(b"MAIL FROM:<a@example.org>"))[:9] == "451 4.3.0"
                assert (await client.ask(b"NOOP"))[:3] == "250"

    asyncio.run(flow())


def test_a_network_nobody_vouches_for_gets_no_service() -> None:
    async def flow() -> None:
        intake = NotingIntake()
        intake.relay = None
        with capture_logs() as logs:
            async with (
                listening(intake) as listener,
                dialog(listener.port, greeting="554 5.7.1") as client,
            ):
                assert (await client.ask(b"EHLO c"))[:9] == "503 5.5.1"
                assert (await client.ask(b"QUIT"))[:3] == "221"
        assert [e["event"] for e in logs] == ["smtp_peer_refused"]

    asyncio.run(flow())


async def begun(intake: NotingIntake) -> None:
    """Returns once the end of a mail was seen, and what follows from it has begun."""
    async with asyncio.timeout(60):
        while not intake.begun:
            await asyncio.sleep(0.005)


def rst(client: Dialog) -> None:
    """Close by RST."""
    sock = client.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


SCRIPT = [
    b"",
    b"EH",
    b"EHLO c\r\n",
    b"EHLO c\r\nMAIL FROM:<a@example.org>\r\n",
    b"EHLO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n",
    b"EHLO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n",
    b"EHLO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nFrom: a@ex",
    b"EHLO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + MAIL,
    b"EHLO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + MAIL + b".\r",
    b"EHLO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + MAIL + b".\r\n",
]


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("wait", [0.0, 0.05])
def test_a_client_that_vanishes_leaves_nothing_or_everything(how: str, wait: float) -> None:
    async def flow() -> None:
        intake = NotingIntake()
        intake.accept_seconds = 0.15
        with capture_logs() as logs:
            async with listening(intake) as listener:
                for script in SCRIPT:
                    async with dialog(listener.port) as client:
                        await client.say(script)
                        await asyncio.sleep(wait)
                        if wait and script is SCRIPT[-1]:
                            await begun(intake)
                        if how == "RST":
                            rst(client)
            # stop() has waited for what was begun
            assert len(intake.begun) == len(intake.accepted)
            if wait:  # the dot was seen before the client left
                assert len(intake.accepted) == 1
            assert len(intake.accepted) <= 1
        assert {e["event"] for e in logs} <= {"connected", "disconnected"}

    asyncio.run(flow())


def test_silence_is_cut_but_a_slow_steady_mail_is_not() -> None:
    async def flow() -> None:
        intake = NotingIntake()
        intake.accept_seconds = 3.5
        async with listening(intake, timeout=3) as listener:
            async with dialog(listener.port) as client:
                assert (await client.hear())[:9] == "421 4.4.2"
                assert await client.hear() == ""
            async with dialog(listener.port) as client:
                await client.up_to_data()
                for _ in range(10):  # 4 s in all
                    await client.say(b"line\r\n")
                    await asyncio.sleep(0.4)
                # nor does the time that accept takes count as silence
                assert (await client.ask(b"."))[:9] == "250 2.0.0"

    asyncio.run(flow())


def test_a_client_that_drips_for_ever_is_cut() -> None:
    async def flow() -> None:
        async with (
            listening(NotingIntake(), timeout=5, transaction_timeout=0.4) as listener,
            dialog(listener.port) as client,
        ):
            await client.up_to_data()
            verdict = asyncio.create_task(client.hear())
            for _ in range(40):
                if verdict.done():
                    break
                await client.say(b"x")
                await asyncio.sleep(0.05)
            assert (await verdict)[:9] == "421 4.4.2"

    asyncio.run(flow())


def test_a_large_mail_that_waits_for_room_in_vain_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "_PATIENCE", 0.2)
    monkeypatch.setattr(room, "_LOOK", 0.1)

    async def flow() -> None:
        async with listening(NotingIntake(), max_size=2_000_000) as listener:
            begin = b"EHLO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
            clients = [dialog(listener.port) for _ in range(3)]  # there is room for two of them
            async with clients[0] as one, clients[1] as two, clients[2] as three:
                for client in (one, two, three):
                    await client.say(begin + b"x" * 900_000)
                    while not (await client.hear()).startswith("354"):
                        pass
                assert await three.hear() == replies.TOO_MANY_LARGE
                assert replies.TOO_MANY_LARGE.startswith("421 4.3.1 ")

    asyncio.run(flow())


def test_connections_and_errors_are_limited() -> None:
    async def flow() -> None:
        async with listening(NotingIntake(), max_connections=2, max_errors=3) as listener:
            async with dialog(listener.port) as one, dialog(listener.port):
                async with dialog(listener.port, greeting="421 4.3.2") as three:
                    assert await three.hear() == ""
                await one.ask(b"JUNK")
                await one.ask(b"JUNK")
                assert (await one.ask(b"JUNK"))[:9] == "500 5.5.1"
                assert (await one.hear())[:9] == "421 4.7.0"
            async with dialog(listener.port) as again:
                # what the intake refuses is no error of the client
                await again.ask(b"EHLO c")
                await again.ask(b"MAIL FROM:<a@example.org>")
                for _ in range(10):
                    assert (await again.ask(b"RCPT TO:<nobody@example.net>"))[:3] == "550"

    asyncio.run(flow())


def test_a_flood_of_pipelined_commands_does_not_starve_others() -> None:
    async def flow() -> None:
        async with (
            listening(NotingIntake()) as listener,
            dialog(listener.port) as flood,
            dialog(listener.port) as other,
        ):
            flood.writer.write(b"NOOP\r\n" * 100_000)  # and never reads the replies
            # By the clock or by what both sides have worked: another program's time is not ours.
            start = time.process_time(), time.monotonic()
            for _ in range(20):
                assert (await other.ask(b"NOOP"))[:3] == "250"
            assert min(time.process_time() - start[0], time.monotonic() - start[1]) < 2
            rst(flood)

    asyncio.run(flow())


def test_stopping_ends_idle_clients_and_lets_running_mails_finish() -> None:
    async def flow() -> None:
        intake = NotingIntake()
        intake.accept_seconds = 0.3
        async with (
            listening(intake) as listener,
            dialog(listener.port) as idle,
            dialog(listener.port) as busy,
        ):
            await idle.ask(b"EHLO c")
            await busy.up_to_data()
            stopping = asyncio.create_task(listener.stop(5))
            assert (await idle.hear())[:9] == "421 4.3.2"
            assert (await busy.ask(MAIL + b"."))[:9] == "250 2.0.0"
            assert (await busy.hear())[:9] == "421 4.3.2"
            await stopping
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", listener.port)
        assert len(intake.accepted) == 1

    asyncio.run(flow())


def test_stopping_cuts_what_outlasts_the_grace_but_never_an_accept() -> None:
    async def flow() -> None:
        intake = NotingIntake()
        intake.accept_seconds = 0.5
        async with (
            listening(intake) as listener,
            dialog(listener.port) as slow,
            dialog(listener.port) as given,
        ):
            await slow.up_to_data()
            await given.up_to_data()
            await given.say(MAIL + b".\r\n")
            await begun(intake)
            await listener.stop(0.1)
        assert len(intake.accepted) == 1

    asyncio.run(flow())


def test_a_port_in_use_is_said_in_plain_words() -> None:
    async def flow() -> None:
        async with listening(NotingIntake()) as listener:
            second = Listener(ListenSettings("gw.example", port=listener.port), NotingIntake())
            with pytest.raises(SceauError) as caught:
                await second.start()
            assert str(caught.value) == (
                f"port {listener.port} on 127.0.0.1 is already in use by another program"
            )
            assert "another port" in caught.value.hint

    asyncio.run(flow())


def test_listeners_share_a_socket_that_was_handed_in() -> None:
    async def flow() -> None:
        shared = socket.create_server(("127.0.0.1", 0))
        intakes = NotingIntake(), NotingIntake()
        listeners = [Listener(ListenSettings("gw.example"), i) for i in intakes]
        for listener in listeners:
            await listener.start([shared.dup()])
        for _ in range(10):
            async with dialog(listeners[0].port) as client:
                await client.up_to_data()
                assert (await client.ask(MAIL + b"."))[:3] == "250"
        for listener in listeners:
            await listener.stop(1)
        shared.close()
        assert sum(len(i.accepted) for i in intakes) == 10

    asyncio.run(flow())


async def starttls(client: Dialog, ca: Path) -> None:
    context = ssl.create_default_context(cafile=str(ca))
    await client.writer.start_tls(context, server_hostname="gw.example")


def test_starttls_protects_and_forgets_what_came_before(tmp_path: Path) -> None:
    pki = make_server_certificate(tmp_path, "gw.example")

    async def flow() -> None:
        intake = NotingIntake()
        settings: dict[str, Any] = {"tls": pki.server_context(), "require_tls": True}
        async with listening(intake, **settings) as listener, dialog(listener.port) as client:
            assert "250-STARTTLS" in (await client.ask(b"EHLO c")).splitlines()
            assert (await client.ask(b"MAIL FROM:<a@example.org>"))[:9] == "530 5.7.0"
            assert (await client.ask(b"STARTTLS x"))[:9] == "501 5.5.4"
            assert (await client.ask(b"STARTTLS")) == "220 2.0.0 Ready to start TLS"
            await starttls(client, pki.ca)
            assert (await client.ask(b"MAIL FROM:<a@example.org>"))[:9] == "503 5.5.1"
            assert "STARTTLS" not in await client.ask(b"EHLO c")
            assert (await client.ask(b"STARTTLS"))[:9] == "503 5.5.1"
            await client.up_to_data()
            big = b"x" * 70 + b"\r\n"
            assert (await client.ask(big * 10_000 + b"."))[:3] == "250"
            assert await client.ask(b"QUIT") == "221 2.0.0 Bye"
        assert intake.accepted[0].peer.tls.startswith("TLSv1.3 TLS_")
        assert len(intake.accepted[0].raw) == 720_000

    asyncio.run(flow())


def test_what_is_injected_behind_starttls_is_never_obeyed(tmp_path: Path) -> None:
    pki = make_server_certificate(tmp_path, "gw.example")

    async def flow() -> None:
        intake = NotingIntake()
        async with (
            listening(intake, tls=pki.server_context()) as listener,
            dialog(listener.port) as client,
        ):
            await client.ask(b"EHLO c")
            await client.say(
                b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@example.org>\r\n"
                b"RCPT TO:<b@example.net>\r\nDATA\r\n"
            )
            assert (await client.hear())[:3] == "220"
            await starttls(client, pki.ca)
            # the first reply over TLS is the one to the first command over TLS
            assert (await client.ask(b"NOOP"))[:9] == "250 2.0.0"
            assert (await client.ask(b"RCPT TO:<b@example.net>"))[:9] == "503 5.5.1"
        assert intake.sizes == []

    asyncio.run(flow())


@pytest.mark.parametrize("junk", [b"", b"this is not TLS\r\n", b"\x16\x03\x01\x00\x05hello"])
def test_a_handshake_that_fails_ends_the_connection_quietly(tmp_path: Path, junk: bytes) -> None:
    pki = make_server_certificate(tmp_path, "gw.example")

    async def flow() -> None:
        with capture_logs() as logs:
            async with listening(NotingIntake(), tls=pki.server_context()) as listener:
                async with dialog(listener.port) as client:
                    await client.ask(b"EHLO c")
                    assert (await client.ask(b"STARTTLS"))[:3] == "220"
                    await client.say(junk)
                    client.writer.write_eof()
                    await client.reader.read()
                async with dialog(listener.port) as client:
                    assert (await client.ask(b"EHLO c"))[:3] == "250"
        events = [e["event"] for e in logs]
        assert [e for e in events if not e.endswith("connected")] == ["smtp_tls_failed"]

    asyncio.run(flow())


@pytest.mark.parametrize("point", ["handshake", "data", "dot"])
def test_clients_that_vanish_over_tls_leave_nothing_or_everything(
    tmp_path: Path, point: str
) -> None:
    pki = make_server_certificate(tmp_path, "gw.example")

    async def flow() -> None:
        intake = NotingIntake()
        intake.accept_seconds = 0.1
        with capture_logs():
            async with (
                listening(intake, tls=pki.server_context()) as listener,
                dialog(listener.port) as client,
            ):
                await client.ask(b"EHLO c")
                await client.ask(b"STARTTLS")
                if point != "handshake":
                    await starttls(client, pki.ca)
                    await client.up_to_data()
                    await client.say(MAIL + (b".\r\n" if point == "dot" else b""))
                    await asyncio.sleep(0.03)
                    if point == "dot":
                        await begun(intake)
                rst(client)
        assert len(intake.begun) == len(intake.accepted) == (point == "dot")

    asyncio.run(flow())
