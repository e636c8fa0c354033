"""Groups of people as directories know them."""

from __future__ import annotations

from typing import Protocol


class GroupSource(Protocol):
    """Tells which groups somebody is in. May block on the network, within its time-outs."""

    def groups_of(self, address: str) -> frozenset[str]:
        """Names (cn, lower case) of the groups of a canonical address; empty where it is in none.

        Raises CannotTellGroups when no directory answers: never taken for "in no group".
        """
        ...
