"""What a check finds: how grave, what it is, what it means, what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Level(Enum):
    """How a finding is to be taken. UNKNOWN: something did not answer, nobody can tell."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    code: `area.reason`, stable, for programs; "" where all is well.
    template: what was seen; meaning: what follows from it; advice: what to do. English, with
        places that `facts` fill; "" where there is nothing to say.
    """

    subject: str
    level: Level
    code: str
    template: str
    meaning: str = ""
    advice: str = ""
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What was seen, in English."""
        return filled(self.template, self.facts)


def filled(template: str, facts: dict[str, str]) -> str:
    """An English sentence; without facts a brace in it is a brace."""
    return template.format(**facts) if facts else template


# The first parameters have no name for callers: facts of a problem may be called "subject" too.


def good(subject: str, template: str, /, **facts: str) -> Finding:
    """All is well."""
    return Finding(subject, Level.OK, "", template, facts=facts)


def warning(
    subject: str, code: str, template: str, /, *, meaning: str = "", advice: str = "", **facts: str
) -> Finding:
    """Mail moves, but somebody should look after this."""
    return Finding(subject, Level.WARNING, code, template, meaning, advice, facts)


def error(
    subject: str, code: str, template: str, /, *, meaning: str = "", advice: str = "", **facts: str
) -> Finding:
    """Something is wrong: mail waits or will wait, or a promise is broken."""
    return Finding(subject, Level.ERROR, code, template, meaning, advice, facts)


def unknown(
    subject: str, code: str, template: str, /, *, meaning: str = "", advice: str = "", **facts: str
) -> Finding:
    """Something does not answer."""
    return Finding(subject, Level.UNKNOWN, code, template, meaning, advice, facts)
