"""SIGKILL at each failpoint of the way out, with mails in flight: nothing lost, nothing in clear.

What is demanded, and who judges it: docs/faults.md. `./dev soak kills` does the same for longer.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.faults.fire import Fire, under_fire
from tests.faults.shots import OF_EACH_KIND, Shot, faults, kills
from tests.flows.stages import stage

pytestmark = [pytest.mark.fault, pytest.mark.flow]

MAILS = 20
SEED = 1


@pytest.fixture(scope="module")
def fire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fire]:
    folder = tmp_path_factory.mktemp("kills")
    with stage(folder / "stage") as made, under_fire(made, folder / "fire") as gateway:
        yield gateway


def test_errors_of_the_machine_make_no_mail_a_poison(fire: Fire) -> None:
    # First, because the supervisor waits longer after each death of a role within 30 seconds.
    # Three deaths of a worker on the same mail hold it for a person, where the mail may be why.
    shot = Shot("find.done", "worker", "raise", 1, times=4)
    struck = fire.strike(str(shot), shot, MAILS, random.Random(SEED))
    assert struck.balance.faults == {}


@pytest.mark.parametrize("shot", kills(random.Random(SEED)), ids=str)
def test_a_kill_loses_nothing(fire: Fire, shot: Shot) -> None:
    struck = fire.strike(str(shot), shot, MAILS, random.Random(f"{SEED} {shot}"))
    assert struck.balance.faults == {}
    assert struck.died
    assert struck.in_time, str(struck)
    assert not struck.rude


@pytest.mark.parametrize("shot", faults(random.Random(SEED), OF_EACH_KIND), ids=str)
def test_an_error_that_passes_loses_nothing_and_the_client_hears_of_it(
    fire: Fire, shot: Shot
) -> None:
    struck = fire.strike(str(shot), shot, MAILS, random.Random(f"{SEED} {shot}"))
    assert struck.balance.faults == {}
    assert struck.in_time, str(struck)
    assert not struck.rude
    assert not fire.unexplained(struck)
    if shot.point in ("accept.content-sealed", "accept.replying", "commit.before"):
        assert struck.refused
