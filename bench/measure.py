"""One measurement: mails a second from the first connection to the last delivery."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.ends import Receiver, send
from gateway.demo import client
from gateway.demo.client import Letter, spread
from gateway.demo.judge import NotProvedError
from gateway.demo.process import NotStartedError
from gateway.demo.sink import read_ledger

CONNECTIONS = 20
_WARM_UP = 20
_PATIENCE = 60.0  # seconds without the last delivery, then the round has failed

# Says by raising NotProvedError that a delivered mail, a file, is not what it should be.
Proof = Callable[[Path], object]


class System(Protocol):
    """Something that takes mail on a port and delivers it to the sink it was made for."""

    name: str
    port: int

    def start(self) -> None:
        """Start; returns when the port takes mail. Raises NotStartedError."""
        ...

    def stop(self) -> None:
        """Stop; nothing of it runs afterwards."""
        ...

    def settle(self) -> float:
        """Wait until work that goes on behind the deliveries is done; seconds it took."""
        ...

    def processor(self) -> Mapping[str, float]:
        """Seconds of processor time that it has taken since its start, by part; {}: not known."""
        ...

    def complaints(self) -> str:
        """What its log says last."""
        ...


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: a mail as octets, and as smtp-source reads it. others: more recipients, which
    smtp-source cannot name: then the demo's client sends.
    """

    content: bytes
    file: Path
    sender: str
    recipient: str
    others: tuple[str, ...] = ()

    @classmethod
    def write(
        cls,
        file: Path,
        content: bytes,
        sender: str,
        recipient: str,
        others: tuple[str, ...] = (),
    ) -> Load:
        """content: with CRLF line ends."""
        file.write_bytes(content.replace(b"\r\n", b"\n"))
        return cls(content, file, sender, recipient, others)

    @property
    def letter(self) -> Letter:
        """For the demo's client."""
        return Letter("", self.sender, (self.recipient, *self.others), self.content)


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement. accept_rate: mails a second until the last 250. settled: see `settle`.

    processor: milliseconds of processor time a mail, by part, what came after the last delivery
        included.
    """

    system: str
    mails: int
    seconds: float
    rate: float
    accept_rate: float
    settled: float
    processor: Mapping[str, float] = field(default_factory=dict)


def measure(
    system: System,
    receiver: Receiver,
    load: Load,
    proof: Proof,
    count: int,
    *,
    connections: int = CONNECTIONS,
) -> Round:
    """One round. Raises NotStartedError when a mail is refused, or does not arrive or open."""
    os.sync()  # what the one before has written shall not go to the disk in this one's time
    system.start()
    try:
        _prove(system, receiver, load, proof, min(_WARM_UP, count))
        with receiver.counting() as sink:
            before = system.processor()
            begin = time.monotonic()
            if load.others:
                _send(system, load, count, connections)
            else:
                place = (system.port, load.file, load.sender, load.recipient)
                send(*place, count, connections=connections)
            accepted = time.monotonic()
            if not sink.wait(count, _PATIENCE):
                raise NotStartedError(
                    f"{system.name}: {sink.mails} of {count} mails arrived\n{system.complaints()}"
                )
            settled = system.settle()
            after = system.processor()
    finally:
        system.stop()
    taken = sink.last - begin
    return Round(
        system.name,
        count,
        round(taken, 3),
        round(count / taken, 1),
        round(count / (accepted - begin), 1),
        round(settled, 1),
        {part: round((after[part] - before.get(part, 0.0)) * 1000 / count, 3) for part in after},
    )


def _send(system: System, load: Load, count: int, connections: int) -> None:
    receipts = client.send(spread([load.letter], count), system.port, connections=connections)
    refused = [one for one in receipts if one.code != 250 or one.refused]
    if refused:
        raise NotStartedError(
            f"{system.name} answered {refused[0].code} {refused[0].text} {refused[0].refused}\n"
            + system.complaints()
        )


def _prove(system: System, receiver: Receiver, load: Load, proof: Proof, count: int) -> None:
    """Warm it up, and look at what it delivers: speed of what does not work is none."""
    with receiver.keeping() as sink:
        before = sink.deliveries()
        _send(system, load, count, CONNECTIONS)
        end = time.monotonic() + _PATIENCE
        while sink.deliveries() < before + count:
            if time.monotonic() > end:
                raise NotStartedError(f"{system.name} delivers nothing\n{system.complaints()}")
            time.sleep(0.02)
        for one in read_ledger(sink.folder)[before:]:
            try:
                proof(sink.folder / one.file)
            except NotProvedError as error:
                raise NotStartedError(
                    f"{system.name} delivers what it should not: {error}"
                ) from error
            (sink.folder / one.file).unlink()
