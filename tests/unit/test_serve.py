"""The supervisor: who dies, who is blamed, and that nothing ends the one who watches."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.serve import STORAGE_FAILED, Plan, Supervisor


@dataclass
class Shell(Supervisor):
    """Runs a line of shell in the place of a role."""

    line: str = "exit 1"
    names: list[str] = field(default_factory=list)

    def _command(self, role: str, name: str, plan: Plan) -> tuple[list[str], Sequence[int]]:
        self.names.append(name)
        return ["sh", "-c", self.line], ()


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Shell]]:
    """Runs a supervisor until somebody sends SIGTERM (`stop`)."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    wakeup = signal.set_wakeup_fd(-1)

    def run(line: str, on_death: Callable[[str, bool], None], **options: float) -> Shell:
        plan = Plan(tmp_path / "none", {"worker": 1}, None, tmp_path / "lock", **options)
        shell = Shell(plan, on_start=lambda: None, on_death=on_death, on_ready=stop, line=line)
        shell.run()
        return shell

    yield run
    signal.set_wakeup_fd(wakeup)
    for number, handler in before:
        signal.signal(number, handler)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_database_in_trouble_does_not_end_the_supervisor(
    supervise: Callable[..., Shell],
) -> None:
    """It is what the worker died of: claims are freed when the disk has room again."""
    asked: list[str] = []

    def on_death(name: str, _blame: bool) -> None:
        asked.append(name)
        if len(asked) < 3:
            raise OSError("database or disk is full")
        stop()

    shell = supervise("exit 1", on_death)
    assert asked[:3] == [shell.names[0]] * 3


@pytest.mark.parametrize(
    ("line", "blamed"),
    [("exit 1", True), ("kill -9 $$", True), (f"exit {STORAGE_FAILED}", False)],
)
def test_mail_is_blamed_for_a_death_unless_the_storage_failed(
    supervise: Callable[..., Shell], line: str, blamed: bool
) -> None:
    deaths: list[bool] = []

    def on_death(_name: str, blame: bool) -> None:
        deaths.append(blame)
        stop()

    supervise(line, on_death)
    assert deaths[0] is blamed


def test_mail_is_not_blamed_for_a_stop_that_took_too_long(supervise: Callable[..., Shell]) -> None:
    """Three restarts while a next hop is slow would otherwise hold all mail on its way there."""
    deaths: list[bool] = []
    supervise(
        "trap '' TERM; echo ready; exec sleep 30",
        lambda _name, blame: deaths.append(blame),
        grace=0.1,
    )
    assert deaths == [False]


def test_a_process_that_gives_no_sign_of_life_is_killed_and_what_it_held_is_freed(
    supervise: Callable[..., Shell],
) -> None:
    """SIGSTOP: it is not dead, and must not come back to send what somebody else has sent."""
    deaths: list[str] = []

    def on_death(name: str, _blame: bool) -> None:
        deaths.append(name)
        stop()

    shell = supervise("echo .; kill -STOP $$; sleep 60", on_death, silence=0.3)
    assert deaths[0] == shell.names[0]


def test_a_process_that_dies_at_once_is_not_started_at_full_speed(
    supervise: Callable[..., Shell],
) -> None:
    """0.1 s, 0.2 s, 0.4 s, 0.8 s: at least 1.5 s for four deaths, whatever the machine does."""
    deaths: list[float] = []

    def on_death(_name: str, _blame: bool) -> None:
        deaths.append(time.monotonic())
        if len(deaths) == 5:
            stop()

    supervise("exit 1", on_death)
    assert deaths[4] - deaths[0] >= 1.5
