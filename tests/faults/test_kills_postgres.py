"""The kills beside a commit once more on PostgreSQL, which is another process with a disk."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from gateway.demo.postgres import Postgres
from tests.faults.fire import Fire, under_fire
from tests.faults.shots import BESIDE_A_COMMIT, Shot, kills
from tests.flows.stages import stage

pytestmark = [pytest.mark.fault, pytest.mark.flow]

MAILS = 20
SEED = 2


@pytest.fixture(scope="module")
def fire(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Fire]:
    folder = tmp_path_factory.mktemp("kills-postgres")
    with (
        stage(folder / "stage") as made,
        under_fire(made, folder / "fire", postgres=postgres) as gateway,
    ):
        yield gateway


@pytest.mark.parametrize("shot", kills(random.Random(SEED), BESIDE_A_COMMIT), ids=str)
def test_a_kill_loses_nothing(fire: Fire, shot: Shot) -> None:
    struck = fire.strike(str(shot), shot, MAILS, random.Random(f"{SEED} {shot}"))
    assert struck.balance.faults == {}
    assert struck.died
    assert struck.in_time, str(struck)
