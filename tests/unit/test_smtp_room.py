"""Room for large mails: in turn, never for ever, and not for who drips."""

from __future__ import annotations

import asyncio

import pytest

from gateway.smtp import room
from gateway.smtp.crowd import Crowd
from gateway.smtp.room import NoRoom, Room, Share


def share(*, size: int = 0, gone: bool = False, dropped: list[str] | None = None) -> Share:
    noted = [] if dropped is None else dropped
    return Share(lambda: noted.append("x"), lambda: gone, lambda: size)


def test_they_come_in_turn_and_all_come_in() -> None:
    async def flow() -> None:
        whole = Room(100)
        first, second, third = share(), share(), share()
        await whole.enter(first, 60)
        large = asyncio.create_task(whole.enter(second, 90))
        small = asyncio.create_task(whole.enter(third, 10))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not large.done()
        assert not small.done(), "it does not overtake"
        whole.leave(first)
        await asyncio.gather(large, small)
        whole.leave(second)
        whole.leave(third)
        await whole.enter(first, 1000)  # more than there is: alone
        assert first.room == 100

    asyncio.run(flow())


def test_who_is_gone_waits_for_nothing() -> None:
    async def flow() -> None:
        whole = Room(100)
        await whole.enter(share(), 100)
        with pytest.raises(NoRoom):
            await whole.enter(share(gone=True), 10)

    asyncio.run(flow())


def test_who_drips_is_dropped_once_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_GRACE", 0.0)
    monkeypatch.setattr(room, "_LOOK", 0.01)

    async def flow() -> None:
        whole = Room(100)
        dropped: list[str] = []
        slow, quick = share(size=10, dropped=dropped), share(size=10**9)
        await whole.enter(slow, 50)
        await whole.enter(quick, 50)
        await asyncio.sleep(0.05)
        assert dropped == []
        waiting = asyncio.create_task(whole.enter(share(), 50))
        while not dropped:
            await asyncio.sleep(0.01)
        whole.leave(slow)
        await waiting

    asyncio.run(flow())


class Someone:
    """A guest that does what it is told to have done."""

    def __init__(self, ip: str, moved: float = 0.0, *, mute: bool = False) -> None:
        self.ip = ip
        self.moved = moved
        self.mute = mute
        self.unwelcome = False
        self.accepting = False
        self.heard = ""

    def idle(self, now: float) -> float:
        """See Guest."""
        return now - self.moved

    def hang_up(self, reply: str) -> None:
        """See Guest."""
        self.heard = reply


def test_one_address_has_so_many_connections_and_no_more() -> None:
    crowd: Crowd[Someone] = Crowd(10, 3)
    guests = [Someone("a") for _ in range(4)]
    replies = [crowd.enter(one, 0.0)[:9] for one in guests]
    assert replies == ["", "", "", "421 4.7.0"]
    crowd.leave(guests[3])  # was never in
    crowd.leave(guests[0])
    assert crowd.enter(guests[3], 0.0) == ""
    assert crowd.enter(Someone("b"), 0.0) == ""


def test_a_full_port_takes_from_who_holds_most_and_does_least() -> None:
    crowd: Crowd[Someone] = Crowd(4, 4)
    busy, lazy, other = Someone("a", 100.0), Someone("a", 50.0), Someone("b", 80.0)
    working = Someone("a", 1.0)
    working.accepting = True
    for one in (busy, lazy, other, working):
        assert crowd.enter(one, 100.0) == ""
    newcomer = Someone("c", 100.0)
    assert crowd.enter(newcomer, 100.0) == ""
    assert lazy.heard.startswith("421 4.3.2")
    assert (busy.heard, other.heard, working.heard) == ("", "", "")
    assert len(crowd) == 4
    # The next one: nobody of an address with many is idle now, and `other` has been for long.
    assert crowd.enter(Someone("d", 100.0), 100.0) == ""
    assert other.heard.startswith("421 4.3.2")
    assert crowd.enter(Someone("e", 100.0), 100.0).startswith("421 4.3.2")
