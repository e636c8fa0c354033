"""Who is connected: how many, from where, and who has to make room for whom.

A few hundred connections that say nothing, or a letter a minute (slow-loris), must not keep others
out. When the port is full, who comes last is not turned away at once: whoever holds most
connections and has done least with them loses one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from gateway.smtp import replies

# Seconds without a whole command, or without some kB of mail, after which anybody may have to make
# room; sooner one that has never said a whole command, and one of an address with more connections
# than the newcomer's. (Postfix, too, waits ten seconds in place of five minutes when it is full.)
_LAZY = 10.0
_LAZY_AND_MUTE = 2.0
_LAZY_OF_MANY = 1.0


class Guest(Protocol):
    """A session, as seen from here."""

    accepting: bool
    mute: bool  # it has not said a whole command yet

    @property
    def ip(self) -> str:
        """Address of the client."""
        ...

    @property
    def unwelcome(self) -> bool:
        """It was refused, and has not left yet."""
        ...

    def idle(self, now: float) -> float:
        """Seconds (loop time) since it got on with something."""
        ...

    def hang_up(self, reply: str) -> None:
        """Say this and close."""
        ...


G = TypeVar("G", bound=Guest)


class Crowd(Generic[G]):
    """The guests of one listener. most: of all; most_of_one: of one address."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._address: dict[G, str] = {}  # it may change by XCLIENT; the connection does not
        self._of: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._address)

    def __iter__(self) -> Iterator[G]:
        return iter(tuple(self._address))

    def enter(self, guest: G, now: float) -> str:
        """Let it in: "", or the reply that turns it away."""
        address = guest.ip
        if self._of.get(address, 0) >= self._most_of_one:
            return replies.TOO_MANY_OF_ADDRESS
        if len(self) >= self._most:
            other = self._least_worthy(address, now)
            if other is None:
                return replies.TOO_MANY_CONNECTIONS
            self.leave(other)
            other.hang_up(replies.MAKE_ROOM)
        self._address[guest] = address
        self._of[address] = self._of.get(address, 0) + 1
        return ""

    def leave(self, guest: G) -> None:
        """It has gone."""
        address = self._address.pop(guest, None)
        if address is None:
            return
        self._of[address] -= 1
        if not self._of[address]:
            del self._of[address]

    def _least_worthy(self, newcomer: str, now: float) -> G | None:
        few = self._of.get(newcomer, 0) + 1
        found: G | None = None
        worst: tuple[bool, int, float] | None = None
        for guest, address in self._address.items():
            if guest.accepting:  # it waits for us, not we for it
                continue
            idle, number = guest.idle(now), self._of[address]
            patience = _LAZY_AND_MUTE if guest.mute else _LAZY
            if number > few or guest.unwelcome:
                patience = _LAZY_OF_MANY
            if idle >= patience:
                rank = (guest.unwelcome, number, idle)
                if worst is None or rank > worst:
                    found, worst = guest, rank
        return found
