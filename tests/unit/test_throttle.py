"""Guessing takes longer and longer; all times are arguments."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.senders.throttle import Limits, Throttle

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def throttle(tmp_path: Path) -> Iterator[Throttle]:
    made = Throttle(tmp_path / "guessing")
    yield made
    made.close()


def test_a_few_are_free_then_the_waits_double_to_the_longest(throttle: Throttle) -> None:
    now, waits = NOW, []
    for _ in range(20):
        network, account = throttle.failed("192.0.2.1", "anna", now)
        assert network.wait == account.wait
        waits.append(network.wait.total_seconds())
        assert throttle.wait("192.0.2.1", "anna", now) == network.wait
        now += network.wait
        assert throttle.wait("192.0.2.1", "anna", now) == timedelta()
    assert waits[:10] == [0, 0, 0, 0, 0, 2, 4, 8, 16, 32]
    assert waits[-1] == 900


def test_a_window_without_failures_forgets(throttle: Throttle) -> None:
    for _ in range(6):
        throttle.failed("192.0.2.1", "anna", NOW)
    later = NOW + 2 * SECOND + 15 * MINUTE
    assert throttle.failed("192.0.2.1", "anna", later)[0].failures == 1


def test_the_network_counts_over_all_accounts_and_the_account_over_all_networks(
    throttle: Throttle,
) -> None:
    for number in range(6):
        throttle.failed("192.0.2.1", f"u{number}", NOW)  # spraying
        throttle.failed(f"198.51.100.{number}", "anna", NOW)  # a botnet
    assert throttle.wait("192.0.2.1", "somebody", NOW) == 2 * SECOND
    assert throttle.wait("203.0.113.1", "anna", NOW) == 2 * SECOND
    assert throttle.wait("203.0.113.1", "bruno", NOW) == timedelta()


def test_of_ipv6_the_whole_64_is_one_network(throttle: Throttle) -> None:
    for number in range(6):
        throttle.failed(f"2001:db8::{number}", f"u{number}", NOW)
    assert throttle.wait("2001:db8::ffff", "x", NOW) == 2 * SECOND
    assert throttle.wait("2001:db8:0:1::1", "x", NOW) == timedelta()


def test_whoever_logged_in_from_a_place_is_not_locked_out_there_by_others(
    throttle: Throttle,
) -> None:
    throttle.succeeded("192.0.2.7", "anna", NOW)
    for number in range(30):
        throttle.failed(f"198.51.100.{number}", "anna", NOW + SECOND)
    assert throttle.wait("203.0.113.1", "anna", NOW + SECOND) == 15 * MINUTE
    assert throttle.wait("192.0.2.7", "anna", NOW + SECOND) == timedelta()
    # but her own network pays for its own failures
    for _ in range(6):
        throttle.failed("192.0.2.7", "anna", NOW + 2 * SECOND)
    assert throttle.wait("192.0.2.7", "anna", NOW + 2 * SECOND) == 2 * SECOND
    # and it is not for ever
    for number in range(30):
        throttle.failed(f"198.51.100.{number}", "anna", NOW + timedelta(days=31))
    assert throttle.wait("192.0.2.7", "anna", NOW + timedelta(days=31)) > 10 * MINUTE


def test_one_right_password_does_not_pay_for_guessing_others(throttle: Throttle) -> None:
    for number in range(5):
        throttle.failed("192.0.2.1", f"u{number}", NOW)
    throttle.succeeded("192.0.2.1", "mallory", NOW)
    throttle.failed("192.0.2.1", "u6", NOW)
    assert throttle.wait("192.0.2.1", "u7", NOW) == 2 * SECOND


def test_a_clock_that_is_put_back_closes_nobody_out_for_long(throttle: Throttle) -> None:
    for _ in range(6):
        throttle.failed("192.0.2.1", "anna", NOW + timedelta(days=365))
    assert throttle.wait("192.0.2.1", "anna", NOW) <= 15 * MINUTE


def test_a_flood_of_names_neither_grows_the_file_nor_frees_who_is_guessed_at(
    tmp_path: Path, throttle: Throttle
) -> None:
    size = (tmp_path / "guessing").stat().st_size
    for _ in range(12):
        throttle.failed("192.0.2.1", "anna", NOW)
    for number in range(40_000):  # more than there is room for
        throttle.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", f"n{number}", NOW)
    assert (tmp_path / "guessing").stat().st_size == size < 2_000_000
    assert throttle.wait("203.0.113.1", "anna", NOW) > MINUTE


def test_processes_count_together_and_a_restart_forgives_nobody(tmp_path: Path) -> None:
    code = (
        "import sys; from datetime import *; from pathlib import Path\n"
        "from gateway.senders.throttle import Throttle\n"
        "t = Throttle(Path(sys.argv[1]))\n"
        f"[t.failed('192.0.2.1', 'anna', datetime.fromisoformat('{NOW.isoformat()}'))"
        " for _ in range(50)]\n"
    )
    path = tmp_path / "guessing"
    children = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    throttle = Throttle(path, Limits(free=10))
    assert throttle.failed("192.0.2.1", "anna", NOW)[0].failures == 151
    throttle.close()


def test_names_are_not_in_the_file(tmp_path: Path, throttle: Throttle) -> None:
    throttle.failed("192.0.2.1", "anna", NOW)
    data = (tmp_path / "guessing").read_bytes()
    assert b"anna" not in data
    assert b"192.0.2.1" not in data
    assert (tmp_path / "guessing").stat().st_mode & 0o777 == 0o600
