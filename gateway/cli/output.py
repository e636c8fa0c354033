"""What commands print: text for people in their language, or JSON for programs.

For people: sentences, aligned tables, times in UTC with their offset. For programs (`--json`):
one object a line on standard output, never translated. Notes, progress and errors go to standard
error, so that a pipe carries data only.
"""

from __future__ import annotations

import json
import sys
import time
import unicodedata
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, TextIO

from gateway.i18n import translate

_KEPT = "\u00a0\u202f"  # the no-break spaces of French punctuation


class Explained(Protocol):
    """A problem as pki and archive have them: a template and its facts."""

    @property
    def code(self) -> str: ...
    @property
    def template(self) -> str: ...
    @property
    def facts(self) -> dict[str, str]: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Output:
    """The way to the terminal. language: "en" or "fr"; as_json: `--json` was given."""

    language: str = "en"
    as_json: bool = False
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)

    def text(self, template: str, **facts: str) -> str:
        """A sentence in the person's language."""
        return translate(template, facts, self.language)

    def problem(self, problem: Explained) -> str:
        """The sentence of a problem in the person's language."""
        return translate(problem.template, problem.facts, self.language)

    def say(self, template: str, **facts: str) -> None:
        """A sentence on standard output, for people only."""
        if not self.as_json:
            self.line(self.text(template, **facts))

    def note(self, template: str, **facts: str) -> None:
        """A sentence on standard error, for people beside the data."""
        print(printable(self.text(template, **facts)), file=self.err, flush=True)

    def line(self, text: str) -> None:
        """One line on standard output: data, not a message."""
        print(printable(text), file=self.out)

    def record(self, record: Mapping[str, object]) -> None:
        """One JSON object on one line of standard output."""
        text = json.dumps(record, ensure_ascii=False, separators=(", ", ": "))
        print(_escaped(text), file=self.out)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Rows under translated headings, columns aligned; nothing at all for no rows."""
        cells = [[printable(cell) for cell in row] for row in rows]
        if not cells:
            return
        lines = [[self.text(heading) for heading in headings], *cells]
        widths = [max(_width(cell) for cell in column) for column in zip(*lines, strict=True)]
        for line in lines:
            padded = (
                cell + " " * (width - _width(cell))
                for cell, width in zip(line, widths, strict=True)
            )
            print("  ".join(padded).rstrip(), file=self.out)

    @contextmanager
    def progress(self, template: str, total: int) -> Iterator[Progress]:
        """A bar on standard error while the block runs, where a person looks at it."""
        bar = Progress(self.text(template), total, self.err if self.err.isatty() else None)
        try:
            yield bar
        finally:
            bar.close()


class Progress:
    """How far something is. `step()` is cheap: the bar is drawn ten times a second at most."""

    def __init__(self, label: str, total: int, terminal: TextIO | None) -> None:
        self.done = 0
        self._label = label
        self._total = max(total, 1)
        self._terminal = terminal
        self._drawn = 0.0

    def step(self, by: int = 1) -> None:
        """`by` more are done."""
        self.done += by
        if self._terminal and time.monotonic() - self._drawn > 0.1:
            self._drawn = time.monotonic()
            share = min(self.done / self._total, 1.0)
            bar = "#" * int(share * 30)
            self._terminal.write(
                f"\r{self._label} [{bar:<30}] {self.done}/{self._total} {share:4.0%}"
            )
            self._terminal.flush()

    def close(self) -> None:
        """Remove the bar."""
        if self._terminal and self._drawn:
            self._terminal.write("\r\x1b[K")
            self._terminal.flush()


def output_of(args: Namespace) -> Output:
    """The output of a command line that `gateway.cli.main` parsed."""
    return Output(
        language=getattr(args, "language", "en"), as_json=bool(getattr(args, "as_json", False))
    )


def time_text(moment: datetime) -> str:
    """A time for people: 2026-11-21 14:03:22 +00:00. moment: aware."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S +00:00")


def time_json(moment: datetime) -> str:
    """A time for programs, RFC 3339 with microseconds. moment: aware."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def printable(text: str, *, lines: bool = False) -> str:
    r"""The text with control and direction characters made visible (\x1b, \u202e, \n).

    Names, subjects and certificate fields come from strangers: an escape sequence among them
    could rewrite what the terminal shows, a direction override could turn a name around, a line
    end could begin a line that says "valid" of another file.
    lines: several lines of ours, which stay apart.
    """
    if text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() or char in _KEPT or (lines and char == "\n")
        else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def _escaped(record: str) -> str:
    """JSON in which what a terminal obeys (U+009B) or takes for a line end (U+2028) is escaped."""
    if record.isprintable():
        return record
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in record)


def _width(text: str) -> int:
    """Columns on a terminal: marks take none, East Asian wide characters two."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
