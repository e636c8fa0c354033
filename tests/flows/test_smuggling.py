"""Forty ways to end a mail where it does not end: taken in, and sent out.

Each case is judged twice: what our own port makes of it, and whether anything we emit could be read
as the end of a mail by servers that are less strict than the RFC.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from gateway.mail import Submission
from gateway.mime.entity import content_entity, split
from gateway.mime.outgoing import assemble, forward
from gateway.smtp.client import Deliverer, NextHop, Result
from gateway.smtp.listener import Listener
from tests.services.smtp_listener import NotingIntake, dialog, listening

pytestmark = pytest.mark.flow

BEFORE = {"crlf": b"\r\n", "lf": b"\n", "cr": b"\r", "lfcr": b"\n\r", "crcrlf": b"\r\r\n"}
AFTER = {
    "crlf": b"\r\n",
    "lf": b"\n",
    "cr": b"\r",
    "lfcr": b"\n\r",
    "crcrlf": b"\r\r\n",
    "nul-crlf": b"\0\r\n",
    "space-crlf": b" \r\n",
    "dot-crlf": b".\r\n",
}
CASES = {f"{b}.{a}": BEFORE[b] + b"." + AFTER[a] for b in BEFORE for a in AFTER}
# Those that do end a mail (RFC 5321 §4.1.1.4), one of them a mail with a bare CR; and the two that
# are dots at the start of a line. Everything else has an octet that no mail may have.
ENDS = {"crlf.crlf": "250 2.0.0", "crcrlf.crlf": "550 5.6.0"}
DOTS = {"crlf.space-crlf": b"\r\n \r\n", "crlf.dot-crlf": b"\r\n.\r\n"}

EVIL = (
    b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nFrom: evil\r\n\r\nx"
)
# Where in the mail: in its header, at the start of its body, in it, at its end.
PLACES: dict[str, Callable[[bytes], bytes]] = {
    "header": lambda s: b"From: a@example.org" + s + EVIL + b"\r\n\r\ntext\r\n",
    "start": lambda s: b"From: a@example.org\r\n" + s + EVIL + b"\r\n",
    "middle": lambda s: b"From: a@example.org\r\n\r\ntext" + s + EVIL + b"\r\n",
    "end": lambda s: b"From: a@example.org\r\n\r\ntext" + s,
}


def test_there_are_forty() -> None:
    assert len(CASES) == 40


# -- readers, written for this test ----------------------------------------------------------------


def strict(stream: bytes) -> int:
    """RFC 5321: where the mail ends, for a server that knows CRLF alone."""
    return 3 if stream.startswith(b".\r\n") else stream.index(b"\r\n.\r\n") + 5


def like_postfix(stream: bytes) -> int:
    """As Postfix before 2023-12: a line ends at LF, a CR before it is dropped."""
    at = 0
    while True:
        end = stream.index(b"\n", at) + 1
        if stream[at:end].removesuffix(b"\n").removesuffix(b"\r") == b".":
            return end
        at = end


def like_exim(stream: bytes) -> int:
    """As Exim before 4.98: after a bare LF, LF . CRLF ends the mail, and LF . LF too."""
    best = [strict(stream)]
    ends = (b"\n.\r\n", b"\n.\n")
    best += [stream.find(end) + len(end) for end in ends if end in stream]
    return min(best)


def naive(stream: bytes) -> int:
    """Anything that looks like a line end is one; what cannot be seen is not there."""
    text = stream.replace(b"\0", b"")
    at = 0
    for line in text.splitlines(keepends=True):
        at += len(line)
        if line.strip() == b".":
            return at
    raise ValueError("no end")


READERS = (strict, like_postfix, like_exim, naive)


# -- in --------------------------------------------------------------------------------------------


async def offered(port: int, content: bytes) -> list[str]:
    """The replies after DATA. The client pipelines all it has."""
    async with dialog(port) as client:
        await client.up_to_data()
        await client.say(content + b"\r\n.\r\nQUIT\r\n")
        replies = []
        while reply := await client.hear():
            replies.append(reply[:9])
        return replies


@pytest.mark.parametrize("place", PLACES)
def test_what_our_port_makes_of_it(place: str) -> None:
    async def flow(listener: Listener, accepted: list[Submission]) -> None:
        for name in CASES:
            accepted.clear()
            replies = await offered(listener.port, PLACES[place](CASES[name]))
            if name in ENDS:
                # That is the end: what follows are commands, seen as such by everybody.
                assert replies[0] == ENDS[name], (name, replies)
                assert not any(EVIL in mail.raw for mail in accepted)
            elif name in DOTS:
                assert replies == ["250 2.0.0", "221 2.0.0"], (name, replies)
                (mail,) = accepted
                assert mail.mail_from == "a@example.org"
                assert DOTS[name] in mail.raw
            else:
                assert replies == ["550 5.6.0", "221 2.0.0"], (name, replies)
                assert accepted == []

    async def run() -> None:
        intake = NotingIntake()
        with capture_logs():
            async with listening(intake, max_errors=100) as listener:
                await flow(listener, intake.accepted)

    asyncio.run(run())


# -- out -------------------------------------------------------------------------------------------


class Recorder(asyncio.Protocol):
    """Says yes to everything and keeps every octet after DATA's 354."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.data = bytearray()
        self.in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"220 r\r\n")

    def data_received(self, data: bytes) -> None:
        if self.in_data:
            self.data += data
            if self.data.endswith(b"\r\n.\r\n"):
                self.in_data = False
                self.transport.write(b"250 2.0.0 ok\r\n")
            return
        self.got += data
        while b"\n" in self.got:
            line, _, rest = bytes(self.got).partition(b"\n")
            self.got = bytearray(rest)
            verb = line[:4].upper()
            if verb == b"EHLO":
                self.transport.write(b"250-r\r\n250 8BITMIME\r\n")
            elif verb == b"DATA":
                self.in_data = True
                self.transport.write(b"354 go\r\n")
            else:
                self.transport.write(b"250 2.0.0 ok\r\n")


def test_nothing_we_send_ends_early_for_any_reader() -> None:
    """Whatever content comes to the client, from our intake or from anywhere else."""
    received = b"Received: from a\r\n"

    async def flow() -> None:
        loop = asyncio.get_running_loop()
        recorders: list[Recorder] = []

        def recorder() -> Recorder:
            recorders.append(Recorder())
            return recorders[-1]

        server = await loop.create_server(recorder, "127.0.0.1", 0)
        hop = NextHop("127.0.0.1", server.sockets[0].getsockname()[1], ehlo_name="gw.example")
        sent = refused = 0
        for name, sequence in CASES.items():
            for place, build in PLACES.items():
                content = build(sequence) + b"\r\n"
                message = split(content)
                forms = {
                    "as it is": content,
                    "forwarded": forward(message, received=received),
                    "assembled": assemble(message, content_entity(message), received=received),
                }
                for form, data in forms.items():
                    deliverer = Deliverer()
                    recorders.clear()
                    (outcome,) = await deliverer.deliver(
                        hop,
                        "a@example.org",
                        ["b@example.net"],
                        data,
                        eight_bit=False,
                        smtputf8=False,
                    )
                    await deliverer.close()
                    case = (name, place, form)
                    if name == "crlf.crlf" or name in DOTS:
                        assert outcome.result is Result.DELIVERED, case
                        stream = bytes(recorders[0].data)
                        for reader in READERS:
                            assert reader(stream) == len(stream), (*case, reader.__name__)
                        sent += 1
                    elif outcome.result is Result.PERMANENT:
                        assert outcome.status == "5.6.0", case
                        assert recorders == [], "not even a connection"
                        refused += 1
                    else:
                        # The form has left the sequence out (a field that does not leave).
                        stream = bytes(recorders[0].data)
                        assert all(reader(stream) == len(stream) for reader in READERS), case
        assert sent >= 3 * len(PLACES)
        assert refused >= 37 * len(PLACES)
        server.close()

    asyncio.run(flow())
