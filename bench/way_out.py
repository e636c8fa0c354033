"""`./dev bench way-out`: mails a second from the first connection to the last delivery.

Sceau and the peer take turns on the same machine, with the same client and receiving server
(Postfix's smtp-source and smtp-sink), the same mails, keys and algorithms. Only one of them runs
at a time. The figure is the median of the rounds; what counts is the ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from bench.diy import Diy
from bench.ends import Receiver, send
from bench.load import SIZES, mail
from bench.sceau import Sceau
from gateway.demo import client
from gateway.demo.client import Letter, spread
from gateway.demo.judge import NotProvedError, open_mail, write_trust
from gateway.demo.pki import Credential
from gateway.demo.postgres import Postgres
from gateway.demo.process import NotStartedError
from gateway.demo.sink import read_ledger
from gateway.demo.stage import stage

# Mails a round: enough for some seconds of each.
_COUNTS = {("sceau", "4k"): 2000, ("sceau", "75k"): 1000}
_PEER_COUNT = 120
_WARM_UP = 20
_CONNECTIONS = 20
_PATIENCE = 60.0  # seconds without the last delivery, then the round has failed


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

    def complaints(self) -> str:
        """What its log says last."""
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement. accept_rate: mails a second until the last 250. settled: see `settle`."""

    system: str
    size: str
    mails: int
    seconds: float
    rate: float
    accept_rate: float
    settled: float


@dataclass(frozen=True, slots=True)
class Proof:
    """With what openssl opens a delivered mail."""

    reader: Credential
    trust: Path


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: a mail as octets, and as smtp-source reads it."""

    content: bytes
    file: Path
    sender: str
    recipient: str


def measure(
    system: System, receiver: Receiver, load: Load, proof: Proof, size: str, count: int
) -> Round:
    """One round. Raises NotStartedError when a mail is refused, or does not arrive or open."""
    system.start()
    try:
        _prove(system, receiver, load, proof)
        with receiver.counting() as sink:
            begin = time.monotonic()
            send(
                system.port,
                load.file,
                load.sender,
                load.recipient,
                count,
                connections=_CONNECTIONS,
            )
            accepted = time.monotonic()
            if not sink.wait(count, _PATIENCE):
                raise NotStartedError(
                    f"{system.name}: {sink.mails} of {count} mails arrived\n{system.complaints()}"
                )
            settled = system.settle()
    finally:
        system.stop()
    return Round(
        system.name,
        size,
        count,
        round(sink.last - begin, 3),
        round(count / (sink.last - begin), 1),
        round(count / (accepted - begin), 1),
        round(settled, 1),
    )


def _prove(system: System, receiver: Receiver, load: Load, proof: Proof) -> None:
    """Warm it up, and have openssl open what it delivers: speed of what does not work is none."""
    letter = Letter("", load.sender, (load.recipient,), load.content)
    with receiver.keeping() as sink:
        before = sink.deliveries()
        receipts = client.send(spread([letter], _WARM_UP), system.port, connections=_CONNECTIONS)
        refused = [receipt for receipt in receipts if receipt.code != 250]
        if refused:
            raise NotStartedError(
                f"{system.name} answered {refused[0].code} {refused[0].text}\n"
                + system.complaints()
            )
        end = time.monotonic() + _PATIENCE
        while sink.deliveries() < before + _WARM_UP:
            if time.monotonic() > end:
                raise NotStartedError(f"{system.name} delivers nothing\n{system.complaints()}")
            time.sleep(0.02)
        for one in read_ledger(sink.folder)[before:]:
            try:
                open_mail(sink.folder / one.file, proof.reader, proof.trust)
            except NotProvedError as error:
                raise NotStartedError(
                    f"{system.name} delivers what does not open: {error}"
                ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: measured; 3: could not be measured."""
    parser = argparse.ArgumentParser(prog="./dev bench way-out", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds each (default 3)")
    parser.add_argument("--size", choices=SIZES, action="append", help="default: all")
    parser.add_argument("--only", choices=["sceau", "peer"], help="without the other one")
    parser.add_argument("--mails", type=int, help="mails a round for Sceau")
    parser.add_argument(
        "--database", choices=["sqlite", "postgres"], default="sqlite", help="Sceau's database"
    )
    parser.add_argument("--dir", type=Path, help="work below this folder (default: temporary)")
    parser.add_argument("--json", action="store_true", help="one JSON object at the end")
    options = parser.parse_args(arguments)
    try:
        rounds = _measure_all(options)
    except NotStartedError as error:
        print(error, file=sys.stderr)
        return 3
    print(json.dumps(_summary(rounds)) if options.json else _report(rounds))
    return 0


def _measure_all(options: argparse.Namespace) -> list[Round]:
    rounds = []
    with ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="sceau-bench-", dir=options.dir)
        )
        server = None
        if options.database == "postgres":
            Path(folder).chmod(0o711)  # the server is somebody else when we are root
            server = stack.enter_context(Postgres(Path(folder) / "postgres"))
        around = stack.enter_context(stage(Path(folder), postgres=server))
        around.sink.stop()
        writer, reader = around.world.interieur.person(), around.world.justice.person()
        assert writer.credential is not None
        assert reader.credential is not None
        receiver = Receiver(Path(folder) / "received")
        systems: list[System] = []
        if options.only != "peer":
            systems.append(Sceau(around, receiver.port))
        if options.only != "sceau":
            peer = Diy(
                Path(folder) / "peer",
                receiver.port,
                signer=writer.credential,
                issuer=around.world.interieur.issuing.credential,
                reader=reader.credential,
            )
            systems.append(peer)
        ministries = [around.world.interieur, around.world.justice]
        proof = Proof(reader.credential, write_trust(ministries, Path(folder) / "trust.pem"))
        for size in options.size or SIZES:
            content = mail(size, writer.address, reader.address)
            file = Path(folder) / f"{size}.eml"
            file.write_bytes(content.replace(b"\r\n", b"\n"))
            load = Load(content, file, writer.address, reader.address)
            for number in range(options.rounds):
                for system in systems:
                    count = _COUNTS.get((system.name, size), _PEER_COUNT)
                    if options.mails and system.name == Sceau.name:
                        count = options.mails
                    one = measure(system, receiver, load, proof, size, count)
                    print(
                        f"{size} round {number + 1}: {one.system}: {one.rate:.1f}/s",
                        file=sys.stderr,
                    )
                    rounds.append(one)
    return rounds


def _summary(rounds: Sequence[Round]) -> dict[str, object]:
    """Medians by size and system, the ratio where both were measured, and the rounds."""
    results: dict[str, dict[str, float]] = {}
    for size in dict.fromkeys(one.size for one in rounds):
        medians = {
            name: statistics.median(
                one.rate for one in rounds if (one.size, one.system) == (size, name)
            )
            for name in dict.fromkeys(one.system for one in rounds)
        }
        results[size] = dict(medians)
        if len(medians) == 2:
            results[size]["ratio"] = round(medians[Sceau.name] / medians[Diy.name], 2)
    return {"bench": "way-out", "results": results, "rounds": [asdict(one) for one in rounds]}


def _report(rounds: Sequence[Round]) -> str:
    lines = [f"{'size':<6}{'system':<20}{'median/s':>10}{'accepted/s':>12}{'index after':>13}"]
    summary = _summary(rounds)["results"]
    assert isinstance(summary, dict)
    for size, medians in summary.items():
        for name in (name for name in medians if name != "ratio"):
            mine = [one for one in rounds if (one.size, one.system) == (size, name)]
            accepted = statistics.median(one.accept_rate for one in mine)
            settled = statistics.median(one.settled for one in mine)
            behind = f"{settled:.1f} s" if name == Sceau.name else "-"
            lines.append(f"{size:<6}{name:<20}{medians[name]:>10.1f}{accepted:>12.1f}{behind:>13}")
        if "ratio" in medians:
            lines.append(f"{size:<6}{'ratio':<20}{medians['ratio']:>9.1f}x")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
