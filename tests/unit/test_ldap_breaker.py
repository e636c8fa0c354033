"""The breaker of one server: when it is asked, and how long it is left alone."""

from __future__ import annotations

from pki.errors import Problem, problem
from pki.health import ServerState
from pki.ldap.breaker import Breaker

AWAY = problem("directory.timeout", "away")


def enter(breaker: Breaker, now: float) -> int:
    ticket = breaker.enter(now, 5)
    assert isinstance(ticket, int)
    return ticket


def test_pauses_double_up_to_the_longest_and_begin_anew() -> None:
    breaker = Breaker(1, 10)
    now = 100.0
    pauses = []
    for _ in range(6):
        assert breaker.failed(enter(breaker, now), AWAY, now) is (now == 100.0)
        pauses.append(breaker.snapshot(now)[2])
        assert breaker.state(now) is ServerState.OPEN
        assert breaker.enter(now, 5) is AWAY
        now += pauses[-1]
        assert breaker.state(now) is ServerState.HALF_OPEN
    assert pauses == [1, 2, 4, 8, 10, 10]
    enter(breaker, now)
    assert breaker.worked()
    assert breaker.state(now) is ServerState.CLOSED
    assert not breaker.worked()
    breaker.failed(enter(breaker, now), AWAY, now)
    assert breaker.snapshot(now)[1:3] == (1, 1)


def test_one_tries_and_the_others_stay_away() -> None:
    breaker = Breaker(1, 10)
    breaker.failed(enter(breaker, 0), AWAY, 0)
    enter(breaker, 1)
    assert isinstance(breaker.enter(1, 5), Problem)
    # The one that tried never came back: after its time another one may.
    assert isinstance(breaker.enter(5.9, 5), Problem)
    enter(breaker, 6)


def test_look_ups_that_were_on_their_way_together_are_one_failure() -> None:
    breaker = Breaker(1, 10)
    tickets = [enter(breaker, 0) for _ in range(12)]
    assert [breaker.failed(ticket, AWAY, 0.5) for ticket in tickets] == [True] + [False] * 11
    assert breaker.snapshot(0.5)[1:3] == (1, 1)
