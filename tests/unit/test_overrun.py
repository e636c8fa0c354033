"""The processor time of one mail, over all the steps in which it is worked on."""

from __future__ import annotations

import signal
import time

from gateway.overrun import Limit


def armed() -> float:
    return signal.getitimer(signal.ITIMER_PROF)[0]


def test_all_blocks_of_a_mail_share_its_time() -> None:
    mail, other = Limit(0), Limit(0)
    with mail:
        whole = armed()
        # What the host takes from us meanwhile counts as well; of half of it nothing is said.
        used = time.process_time() + 0.3
        while time.process_time() < used:
            pass
    assert armed() == 0  # between its steps nothing is counted against it
    with other:
        assert armed() > whole - 0.15
    with mail:
        assert 0 < armed() < whole - 0.15


def test_short_blocks_are_not_free() -> None:
    mail, used = Limit(0), 0.0
    with mail:
        whole = armed()
    while used < 0.2:
        with mail:
            begun = time.process_time()
            sum(range(20_000))
            used += time.process_time() - begun
    with mail:
        assert armed() < whole - used / 2


def test_a_mail_whose_time_is_used_up_is_still_limited() -> None:
    mail = Limit(0)
    mail._left = 1e-9
    mail.__exit__()
    with mail:
        assert armed() > 0
