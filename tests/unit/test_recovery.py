"""A neighbour that is back: when mail that waited for him is tried, and how often."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway import recovery
from gateway.neighbours import Absence
from gateway.recovery import Recovery
from gateway.routes import Routes

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOP = Absence("next-hop", "all", "2026-11-21T11:59:00Z", "refused")


class House:
    """Who is away, what time it is, and when mail was moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 100.0
        self.away: list[Absence] = []
        self.moved: list[float] = []
        monkeypatch.setattr(recovery, "absent", lambda _folder: self.away)
        monkeypatch.setattr(recovery.time, "monotonic", lambda: self.seconds)
        monkeypatch.setattr(recovery, "try_now", self.move)

    def move(self, _database: Any, _waits: Any, *, now: int) -> int:
        del now
        self.moved.append(self.seconds)
        return 1

    def overrule(self, kind: str, name: str) -> None:
        self.away = [one for one in self.away if (one.kind, one.name) != (kind, name)]


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    return House(monkeypatch)


def looks(house: House, answers: Any, told: list[list[Absence]] | None = None) -> Recovery:
    made = Recovery(
        database=None,  # type: ignore[arg-type]
        neighbours=house,  # type: ignore[arg-type]
        run_folder=Path("x"),
        routes=Routes([]),
        directories=(),
        now=lambda: NOW,
        tell=lambda found, _moment: told.append(found) if told is not None else None,
    )
    made._answers = answers  # type: ignore[method-assign]
    return made


def test_mail_moves_when_he_is_back_and_once_more_for_what_was_in_hand(house: House) -> None:
    told: list[list[Absence]] = []
    back = [False]
    one = looks(house, lambda _kind, _name: back[0], told)
    house.away = [HOP]
    for _ in range(4):  # away for twenty seconds
        one.look()
        house.seconds += 5
    assert house.moved == []
    back[0] = True
    for _ in range(40):
        one.look()
        house.seconds += 5
    assert house.moved == [125.0, 155.0]  # and after as long as he was away
    assert [HOP] in told
    assert told[-1] == []


def test_one_who_comes_and_goes_gets_his_mail_once_a_minute(house: House) -> None:
    one = looks(house, lambda _kind, _name: True)
    for _ in range(60):
        house.away = [HOP]  # it greets, and fails with the first mail
        one.look()
        house.seconds += 5
    assert len(house.moved) <= 300 / 60 * 2


def test_mail_waits_for_the_database_to_be_back_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.database import DatabaseUnsafe

    def away(*_: Any, **__: Any) -> int:
        raise DatabaseUnsafe("takes no writes")

    one = looks(house, lambda _kind, _name: True)
    house.away = [HOP]
    monkeypatch.setattr(recovery, "try_now", away)
    for _ in range(3):
        one.look()
        house.seconds += 5
    monkeypatch.setattr(recovery, "try_now", house.move)
    one.look()
    assert house.moved
