"""Clients that leave in the middle, say nothing, or never stop."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.mail import Submission
from tests.flows.test_way_out_bad_input import wire
from tests.flows.way_out_scene import AMELIE, JEANNE, Scene, mail, until
from tests.services.smtp_listener import NotingIntake, dialog, listening

pytestmark = pytest.mark.flow


# -- leaving ---------------------------------------------------------------------------------------


def script(content: bytes) -> list[bytes]:
    """What was said when the client left: ten points of the dialogue."""
    hello = b"EHLO c\r\n"
    sender = hello + f"MAIL FROM:<{JEANNE}>\r\n".encode()
    recipient = sender + f"RCPT TO:<{AMELIE}>\r\n".encode()
    data = recipient + b"DATA\r\n"
    return [
        b"",
        b"EHL",
        hello,
        sender,
        recipient,
        data,
        data + content[:40],
        data + content,
        data + content + b".\r",
        data + content + b".\r\n",
    ]


def descriptors(pids: list[int]) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


def test_who_leaves_leaves_nothing_or_everything(ministry: Scene) -> None:
    """FIN and RST at ten points, again and again: no file descriptor, no claim, no half mail."""
    house = ministry.house
    status = json.loads((house.folder / "data" / "run" / "status.json").read_text())
    pids = [p["pid"] for p in status["processes"] if p["role"] in ("intake", "worker")]
    ministry.wait_arrived(ministry.accepted(mail(), AMELIE))
    before = descriptors(pids)
    from_here = house.log.stat().st_size
    whole = 0
    for round_ in range(3):
        for how in ("FIN", "RST"):
            for point, said in enumerate(script(mail(f"parti {round_} {how}"))):
                with closing(socket.create_connection(("127.0.0.1", house.listen_port))) as client:
                    client.sendall(said)
                    if point == 9 and how == "FIN":
                        client.shutdown(socket.SHUT_WR)
                        whole += b"\r\n250 2.0.0 " in client.makefile("rb").read()
                    elif how == "RST":
                        hard = struct.pack("ii", 1, 0)
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, hard)
    assert whole == 3, "what was said in full is answered, though the client says no more"

    # Whatever was accepted, 250 seen or not, is delivered; nothing else is anywhere.
    accepted: list[str] = []

    def settled() -> bool:
        """What is accepted last may be so only now: who sent it did not wait for an answer."""
        nonlocal accepted
        accepted = [str(e["id"]) for e in house.events(since=from_here) if e["event"] == "accepted"]
        queued = ministry.json("queue", "list", "--state", "queued")
        return not queued and all(map(ministry.arrived, accepted))

    until(settled, 30, lambda: house.log.read_text()[-3000:])
    assert 3 <= len(accepted) <= 6
    for archive_id in accepted:
        assert len(ministry.arrived(archive_id)) == 1
    assert ministry.json("queue", "stats")[0].get("in_work", 0) == 0
    # Connections kept to the next hop come and go; three of them are no leak of sixty.
    until(lambda: descriptors(pids) <= before + 3, 60, lambda: f"{descriptors(pids)} {before}")


# -- staying ---------------------------------------------------------------------------------------


async def from_address(
    port: int, address: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Five hundred connections have two ends each, and many a shell allows 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize("addresses", [1, 250])
def test_five_hundred_that_drip_keep_nobody_out(addresses: int) -> None:
    """A slow-loris of 500 connections, from one address or many: others are served at once."""

    seen: list[bytes] = []

    async def drip(port: int, address: str, stop: asyncio.Event) -> None:
        reader, writer = await from_address(port, address)
        seen.append(await reader.readline())
        try:
            while not stop.is_set() and not reader.at_eof():
                writer.write(b"E")
                await writer.drain()
                await asyncio.wait_for(asyncio.shield(reader.read(100)), 5)
        except (OSError, TimeoutError):
            pass
        finally:
            writer.close()

    async def flow() -> None:
        intake = NotingIntake()
        seen.clear()
        settings = {"max_connections": 250, "max_connections_per_address": 200}
        with capture_logs():
            async with listening(intake, **settings) as listener:
                stop = asyncio.Event()
                names = [f"127.1.{n // 250}.{n % 250 + 1}" for n in range(addresses)]
                crowd = [
                    asyncio.create_task(drip(listener.port, names[n % addresses], stop))
                    for n in range(500)
                ]
                while len(seen) < 500:  # they have all come
                    await asyncio.sleep(0.1)
                await asyncio.sleep(2.1)  # and done nothing
                took = []
                for n in range(20):
                    begun = time.process_time(), time.monotonic()
                    reader, writer = await from_address(listener.port, f"127.2.0.{n + 1}")
                    writer.write(b"EHLO good\r\n")
                    greeting = await reader.readline()
                    assert greeting.startswith(b"220 "), greeting
                    writer.write(
                        b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
                        b"From: a@example.org\r\n\r\nx\r\n.\r\nQUIT\r\n"
                    )
                    assert b"\r\n250 2.0.0 id-" in await reader.read()
                    took.append(min(time.process_time() - begun[0], time.monotonic() - begun[1]))
                    writer.close()
                stop.set()
                for task in crowd:
                    task.cancel()
                await asyncio.gather(*crowd, return_exceptions=True)
        assert len(intake.accepted) == 20
        assert max(took) < 1.0, took

    asyncio.run(flow())


def test_a_large_mail_that_drips_gives_way_to_others() -> None:
    """Room in memory is shared: who holds it and does nothing with it keeps it for a while only."""

    async def flow() -> None:
        intake = NotingIntake()
        line = b"x" * 998 + b"\r\n"
        with capture_logs():
            async with (
                listening(intake, max_size=4_000_000) as listener,
                dialog(listener.port) as slow,
            ):
                await slow.up_to_data()
                await slow.say(line * 2000)
                good = [_hand_in(listener.port, line * 3900) for _ in range(4)]
                done = await asyncio.gather(*good)
                assert set(done) == {"250 2.0.0"}
                await slow.say(b".\r\n")
                assert (await slow.hear()).startswith("250 2.0.0")
        assert len(intake.accepted) == 5

    asyncio.run(flow())


async def _hand_in(port: int, content: bytes) -> str:
    async with dialog(port) as client:
        await client.up_to_data()
        return (await client.ask(content + b"."))[:9]


# -- never stopping --------------------------------------------------------------------------------

FLOODS = {
    "NOOP": b"NOOP\r\n",
    "RSET": b"RSET\r\n",
    "EHLO": b"EHLO again\r\n",
    "VRFY": b"VRFY somebody\r\n",
    "HELP": b"HELP\r\n",
    "STARTTLS": b"STARTTLS\r\n",
    "AUTH": b"AUTH PLAIN !!!!\r\n",
    "garbage": b"\xff\xfe garbage\r\n",
    "HTTP": b"GET / HTTP/1.1\r\n",
    "bare LF": b"NOOP\n",
    "MAIL again": b"MAIL FROM:<a@example.org>\r\n",
    "MAIL refused": b"MAIL FROM:<stranger@example.org>\r\n",
    "DATA": b"DATA\r\n",
    "RCPT refused": b"RCPT TO:<nobody@example.net>\r\n",
    "RCPT wrong": b"RCPT TO:<no>\r\n",
}


@pytest.mark.parametrize("name", FLOODS)
def test_thousands_of_commands_that_bring_no_mail_come_to_an_end(name: str) -> None:
    async def flow() -> list[Submission]:
        intake = NotingIntake()
        async with listening(intake) as listener, dialog(listener.port) as client:
            await client.ask(b"EHLO c")
            if name.startswith("RCPT"):
                await client.ask(b"MAIL FROM:<a@example.org>")
            client.writer.write(FLOODS[name] * 5000)
            replies, last = 0, ""
            # What we say may be lost with the connection: it ends while more is being said.
            with suppress(ConnectionResetError):
                while reply := await client.hear():
                    replies += 1
                    last = reply
                assert last.startswith("421 4.7.0"), last
            assert replies <= 1002
        return intake.accepted

    with capture_logs():
        assert asyncio.run(flow()) == []


def test_who_pipelines_is_not_cut_off_for_a_refusal_he_could_not_know_of() -> None:
    """RFC 2920: RCPT and DATA of a refused MAIL are on their way already (a full queue, say)."""

    async def flow() -> None:
        async with listening(NotingIntake()) as listener, dialog(listener.port) as client:
            await client.ask(b"EHLO c")
            group = b"MAIL FROM:<stranger@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
            for _ in range(100):
                await client.say(group)
                said = [(await client.hear())[:9] for _ in range(3)]
                assert said == ["550 5.7.1", "503 5.5.1", "503 5.5.1"]
            assert (await client.ask(b"NOOP")).startswith("250")

    with capture_logs():
        asyncio.run(flow())


def test_a_command_of_megabytes_ends_the_connection_and_takes_no_memory() -> None:
    async def flow() -> None:
        with capture_logs():
            async with listening(NotingIntake()) as listener:
                reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                await reader.readline()
                sent = 0
                try:
                    while sent < 20_000_000:
                        writer.write(b"A" * 100_000)
                        await writer.drain()
                        sent += 100_000
                except OSError:
                    pass
                assert sent < 20_000_000, "it was read to the end"
                writer.close()

    asyncio.run(flow())


def test_the_gateway_serves_on_after_all_of_this(ministry: Scene) -> None:
    with wire(ministry) as client:
        for _ in range(19):
            assert client.ask(b"\xff\x00garbage").startswith("500 5.5.2")
        assert client.hand_in(mail()).startswith("250 2.0.0 ")
