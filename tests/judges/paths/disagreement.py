"""What a class of disagreement is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.judges.paths.compare import Comparison


@dataclass(frozen=True)
class Class:
    """key: short name in the table. they, rule: sentences for the table.

    holds: the facts. again: what is asked once more, of us and of the peer, with the one thing
    changed that the class is about. Without that thing all must agree, or disagree for a reason
    that is known; facts alone would take in a fault of ours that happens to stand beside them.
    """

    key: str
    they: str
    rule: str
    holds: Callable[[Comparison], bool]
    again: Callable[[Comparison], Iterable[Comparison]]
