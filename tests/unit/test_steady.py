"""A clock that jumps gives nothing up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.steady import SteadyClock

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NEED = timedelta(minutes=15)


class Clocks:
    """A wall clock and a monotonic one."""

    def __init__(self) -> None:
        self.wall = NOON
        self.ticks = 1000.0
        self.steady = SteadyClock(NEED, lambda: self.ticks)

    def after(self, passed: timedelta, *, jump: timedelta = timedelta()) -> bool:
        self.ticks += passed.total_seconds()
        self.wall += passed + jump
        return self.steady.believed(self.wall)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def test_after_a_start_it_is_believed_when_it_has_run_for_a_while() -> None:
    clocks = Clocks()
    assert not clocks.after(minutes(0))
    assert not clocks.after(minutes(14))
    assert clocks.after(minutes(1))
    assert clocks.after(timedelta(days=30))


def test_a_jump_in_either_direction_begins_the_while_anew() -> None:
    for jump in (timedelta(days=10), timedelta(days=-10), minutes(2)):
        clocks = Clocks()
        clocks.after(minutes(0))
        assert clocks.after(minutes(20))
        assert not clocks.after(minutes(1), jump=jump)
        assert not clocks.after(minutes(14))
        assert clocks.after(minutes(1))


def test_a_jump_is_seen_whenever_somebody_looks() -> None:
    clocks = Clocks()
    clocks.after(minutes(0))
    assert clocks.after(minutes(20))
    clocks.ticks += 3600  # a quiet hour, in which the clock was set
    clocks.wall += timedelta(hours=1, days=10)
    assert not clocks.steady.believed(clocks.wall)


def test_what_ntp_corrects_is_no_jump() -> None:
    clocks = Clocks()
    clocks.after(minutes(0))
    clocks.after(minutes(20))
    for _ in range(100):
        assert clocks.after(minutes(1), jump=timedelta(seconds=2))


def test_short_lives_have_short_proofs() -> None:
    assert SteadyClock.for_expiry(timedelta(days=5)).need == NEED
    assert SteadyClock.for_expiry(timedelta(seconds=3)).need == timedelta(milliseconds=30)
    assert SteadyClock().believed(NOON)
