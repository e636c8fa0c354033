"""What is wrong in a configuration file: where, why, and what would be right."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.errors import SceauError


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    file: as the user named it. key: "relays[1].networks", tables of a list counted from 1; ""
    when the file as a whole is meant. line: from 1, or 0 when it cannot be told.
    template and facts: the reason, as an English sentence with places (key of the catalogue).
    example: a line that would be right, or "".
    """

    file: str
    key: str
    line: int
    template: str
    facts: dict[str, str] = field(default_factory=dict)
    example: str = ""

    @property
    def reason(self) -> str:
        """The reason in English."""
        return self.template.format(**self.facts)

    @property
    def place(self) -> str:
        """Where it is, as editors and compilers write it: "sceau.toml:12: listen.port"."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}" if self.key else where

    def __str__(self) -> str:
        text = f"{self.place}: {self.reason}"
        return f"{text} (right would be: {self.example})" if self.example else text


class ConfigFaults(SceauError):
    """A configuration that cannot be used; `faults` has all of them, in order of lines."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))  # no facts: already filled
        self.faults = faults


class Wrong(Exception):
    """Raised by a kind of value: this is not one. Has one or more (template, facts).

    example: whether it helps to see what a right value looks like.
    """

    example = True

    def __init__(self, template: str, **facts: str) -> None:
        super().__init__(template)
        self.reasons: list[tuple[str, dict[str, str]]] = [(template, facts)]


class Elsewhere(Wrong):
    """The value is written as it should be; what it names is not there, or closed to this user."""

    example = False
