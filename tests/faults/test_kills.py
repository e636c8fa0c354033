"""SIGKILL at each failpoint of the way out, with mails in flight: nothing lost, nothing in clear.

What is demanded, and who judges it: docs/faults.md. `./dev soak kills` does the same for longer.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from gateway.demo.stage import stage
from tests.faults.fire import Fire, under_fire
from tests.faults.shots import Shot, kills

pytestmark = [pytest.mark.fault, pytest.mark.flow]

MAILS = 20
SEED = 1


@pytest.fixture(scope="module")
def fire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fire]:
    folder = tmp_path_factory.mktemp("kills")
    with stage(folder / "stage") as made, under_fire(made, folder / "fire") as gateway:
        yield gateway


@pytest.mark.parametrize("shot", kills(random.Random(SEED)), ids=str)
def test_a_kill_loses_nothing(fire: Fire, shot: Shot) -> None:
    struck = fire.strike(str(shot), shot, MAILS, random.Random(f"{SEED} {shot}"))
    assert struck.balance.faults == {}
    assert struck.died
    assert struck.in_time, str(struck)
