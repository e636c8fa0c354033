"""SIGKILL and OSError at every failpoint: 20 mails a point and round, on both databases.

Ten rounds are the 200 mails a point that are demanded. Each round has a gateway of its own, each
point a kill; in every other round an OSError at each point as well. A seed decides the mails, the
shots and their passes; which mail is at a point when it falls is for the scheduler to say.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.demo.postgres import Postgres
from gateway.demo.stage import Stage, stage
from tests.faults.fire import Fire, Struck, under_fire
from tests.faults.shots import Shot, faults, kills
from tests.soak._folder import folder_of

MAILS = 20


@dataclass
class Sums:
    """Of all rounds so far."""

    kills: int = 0
    errors: int = 0
    mails: int = 0
    refused: int = 0
    duplicates: int = 0
    slowest: float = 0.0

    def add(self, shot: Shot, struck: Struck) -> None:
        """One more shot, after which the books balanced."""
        self.kills += shot.action != "raise"
        self.errors += shot.action == "raise"
        self.mails += MAILS
        self.refused += len(struck.refused)
        self.slowest = max(self.slowest, struck.recovery - struck.waited)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.errors} errors, {self.mails} mails, none lost, "
            f"{self.refused} refusals, {self.duplicates} duplicates, "
            f"slowest first 250 after {self.slowest:.1f} s"
        )


def run(seed: int, rounds: int = 10) -> None:
    """Raises AssertionError with what did not hold."""
    sums = Sums()
    with (
        folder_of("kills") as folder,
        Postgres(folder / "postgres") as postgres,
        stage(folder / "stage") as made,
    ):
        for number in range(rounds):
            for server in (None, postgres):
                chance = random.Random(f"{seed} {number}")
                _round(made, folder, number, server, chance, sums)
            print(f"so far: {sums}", flush=True)


def _round(
    made: Stage,
    folder: Path,
    number: int,
    postgres: Postgres | None,
    chance: random.Random,
    sums: Sums,
) -> None:
    name = f"round-{number}-{'sqlite' if postgres is None else 'postgresql'}"
    with under_fire(made, folder / name, postgres=postgres) as fire:
        _series(fire, name, kills(chance), chance, sums)
        if number % 2:
            fire.restart()  # the supervisor has become cautious
            _series(fire, name, faults(chance), chance, sums)
        sums.duplicates += fire.balance().duplicates


def _series(
    fire: Fire, name: str, shots: Sequence[Shot], chance: random.Random, sums: Sums
) -> None:
    for shot in shots:
        struck = fire.strike(f"{name}-{shot}", shot, MAILS, chance)
        print(f"{name} {shot.point} {shot.order}: {struck}", flush=True)
        assert struck.balance.faults == {}, (name, shot, struck.balance.faults)
        assert struck.died or shot.action == "raise", (name, shot, "nobody died of it")
        assert struck.in_time, (name, shot, str(struck))
        assert not struck.rude, (name, shot, struck.rude)
        if shot.action == "raise":
            assert not fire.unexplained(struck), (name, shot, fire.unexplained(struck))
        sums.add(shot, struck)
