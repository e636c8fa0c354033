"""Long runs: what fails says so, can be asked again, and leaves behind what can be looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.soak import __main__ as soak
from tests.soak._folder import folder_of


def named(monkeypatch: pytest.MonkeyPatch, run: Callable[[int, int], None]) -> None:
    """The only long run there is."""
    monkeypatch.setattr(soak, "subjects", lambda: {"one": SimpleNamespace(run=run)})


def test_the_same_seed_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[int, int]] = []
    named(monkeypatch, lambda seed, rounds: asked.append((seed, rounds)))
    assert soak.main(["one", "--rounds", "3"]) == 0
    again = capsys.readouterr().out.splitlines()[0].partition("./dev soak ")[2].split()
    assert soak.main(again) == 0
    assert asked[0] == asked[1]
    assert asked[0][1] == 3


def test_a_run_that_fails_can_be_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def loses(seed: int, rounds: int) -> None:
        raise AssertionError(f"{rounds} mails lost")

    def does_not_start(seed: int, rounds: int) -> None:
        raise RuntimeError

    named(monkeypatch, loses)
    assert soak.main(["one", "--seed", "7", "--rounds", "2"]) == 1
    said = capsys.readouterr().err
    assert "2 mails lost" in said
    assert "./dev soak one --seed 7 --rounds 2" in said
    named(monkeypatch, does_not_start)
    with pytest.raises(RuntimeError):
        soak.main(["one", "--seed", "7", "--rounds", "2"])
    assert "./dev soak one --seed 7 --rounds 2" in capsys.readouterr().err


def fail_in(kept: list[Path]) -> None:
    """A run that makes a folder and fails."""
    with folder_of("test") as folder:
        kept.append(folder)
        raise AssertionError


def test_the_folder_is_kept_where_something_failed(capsys: pytest.CaptureFixture[str]) -> None:
    kept: list[Path] = []
    with pytest.raises(AssertionError):
        fail_in(kept)
    assert kept[0].is_dir()
    assert str(kept[0]) in capsys.readouterr().out
    kept[0].rmdir()
    with folder_of("test") as folder:
        (folder / "log").touch()
    assert not folder.exists()
