"""One trouble that a person must look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Alarm:
    """One trouble. code: one of CODES. subject: what of, so that a second one is noticed."""

    code: str
    subject: str
    template: str
    facts: dict[str, str]
    over: datetime | None = None  # when it ended, of one that nobody could be told of before

    @property
    def text(self) -> str:
        """The English sentence."""
        return self.template.format(**self.facts)
