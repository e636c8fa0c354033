"""SIGKILL and OSError at every failpoint: 20 mails a point and round, on both databases.

Ten rounds are the 200 mails a point that are demanded. Each round has a gateway of its own, each
point a kill; in every other round an OSError at each point as well.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from gateway.demo.postgres import Postgres
from gateway.demo.stage import Stage, stage
from tests.faults.fire import Fire, under_fire
from tests.faults.shots import Shot, faults, kills

MAILS = 20


def run(seed: int, rounds: int = 10) -> None:
    """Raises AssertionError with what did not hold."""
    folder = Path(tempfile.mkdtemp(prefix="sceau-soak-", dir="/tmp"))
    folder.chmod(0o755)  # PostgreSQL is somebody else when we are root
    kept = True
    try:
        with ExitStack() as stack:
            postgres = stack.enter_context(Postgres(folder / "postgres"))
            made = stack.enter_context(stage(folder / "stage"))
            for number in range(rounds):
                for server in (None, postgres):
                    _round(made, folder, number, server, random.Random(f"{seed} {number}"))
        kept = False
    finally:
        if kept:
            print(f"what is there to look at: {folder}")
        else:
            shutil.rmtree(folder)


def _round(
    made: Stage, folder: Path, number: int, postgres: Postgres | None, chance: random.Random
) -> None:
    name = f"round-{number}-{'sqlite' if postgres is None else 'postgresql'}"
    with under_fire(made, folder / name, postgres=postgres) as fire:
        _series(fire, name, kills(chance), chance)
        if number % 2:
            fire.restart()  # the supervisor has become cautious
            _series(fire, name, faults(chance), chance)


def _series(fire: Fire, name: str, shots: Sequence[Shot], chance: random.Random) -> None:
    for shot in shots:
        struck = fire.strike(f"{name}-{shot}", shot, MAILS, chance)
        print(f"{name} {shot.point} {shot.order}: {struck}", flush=True)
        assert struck.balance.faults == {}, (name, shot, struck.balance.faults)
        assert struck.in_time, (name, shot, str(struck))
