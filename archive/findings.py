"""What a verification has found so far, and how it reads rows that may hold anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import sqlalchemy as sa

from archive.errors import Problem

T = TypeVar("T")

_MAX_PROBLEMS = 100


class UnreadableError(Exception):
    """The database holds something at this place that is not of the column's type."""


@dataclass(slots=True)
class Findings:
    """Collected by the steps of a verification."""

    damaged: bool = False
    unsure: bool = False
    first_bad: int | None = None
    opened: int = 0
    payloads: int = 0
    contents: int = 0
    problems: list[Problem] = field(default_factory=list)

    def damage(self, problem: Problem, index: int | None = None) -> None:
        """Something is not as it was; index: of the entry, None if it is not one entry's."""
        self.damaged = True
        if index is not None and (self.first_bad is None or index < self.first_bad):
            self.first_bad = max(index, 0)
        self._note(problem)

    def unreadable(self, error: UnreadableError, index: int | None = None) -> None:
        """A row could not be read."""
        template = "what is stored is not of the right type: {why}"
        if index is not None:
            template = "what is stored for entry {index} is not of the right type: {why}"
        self.damage(
            Problem("log.unreadable", template, {"index": str(index), "why": str(error)[:200]}),
            index,
        )

    def doubt(self, problem: Problem) -> None:
        """Something could not be checked."""
        self.unsure = True
        self._note(problem)

    def add(self, other: Findings) -> None:
        """Take over what was found in a part."""
        self.damaged |= other.damaged
        self.unsure |= other.unsure
        known = [one for one in (self.first_bad, other.first_bad) if one is not None]
        self.first_bad = min(known, default=None)
        self.opened += other.opened
        self.payloads += other.payloads
        self.contents += other.contents
        for problem in other.problems:
            self._note(problem)

    def _note(self, problem: Problem) -> None:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(problem)


def attempt(action: Callable[[], T]) -> T:
    """Run `action`, which reads rows; UnreadableError if they hold what no writer of ours wrote.

    A flipped bit can make text that is not UTF-8, and SQLite lets any type into any column. Other
    errors of the database (it is away, the disk fails) are no finding and pass.
    """
    try:
        return action()
    except (TypeError, ValueError) as error:
        raise UnreadableError(str(error)) from error
    except sa.exc.DatabaseError as error:
        if isinstance(error, sa.exc.OperationalError) and "decode" not in str(error.orig):
            raise
        raise UnreadableError(str(error.orig)) from error
