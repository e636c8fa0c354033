"""`./dev bench sweep`: how throughput changes with the size of mails, the number of recipients, of
clients, and of mails that wait in the queue. Sceau on SQLite, RSA-2048, AES-CBC.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import sqlalchemy as sa

from bench.ends import Receiver
from bench.keys import RSA_BITS, require_sealable
from bench.measure import Round, measure
from bench.pair import Pair
from bench.picture import Curve, curves
from bench.sceau import Sceau
from gateway.database import open_database
from gateway.demo.pki import Keys, PrivateKey, crowd_address
from gateway.demo.process import NotStartedError
from gateway.demo.stage import Stage, stage
from gateway.queue.models import groups, messages, recipients
from gateway.queue.states import State

RESULTS = Path("build/bench-sweep")

_SIZES = (1_000, 4_000, 16_000, 75_000, 256_000, 1_000_000, 10_000_000, 50_000_000)
_RECIPIENTS = (1, 5, 20, 100, 500)
_CLIENTS = (1, 5, 20, 50, 100, 200)
_WAITING = (10, 100, 1_000, 10_000, 100_000)
_USUAL = 4_000  # octets
# A round sends so many octets, or so many mails if that is less.
_OCTETS, _MOST = 150_000_000, 1_500

_DAY = 86_400_000_000  # microseconds


class _OneKey(Keys):
    """Everybody in the crowd has the same key: finding primes for 500 takes a minute."""

    def make(self, kind: str, label: str) -> PrivateKey:
        return super().make(kind, "crowd" if label.startswith("agent.") else label)


class Bench:
    """What all sweeps have in common."""

    def __init__(self, around: Stage, folder: Path, rounds: int) -> None:
        self._rounds = rounds
        self._receiver = Receiver(folder / "received")
        self._sceau = Sceau("sceau", around, self._receiver.port, retry="48h")
        self._pair = Pair(around, folder)

    def sizes(self) -> list[tuple[float, float]]:
        """Mails a second by octets."""
        return [(size, self._rate(size, min(_MOST, max(6, _OCTETS // size)))) for size in _SIZES]

    def recipients(self) -> list[tuple[float, float]]:
        """Recipients a second by recipients of a mail, all named in its header."""
        found = []
        for number in _RECIPIENTS:
            others = tuple(crowd_address(n) for n in range(number - 1))
            mails = max(20, _MOST // (1 + number // 5))
            rate = self._rate(_USUAL, mails, others=others)
            found.append((float(number), rate * number))
        return found

    def clients(self) -> list[tuple[float, float]]:
        """Mails a second by connections."""
        return [(number, self._rate(_USUAL, _MOST, connections=number)) for number in _CLIENTS]

    def waiting(self) -> list[tuple[float, float]]:
        """Mails a second by mails that wait for their next attempt."""
        self._rate(_USUAL, 20)  # one to copy
        found = []
        there = 0
        for number in _WAITING:
            wait(self._sceau.house.folder / "data" / "sceau.db", number - there)
            there = number
            found.append((float(number), self._rate(_USUAL, _MOST)))
        return found

    def _rate(
        self, size: int, mails: int, *, others: tuple[str, ...] = (), connections: int = 20
    ) -> float:
        load = self._pair.load(size, others)
        rounds: list[Round] = []
        for _ in range(self._rounds):
            one = measure(
                self._sceau, self._receiver, load, self._pair.opened, mails, connections=connections
            )
            rounds.append(one)
            print(
                f"{size} octets, {1 + len(others)} recipients, {connections} clients: {one.rate}/s",
                file=sys.stderr,
            )
        return statistics.median(one.rate for one in rounds)


def wait(file: Path, number: int) -> None:
    """So many more messages wait in the queue of that SQLite database: copies of one that was
    delivered, with their recipient and their sealed octets, due tomorrow. The log has none of
    them; what is measured is the queue.
    """
    database = open_database(f"sqlite:///{file}")
    with database.write() as conn:
        mail_, to, sealed = (
            dict(conn.execute(sa.select(table).limit(1)).one()._mapping)
            for table in (messages, recipients, groups)
        )
        due = int(mail_["accepted_at"]) + _DAY
        for start in range(0, number, 10_000):
            ids = [(secrets.token_hex(16), secrets.token_hex(16)) for _ in range(10_000)]
            ids = ids[: number - start]
            conn.execute(
                messages.insert(),
                [mail_ | {"archive_id": a, "due_at": due, "settled_at": None} for a, _ in ids],
            )
            conn.execute(
                groups.insert(),
                [sealed | {"id": g, "archive_id": a, "emitted": bytes(7_000)} for a, g in ids],
            )
            conn.execute(
                recipients.insert(),
                [
                    to
                    | {
                        "archive_id": a,
                        "group_id": g,
                        "state": State.QUEUED,
                        "next_attempt_at": due,
                        "expires_at": due + 5 * _DAY,
                    }
                    for a, g in ids
                ],
            )
    database.close()


_SWEEPS: dict[str, tuple[str, str, Callable[[Bench], list[tuple[float, float]]]]] = {
    "size": ("mails a second", "octets of a mail", Bench.sizes),
    "recipients": ("recipients a second", "recipients of a mail", Bench.recipients),
    "clients": ("mails a second", "clients at the same time", Bench.clients),
    "queue": ("mails a second", "mails waiting in the queue", Bench.waiting),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: measured; 3: could not be measured."""
    parser = argparse.ArgumentParser(prog="./dev bench sweep", description=__doc__)
    parser.add_argument("--of", choices=_SWEEPS, action="append", help="default: all")
    parser.add_argument("--rounds", type=int, default=3, help="rounds each (default 3)")
    parser.add_argument("--dir", type=Path, help="work below this folder (default: temporary)")
    parser.add_argument("--json", action="store_true", help="one JSON object at the end")
    options = parser.parse_args(arguments)
    found: dict[str, list[tuple[float, float]]] = {}
    try:
        require_sealable("rsa")
        with (
            tempfile.TemporaryDirectory(prefix="sceau-bench-", dir=options.dir) as folder,
            stage(Path(folder), keys=_OneKey(RSA_BITS), crowd=max(_RECIPIENTS)) as around,
        ):
            around.sink.stop()
            bench = Bench(around, Path(folder), options.rounds)
            for name in options.of or _SWEEPS:
                found[name] = _SWEEPS[name][2](bench)
    except NotStartedError as error:
        print(error, file=sys.stderr)
        return 3
    RESULTS.mkdir(parents=True, exist_ok=True)
    panels = [Curve(_SWEEPS[name][0], _SWEEPS[name][1], found[name]) for name in found]
    (RESULTS / "sweep.svg").write_text(curves(panels))
    if options.json:
        print(json.dumps({"bench": "sweep", "results": found}))
    else:
        for name, points in found.items():
            print(f"{_SWEEPS[name][0]} by {_SWEEPS[name][1]}")
            for x, y in points:
                print(f"  {x:>12,.0f}{y:>10.1f}")
        print(f"picture: {RESULTS / 'sweep.svg'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
