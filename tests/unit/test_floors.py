"""Versions with known holes are refused at the start."""

from __future__ import annotations

import tomllib

import pytest

from gateway import floors
from tests.corpora import ROOT


def test_what_is_installed_is_new_enough() -> None:
    floors.refuse_old_libraries()


@pytest.mark.parametrize("found", ["49.9.9", "44.0.0", "5", ""])
def test_an_old_cryptography_is_refused(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    installed = dict.fromkeys(floors.FLOORS, "999") | {"cryptography": found}
    monkeypatch.setattr(floors, "version", installed.__getitem__)
    with pytest.raises(floors.TooOld, match="CVE-2026-69247") as raised:
        floors.refuse_old_libraries()
    assert "50.0 or newer" in raised.value.hint


def test_the_floor_itself_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = {name: ".".join(map(str, floor)) for name, (floor, _) in floors.FLOORS.items()}
    monkeypatch.setattr(floors, "version", exact.__getitem__)
    floors.refuse_old_libraries()


def test_the_same_floors_stand_in_the_package() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for name, (floor, _) in floors.FLOORS.items():
        (line,) = [each for each in wanted if each.startswith(f"{name}>=")]
        assert floors.numbers(line.partition(">=")[2]) >= floor[:1]
