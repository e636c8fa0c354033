"""What a class of disagreement is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.judges.paths.compare import Comparison


@dataclass(frozen=True)
class Class:
    """key: short name in the table. they, rule: sentences for the table.

    holds: the facts. alone: and the peer, offered our path and nothing beside it, agrees or
    disagrees for a reason that is known.
    """

    key: str
    they: str
    rule: str
    holds: Callable[[Comparison], bool]
    alone: bool = False
