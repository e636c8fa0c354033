"""`./dev bench way-out`: mails a second from the first connection to the last delivery.

Sceau and its peers take turns on the same machine, with the same client and receiving server
(Postfix's smtp-source and smtp-sink), the same mails, keys and algorithms. Only one of them runs
at a time. The figure is the median of the rounds; what counts is the ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from bench.diy import Diy
from bench.ends import Receiver
from bench.keys import RSA_BITS, require_sealable
from bench.limits import signatures_a_second
from bench.load import SIZES
from bench.measure import Proof, Round, System, measure
from bench.pair import Pair, credential_of
from bench.postfix import Relay
from bench.sceau import Sceau
from gateway.demo.judge import NotProvedError
from gateway.demo.pki import Keys
from gateway.demo.postgres import Postgres
from gateway.demo.process import NotStartedError
from gateway.demo.stage import Stage, stage

_SQLITE, _POSTGRES = "sceau sqlite", "sceau postgresql"
_SYSTEMS = {"sqlite": _SQLITE, "postgresql": _POSTGRES, "diy": Diy.name, "relay": Relay.name}
# Mails a round: enough for some seconds of each.
_COUNTS = {
    _SQLITE: {"4k": 2000, "75k": 1000, "1M": 150},
    _POSTGRES: {"4k": 2000, "75k": 1000, "1M": 150},
    Diy.name: {"4k": 120, "75k": 120, "1M": 80},
    Relay.name: {"4k": 3000, "75k": 2000, "1M": 300},
}


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured against each other. keys: of seal and reader; modern: see `Diy`."""

    size: str
    keys: str
    modern: bool

    def __str__(self) -> str:
        keys = {"rsa": "RSA-2048", "ec": "P-256"}[self.keys]
        return f"{self.size} {keys} {'GCM' if self.modern else 'CBC'}"


@dataclass(frozen=True, slots=True)
class Result:
    """All rounds of a case, by system, and what openssl signs with its keys on all cores."""

    case: Case
    rounds: Mapping[str, Sequence[Round]]
    limit: float

    def median(self, system: str) -> float:
        """Mails a second."""
        return statistics.median(one.rate for one in self.rounds[system])

    def ratio(self, system: str, peer: str) -> float | None:
        """How many times as fast; None where one was not measured."""
        if system not in self.rounds or peer not in self.rounds:
            return None
        return round(self.median(system) / self.median(peer), 2)

    def share(self, system: str) -> float:
        """Of the physical limit: one signature a mail."""
        return round(self.median(system) / self.limit, 3)

    def processor(self, system: str) -> dict[str, float]:
        """Milliseconds a mail by part, medians."""
        rounds = self.rounds[system]
        return {
            part: round(statistics.median(one.processor[part] for one in rounds), 2)
            for part in rounds[0].processor
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: measured; 3: could not be measured."""
    parser = argparse.ArgumentParser(prog="./dev bench way-out", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds each (default 5)")
    parser.add_argument("--size", choices=SIZES, action="append", help="default: all")
    parser.add_argument(
        "--keys", choices=["rsa", "ec"], action="append", help="of seal and reader; default: rsa"
    )
    parser.add_argument(
        "--cipher",
        choices=["cbc", "gcm"],
        action="append",
        help="with PKCS #1 v1.5, or OAEP, for RSA keys; default: cbc",
    )
    parser.add_argument(
        "--system", choices=_SYSTEMS, action="append", help="default: all, one after the other"
    )
    parser.add_argument("--mails", type=int, help="mails a round for Sceau")
    parser.add_argument("--dir", type=Path, help="work below this folder (default: temporary)")
    parser.add_argument("--json", action="store_true", help="one JSON object at the end")
    options = parser.parse_args(arguments)
    try:
        results = _measure_all(options)
    except NotStartedError as error:
        print(error, file=sys.stderr)
        return 3
    print(json.dumps(_summary(results)) if options.json else "\n".join(_report(results)))
    return 0


def _measure_all(options: argparse.Namespace) -> list[Result]:
    wanted = [_SYSTEMS[name] for name in options.system or _SYSTEMS]
    for kind in options.keys or ["rsa"]:
        require_sealable(kind)
    keys = Keys(RSA_BITS)
    results = []
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="sceau-bench-", dir=options.dir))
        )
        folder.chmod(0o711)  # PostgreSQL and Postfix are somebody else when we are root
        server = None
        if _POSTGRES in wanted:
            server = Postgres(folder / "postgres")
            stack.callback(server.stop)
        for kind in options.keys or ["rsa"]:
            with stage(folder / kind, keys=keys, seal=kind) as around:
                around.sink.stop()
                limit = signatures_a_second(kind)
                for cipher in options.cipher or ["cbc"]:
                    modern = cipher == "gcm"
                    place = folder / kind / cipher
                    receiver = Receiver(place / "received")
                    pair = Pair(around, place, kind)
                    systems = _systems(wanted, around, pair, receiver, modern, server)
                    for size in options.size or SIZES:
                        case = Case(size, kind, modern)
                        rounds = _rounds(case, systems, pair, receiver, options)
                        results.append(Result(case, rounds, limit))
    return results


def _systems(
    wanted: Sequence[str],
    around: Stage,
    pair: Pair,
    receiver: Receiver,
    modern: bool,
    server: Postgres | None,
) -> list[System]:
    place = pair.folder
    systems: list[System] = []
    for name in wanted:
        if name == Relay.name:
            systems.append(Relay(place / "relay", receiver.port))
        elif name == Diy.name:
            systems.append(
                Diy(
                    place / "diy",
                    receiver.port,
                    signer=credential_of(pair.writer),
                    issuer=around.world.interieur.issuing.credential,
                    reader=credential_of(pair.reader),
                    modern=modern,
                    rsa=pair.kind == "rsa",
                )
            )
        else:
            database = server if name == _POSTGRES else None
            systems.append(
                Sceau(
                    name, around, receiver.port, modern=modern, postgres=database, folder=place.name
                )
            )
    return systems


def _rounds(
    case: Case,
    systems: Sequence[System],
    pair: Pair,
    receiver: Receiver,
    options: argparse.Namespace,
) -> dict[str, list[Round]]:
    load = pair.load(SIZES[case.size])
    found: dict[str, list[Round]] = {system.name: [] for system in systems}
    for number in range(options.rounds):
        for system in systems:
            count = _COUNTS[system.name][case.size]
            if options.mails and isinstance(system, Sceau):
                count = options.mails
            unsealed = isinstance(system, Relay)
            proof: Proof = partial(_unchanged, load.content) if unsealed else pair.opened
            one = measure(system, receiver, load, proof, count)
            print(f"{case} round {number + 1}: {one.system}: {one.rate:.1f}/s", file=sys.stderr)
            found[system.name].append(one)
    return found


def _unchanged(content: bytes, delivered: Path) -> None:
    """The body is what was sent. Raises NotProvedError."""
    if not delivered.read_bytes().endswith(content.partition(b"\r\n\r\n")[2]):
        raise NotProvedError("the body is another one than was sent")


def _summary(results: Sequence[Result]) -> dict[str, object]:
    return {
        "bench": "way-out",
        "results": [
            {
                "size": one.case.size,
                "keys": one.case.keys,
                "cipher": "gcm" if one.case.modern else "cbc",
                "signatures_a_second": one.limit,
                "systems": {
                    name: {
                        "rate": one.median(name),
                        "of_peer": one.ratio(name, Diy.name),
                        "of_relay": one.ratio(name, Relay.name),
                        "of_limit": one.share(name),
                        "processor_ms": one.processor(name),
                        "rounds": [asdict(each) for each in rounds],
                    }
                    for name, rounds in one.rounds.items()
                },
            }
            for one in results
        ],
    }


def _report(results: Sequence[Result]) -> Iterator[str]:
    yield f"{'':20}{'mails/s':>9}{'accepted':>10}{'x diy':>8}{'x relay':>9}{'of limit':>10}  index"
    for one in results:
        yield f"{one.case}; the limit: {one.limit:.0f} signatures a second on all cores"
        for name, rounds in one.rounds.items():
            accepted = statistics.median(each.accept_rate for each in rounds)
            sceau = name in (_SQLITE, _POSTGRES)
            line = f"  {name:<18}{one.median(name):>9.1f}{accepted:>10.1f}"
            for peer, width in ((Diy.name, 8), (Relay.name, 9)):
                ratio = one.ratio(name, peer) if sceau else None
                line += f"{'-' if ratio is None else f'{ratio:.2f}':>{width}}"
            line += f"{f'{one.share(name):.1%}' if sceau else '-':>10}"
            yield line + (f"  {_index(one, name)}" if sceau else "")


def _index(result: Result, name: str) -> str:
    """What of the work the full-text index takes, and how long it runs on after the last mail."""
    parts = result.processor(name)
    settled = statistics.median(one.settled for one in result.rounds[name])
    return f"{parts.get('index', 0.0) / sum(parts.values()):.0%} of the processor, {settled:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
