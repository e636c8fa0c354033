"""Delivery to next hops that answer, refuse, lie, stall and vanish."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import SceauError
from gateway.smtp.client import Deliverer, NextHop, Outcome, Result, Timeouts, TlsDemand
from tests.corpora import corpus
from tests.services.certificates import make_server_certificate
from tests.services.hostile_smtp import Hostile, running
from tests.services.smtp_listener import NotingIntake, listening

pytestmark = pytest.mark.flow

MAIL = b"From: a@example.org\r\nSubject: s\r\n\r\n.text\r\n..\r\n"
# For a peer that answers, however busy the machine; and for one of whose silence we want the end.
PATIENT = Timeouts(connect=60, greeting=60, command=60, data=60, dot=60)
QUICK = Timeouts(connect=60, greeting=0.5, command=0.5, data=0.5, dot=0.5)


@contextlib.asynccontextmanager
async def delivering(**options: Any) -> AsyncIterator[Deliverer]:
    """A deliverer; at the end no task may have died unheard."""
    noise: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: noise.append(context))
    deliverer = Deliverer(**options)
    try:
        yield deliverer
    finally:
        await deliverer.close()
    await asyncio.sleep(0.02)
    assert noise == []


async def send(
    deliverer: Deliverer, port: int, *recipients: str, data: bytes = MAIL, **options: Any
) -> list[Outcome]:
    hop = {"tls": TlsDemand.NONE, "timeouts": PATIENT, "ehlo_name": "gw.example"}
    mail = {"eight_bit": False, "smtputf8": False, "mail_from": "a@example.org"}
    for name, value in options.items():
        (mail if name in mail or name == "on_dot_sent" else hop)[name] = value
    next_hop = NextHop("127.0.0.1", port, **hop)  # type: ignore[arg-type]
    to = recipients or ("b@example.net",)
    mail_from = str(mail.pop("mail_from"))
    return await deliverer.deliver(next_hop, mail_from, to, data, **mail)  # type: ignore[arg-type]


def one(hostile: Hostile, *recipients: str, **options: Any) -> list[Outcome]:
    """Deliver one mail to `hostile`."""

    async def flow() -> list[Outcome]:
        async with running(hostile), delivering() as deliverer:
            return await send(deliverer, hostile.port, *recipients, **options)

    return asyncio.run(flow())


def brief(outcomes: list[Outcome]) -> list[tuple[str, str, int, str]]:
    return [(o.address, o.result.value, o.code, o.status) for o in outcomes]


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_mail_arrives_as_it_is_and_each_recipient_has_an_outcome(pipelining: bool) -> None:
    hop = Hostile(rcpt={"gone": "550 5.1.1 no such user", "full": "452 4.2.2 mailbox full"})
    if not pipelining:
        hop.extensions.remove("PIPELINING")
    dots = []
    outcomes = one(
        hop,
        "b@example.net",
        "gone@example.net",
        "full@example.net",
        "c@example.net",
        on_dot_sent=lambda: dots.append(1),
    )
    assert brief(outcomes) == [
        ("b@example.net", "delivered", 250, "2.0.0"),
        ("gone@example.net", "permanent", 550, "5.1.1"),
        ("full@example.net", "temporary", 452, "4.2.2"),
        ("c@example.net", "delivered", 250, "2.0.0"),
    ]
    assert outcomes[0].queued_as == "4F1C2"
    assert outcomes[1].text == "no such user"
    assert outcomes[0].host == f"127.0.0.1[127.0.0.1]:{hop.port}"
    assert hop.mails == [MAIL]
    assert dots == [1]
    assert hop.commands[1] == f"MAIL FROM:<a@example.org> SIZE={len(MAIL)}"


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"mail": "550 5.7.1 not you"}, ("permanent", 550, "5.7.1")),
        ({"mail": "451 4.3.0 later"}, ("temporary", 451, "4.3.0")),
        ({"rcpt": {"b": "550 no such user"}}, ("permanent", 550, "5.0.0")),
        ({"rcpt": {"b": "450 greylisted"}}, ("temporary", 450, "4.0.0")),
        ({"rcpt": {"b": "550 5.1.1 x"}, "data": "354 go"}, ("permanent", 550, "5.1.1")),
        ({"data": "554 5.7.0 no"}, ("permanent", 554, "5.7.0")),
        # Nothing was sent, so nothing was delivered, whatever the peer says.
        ({"data": "250 what"}, ("temporary", 0, "4.5.0")),
        ({"dot": "552 5.3.4 too large"}, ("permanent", 552, "5.3.4")),
        ({"dot": "451 4.3.0 disk"}, ("temporary", 451, "4.3.0")),
        ({"dot": "421 4.3.2 closing"}, ("temporary", 421, "4.3.2")),
        ({"dot": "550 4.1.1 classes differ"}, ("permanent", 550, "5.0.0")),
    ],
)
def test_refusals_at_each_step(
    options: dict[str, Any], expected: tuple[str, int, str], pipelining: bool
) -> None:
    hop = Hostile(**options)
    if not pipelining:
        hop.extensions.remove("PIPELINING")
    ((_, *got),) = brief(one(hop))
    assert tuple(got) == expected


GONE = {"greeting": None}, {"mail": None}, {"rcpt": {"b": None}}, {"data": None}


@pytest.mark.parametrize("options", GONE)
def test_a_connection_lost_before_the_dot_is_temporary_and_certain(options: Any) -> None:
    (outcome,) = one(Hostile(**options))
    assert (outcome.result, outcome.code, outcome.status) == (Result.TEMPORARY, 0, "4.4.2")
    assert not outcome.uncertain
    assert "connection lost" in outcome.text


@pytest.mark.parametrize(
    "options",
    [{"dot": None}, {"delay": {"DOT": 2}}, {"dot": "what?"}, {"dot": "354 more"}],
)
def test_no_word_after_the_dot_is_temporary_and_uncertain(options: Any) -> None:
    hop = Hostile(rcpt={"gone": "550 5.1.1 no such user"}, **options)
    soon = replace(PATIENT, dot=0.5)  # all before the dot is answered
    outcome, gone = one(hop, "b@example.net", "gone@example.net", timeouts=soon)
    assert outcome.result is Result.TEMPORARY
    assert outcome.uncertain
    assert "the peer may have it" in outcome.text
    assert (gone.result, gone.uncertain) == (Result.PERMANENT, False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"greeting": "554 5.7.1 go away"}, "refused to talk to us: go away"),
        ({"greeting": "hello"}, "not SMTP"),
        ({"greeting": "220-one\r\n221 two"}, "not SMTP"),
        ({"greeting": "220 " + "x" * 100_000}, "absurd length"),
        ({"greeting": "220-x\r\n" * 20_000 + "220 x"}, "absurd length"),
        ({"delay": {"CONNECT": 2}}, "no reply in time"),
        ({"delay": {"EHLO": 2}}, "no reply in time"),
        ({"delay": {"MAIL": 2}}, "no reply in time"),
        ({"mail": "\x00\x01\x02"}, "not SMTP"),
        ({"mail": "999 odd"}, "not SMTP"),
    ],
)
def test_garbage_and_stalling_are_bounded(options: Any, words: str) -> None:
    (outcome,) = one(Hostile(**options), timeouts=QUICK if "delay" in options else PATIENT)
    assert outcome.result is Result.TEMPORARY
    assert words in outcome.text
    assert outcome.status.startswith("4.")
    assert len(outcome.text) < 2000


def test_a_peer_that_stops_reading_is_given_up_before_the_dot() -> None:
    soon = replace(PATIENT, data=0.5)
    hop = Hostile(stop_reading_at_data=True)
    (outcome,) = one(hop, data=MAIL + b"x" * 70_000_000, timeouts=soon)
    assert "stopped taking data" in outcome.text
    assert (outcome.result, outcome.uncertain) == (Result.TEMPORARY, False)


def test_texts_of_the_peer_are_made_harmless() -> None:
    (outcome,) = one(Hostile(dot="550-5.7.1 first \x1b[31m\r\n550 5.7.1 s\xe9cond"))
    assert outcome.text == "first ?[31m s?cond"
    assert outcome.status == "5.7.1"


def test_nobody_listens_or_no_such_host() -> None:
    async def flow() -> None:
        async with delivering() as deliverer:
            (outcome,) = await send(deliverer, 1)
            assert (outcome.result, outcome.status) == (Result.TEMPORARY, "4.4.1")
            assert "cannot connect" in outcome.text
            hop = NextHop("x" * 70 + ".invalid", timeouts=PATIENT)
            (outcome,) = await deliverer.deliver(
                hop, "", ["b@example.net"], MAIL, eight_bit=False, smtputf8=False
            )
            assert (outcome.result, outcome.status) == (Result.TEMPORARY, "4.4.3")

    asyncio.run(flow())


def test_what_the_next_hop_lacks_is_permanent_and_said() -> None:
    bare = Hostile(extensions=["PIPELINING", "SIZE 60"])
    (outcome,) = one(bare, data=b"x\r\n", eight_bit=True)
    assert (outcome.result, outcome.status) == (Result.PERMANENT, "5.6.3")
    (outcome,) = one(bare, data=b"x\r\n", smtputf8=True)
    assert (outcome.result, outcome.status) == (Result.PERMANENT, "5.6.7")
    (outcome,) = one(bare, data=b"x" * 70 + b"\r\n")
    assert (outcome.result, outcome.status) == (Result.PERMANENT, "5.3.4")
    # one recipient's address is not ASCII: the others get the mail
    outcomes = one(bare, "é@example.net", "b@example.net", data=b"x\r\n")
    assert [o.status for o in outcomes] == ["5.6.7", "2.0.0"]
    assert "MAIL" not in "".join(bare.commands[:1])
    full = Hostile()
    one(full, "é@example.net", eight_bit=True)
    assert full.commands[1].endswith(" BODY=8BITMIME SMTPUTF8")


EVIL = [
    "b@example.net>\r\nRCPT TO:<evil@example.com",
    "b@example.net\r\nDATA\r\nx\r\n.\r\n",
    "b@example.net\nRSET",
    "b@example.net\rRSET",
    "b\0@example.net",
    "b@example.net> NOTIFY=NEVER",
    "b c@example.net",
    "b@example.net>",
    "<b@example.net",
    '"b\r\nRSET"@example.net',
    '"b@example.net',
    "b@example.net\u2028RSET",
    "",
    "b",
    "\udc0d@example.net",
]


@pytest.mark.parametrize("evil", EVIL)
def test_addresses_never_become_commands(evil: str) -> None:
    hop = Hostile()
    outcomes = one(hop, "b@example.net", evil)
    assert [o.result for o in outcomes] == [Result.DELIVERED, Result.PERMANENT]
    assert [c[:4] for c in hop.commands] == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"][
        : len(hop.commands)
    ]
    assert len(hop.mails) == 1
    hop = Hostile()
    if evil:
        (outcome,) = one(hop, mail_from=evil)
        assert (outcome.result, outcome.status) == (Result.PERMANENT, "5.1.7")
        assert hop.connections == 0


def test_the_null_sender_is_one() -> None:
    hop = Hostile()
    assert one(hop, mail_from="")[0].result is Result.DELIVERED
    assert hop.commands[1].startswith("MAIL FROM:<> ")


def test_what_could_smuggle_a_mail_is_never_emitted() -> None:
    hop = Hostile()
    for row in corpus("smtp-smuggling/EOD.tsv").read_text().splitlines():
        if row and not row.startswith("#"):
            sequence = eval(f'b"{row.split(chr(9))[1]}"')  # test data
            (outcome,) = one(hop, data=MAIL + sequence + b"\r\n")
            assert (outcome.result, outcome.status) == (Result.PERMANENT, "5.6.0"), row
    assert hop.connections == 0


def test_connections_are_reused_and_limited() -> None:
    async def flow() -> None:
        async with (
            running(Hostile(delay={"DOT": 0.01})) as hop,
            delivering(max_connections_per_hop=3) as deliverer,
        ):
            batches = await asyncio.gather(*(send(deliverer, hop.port) for _ in range(30)))
            assert all(o.result is Result.DELIVERED for batch in batches for o in batch)
            assert hop.connections == 3
            assert len(hop.mails) == 30

    asyncio.run(flow())


def test_after_refusals_the_connection_takes_the_next_mail() -> None:
    async def flow() -> None:
        async with running(Hostile(rcpt={"gone": "550 5.1.1 x"})) as hop, delivering() as deliverer:
            for to in ("gone@example.net", "b@example.net") * 3:
                (outcome,) = await send(deliverer, hop.port, to)
                assert (outcome.code == 550) == to.startswith("gone")
            assert hop.connections == 1
            hop.data = "354 go"  # although nobody is left: a lone dot ends it
            for to in ("gone@example.net", "b@example.net"):
                await send(deliverer, hop.port, to)
            assert hop.connections == 1
            assert len([m for m in hop.mails if m]) == 4

    asyncio.run(flow())


@pytest.mark.parametrize(
    "how", ["closed while idle", "421 while idle", "421 to MAIL", "lost at MAIL"]
)
def test_a_reused_connection_that_ended_is_replaced(how: str) -> None:
    async def flow() -> None:
        async with running(Hostile()) as hop, delivering() as deliverer:
            if how == "closed while idle":
                hop.close_after = 1
            if how == "421 while idle":
                hop.after["DOT"] = b"421 4.4.2 idle too long\r\n"
            await send(deliverer, hop.port)
            hop.after.clear()
            await asyncio.sleep(0.05)
            answers = iter(["421 4.3.2 closing"] if how.startswith("421") else [None])
            if how.endswith("MAIL"):
                real = hop.talk

                async def talk(reader: Any, writer: Any) -> None:
                    hop.mail = "250 2.1.0 ok"  # from the second connection on
                    await real(reader, writer)

                hop.talk = talk  # type: ignore[method-assign]
                hop.mail = next(answers)
            (outcome,) = await send(deliverer, hop.port)
            assert outcome.result is Result.DELIVERED
            assert hop.connections == 2
            assert len(hop.mails) == 2

    asyncio.run(flow())


def test_a_fresh_connection_that_ends_is_not_tried_again() -> None:
    hop = Hostile(mail="421 4.3.2 closing")
    ((_, *got),) = brief(one(hop))
    assert got == ["temporary", 421, "4.3.2"]
    assert hop.connections == 1


def test_idle_connections_say_quit() -> None:
    async def flow() -> None:
        async with running(Hostile()) as hop, delivering(idle_seconds=0.1) as deliverer:
            await send(deliverer, hop.port)
            assert hop.commands[-1] == "DATA"
            async with asyncio.timeout(60):
                while hop.commands[-1] != "QUIT":
                    await asyncio.sleep(0.01)

    asyncio.run(flow())


def test_a_cancelled_delivery_leaves_no_half_used_connection() -> None:
    async def flow() -> None:
        async with running(Hostile(delay={"DOT": 60})) as hop, delivering() as deliverer:
            task = asyncio.create_task(send(deliverer, hop.port))
            async with asyncio.timeout(30):
                while not hop.mails:  # it has the whole mail, and has not answered
                    await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            hop.delay.clear()
            (outcome,) = await send(deliverer, hop.port)
            assert outcome.result is Result.DELIVERED
            assert hop.connections == 2

    asyncio.run(flow())


# --- TLS ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_server_certificate(tmp_path_factory.mktemp("pki"), "mx.example")


def verified(ca: Path, **more: Any) -> dict[str, Any]:
    return {"tls": TlsDemand.VERIFIED, "ca_file": str(ca), "tls_name": "mx.example", **more}


def test_verified_tls(pki: Any) -> None:
    hop = Hostile(tls=pki.server_context())
    (outcome,) = one(hop, **verified(pki.ca))
    assert outcome.result is Result.DELIVERED
    assert outcome.tls.startswith("TLSv1.3 TLS_")
    assert outcome.tls.endswith(" verified")
    assert hop.clear == b"EHLO gw.example\r\nSTARTTLS\r\n"
    assert hop.mails == [MAIL]


@pytest.mark.parametrize("case", ["stripped", "refused", "wrong host", "wrong CA", "no TLS behind"])
def test_verified_means_verified_or_nothing_is_sent(pki: Any, case: str, tmp_path: Path) -> None:
    hop = Hostile(tls=pki.server_context())
    options = verified(pki.ca)
    if case == "stripped":
        hop.tls = None
    if case == "refused":
        hop.starttls = "454 4.7.0 TLS not available"
    if case == "wrong host":
        options["tls_name"] = "other.example"
    if case == "wrong CA":
        options = verified(make_server_certificate(tmp_path, "mx.example").ca)
    if case == "no TLS behind":
        hop.tls = None
        hop.extensions.append("STARTTLS")
    (outcome,) = one(hop, **options)
    assert outcome.result is Result.TEMPORARY
    assert outcome.status in ("4.7.4", "4.7.5")
    words = {
        "stripped": "does not offer STARTTLS",
        "refused": "STARTTLS was refused: TLS not available",
        "wrong host": "Hostname mismatch",
        "wrong CA": "certificate not trusted",
        "no TLS behind": "TLS handshake failed",
    }
    assert words[case] in outcome.text
    assert b"MAIL" not in hop.clear
    assert hop.mails == []


def test_a_missing_file_of_cas_is_temporary(tmp_path: Path, pki: Any) -> None:
    (outcome,) = one(Hostile(tls=pki.server_context()), **verified(tmp_path / "none.pem"))
    assert outcome.result is Result.TEMPORARY
    assert "No such file" in outcome.text


def test_verified_without_a_ca_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(SceauError, match="needs the CAs"):
        NextHop("mx.example", tls=TlsDemand.VERIFIED)
    with pytest.raises(SceauError, match="EHLO"):
        NextHop("mx.example", ehlo_name="gw\r\nRSET")


def test_replies_injected_before_tls_are_not_believed(pki: Any) -> None:
    # In one segment with the 220: replies that would settle the whole transaction.
    injected = b"250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 Ok: queued as EVIL\r\n"
    hop = Hostile(tls=pki.server_context(), after={"STAR": injected}, dot="451 4.3.0 no")
    (outcome,) = one(hop, **verified(pki.ca))
    assert outcome.queued_as != "EVIL"
    assert outcome.result is Result.TEMPORARY


def test_opportunistic_tls_takes_any_certificate_and_does_without(pki: Any) -> None:
    (outcome,) = one(Hostile(tls=pki.server_context()), tls=TlsDemand.OPPORTUNISTIC)
    assert outcome.result is Result.DELIVERED
    assert outcome.tls.startswith("TLSv1.3")
    assert "verified" not in outcome.tls
    (outcome,) = one(Hostile(), tls=TlsDemand.OPPORTUNISTIC)
    assert (outcome.result, outcome.tls) == (Result.DELIVERED, "")
    # a handshake that fails: once more, in clear
    broken = Hostile()
    broken.extensions.append("STARTTLS")
    (outcome,) = one(broken, tls=TlsDemand.OPPORTUNISTIC)
    assert (outcome.result, outcome.tls) == (Result.DELIVERED, "")
    assert broken.connections == 2


def test_our_client_and_our_server_understand_each_other(pki: Any) -> None:
    async def flow() -> None:
        intake = NotingIntake()
        async with (
            listening(intake, tls=pki.server_context(), require_tls=True) as listener,
            delivering() as deliverer,
        ):
            for size in (0, 10, 100_000, 5_000_000):
                data = MAIL + (b".\xe9" + b"x" * 76 + b"\r\n") * (size // 80)
                options = verified(pki.ca, eight_bit=True)
                (outcome,) = await send(deliverer, listener.port, data=data, **options)
                assert outcome.result is Result.DELIVERED, outcome
                assert intake.accepted[-1].raw == data

    asyncio.run(flow())


def test_mail_does_not_gather_before_a_hop_that_says_nothing() -> None:
    """It answers nobody; those without a connection hear so long before its time limits end."""

    slow = Timeouts(connect=60, greeting=8, command=8, data=8, dot=8)

    async def flow(port: int) -> list[list[Outcome]]:
        async with delivering(max_connections_per_hop=2, patience_seconds=0.3) as deliverer:
            tasks = [asyncio.create_task(send(deliverer, port, timeouts=slow)) for _ in range(20)]
            waiting = set(tasks)
            while len(waiting) > 2:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert len(waiting) == 2  # those who have a connection
            return [await task for task in tasks]

    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system takes the connections
        outcomes = asyncio.run(flow(silent.getsockname()[1]))
    assert {(one.result, one.status) for (one,) in outcomes} == {(Result.TEMPORARY, "4.4.2")}


def test_mail_waits_for_its_turn_at_a_hop_that_is_slow_but_answers() -> None:
    slow = NotingIntake()
    slow.accept_seconds = 0.6

    async def flow() -> list[list[Outcome]]:
        async with (
            listening(slow) as listener,
            delivering(max_connections_per_hop=1, patience_seconds=4) as deliverer,
        ):
            return await asyncio.gather(*(send(deliverer, listener.port) for _ in range(8)))

    # The last ones waited longer than for that patience: it counts from the hop's last answer.
    assert [one.result for (one,) in asyncio.run(flow())] == [Result.DELIVERED] * 8


@pytest.mark.parametrize("size", [10, 300_000])
def test_who_may_not_send_any_more_is_asked_before_the_end_of_the_mail(size: int) -> None:
    """A process that lost its licence ends itself there: the mail must not be complete."""
    hop = Hostile()

    dots: list[int] = []

    class EndedError(BaseException):
        pass

    def end() -> None:
        raise EndedError

    async def flow() -> None:
        async with running(hop), delivering(before_dot=end) as deliverer:
            data = MAIL + b"x" * size + b"\r\n"
            with pytest.raises(EndedError):
                await send(deliverer, hop.port, data=data, on_dot_sent=lambda: dots.append(1))

    asyncio.run(flow())
    assert b"".join(hop.mails) == b"", "the peer saw the connection end, and no mail"
    assert dots == []
