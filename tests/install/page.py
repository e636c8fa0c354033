"""The fenced blocks of a page of the manual, and on which machine each belongs.

The line that opens a block says it: language, machine, then words

    ```sh sceau                     run there
    ```sh border wait               run again and again until it succeeds
    ```sh sceau share=/root/trial   then copy that folder to the other machines
    ```toml sceau >>/etc/x.toml     the text is added to that file (">": replaces it)
    ```main.cf mail                 each setting goes through `postconf -e`

A block without a machine is an example and nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\S*) *(.*)$")


@dataclass(frozen=True)
class Block:
    """One block. line: of its first line in the page, from 1."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int

    @property
    def machine(self) -> str:
        """Where it belongs; "" if nowhere."""
        return self.words[0] if self.words else ""

    @property
    def waits(self) -> bool:
        """Whether it is tried until it succeeds."""
        return "wait" in self.words[1:]

    @property
    def shared(self) -> str:
        """A folder that the other machines get afterwards, or ""."""
        return self._word("share=")

    @property
    def script(self) -> str:
        """What a shell on that machine has to do."""
        if self.language == "sh":
            return self.text
        if self.language == "main.cf":
            return "".join(f"postconf -e {_quoted(line)}\n" for line in _settings(self.text))
        for sign in (">>", ">"):
            if file := self._word(sign):
                return f"cat {sign}{file} <<'END_OF_BLOCK'\n{self.text}END_OF_BLOCK\n"
        raise ValueError(f"line {self.line}: nobody knows what to do with {self.language}")

    def _word(self, beginning: str) -> str:
        found = [word for word in self.words[1:] if word.startswith(beginning)]
        return found[0].removeprefix(beginning) if found else ""


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, in order. Raises ValueError: one is not closed."""
    return list(_blocks(page.read_text("utf-8").splitlines()))


def _blocks(lines: list[str]) -> Iterator[Block]:
    opened: tuple[str, tuple[str, ...], int] | None = None
    for number, line in enumerate(lines, start=1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened = fence[1], tuple(fence[2].split()), number + 1
        elif opened is not None and line == "```":
            language, words, first = opened
            text = "".join(f"{each}\n" for each in lines[first - 1 : number - 1])
            yield Block(language, words, text, first)
            opened = None
    if opened is not None:
        raise ValueError(f"the block of line {opened[2]} is not closed")


def _settings(text: str) -> Iterator[str]:
    """The settings of a main.cf, each with its continuation lines, without comments."""
    joined = re.sub(r"\n[ \t]+", " ", "\n".join(x for x in text.splitlines() if x[:1] != "#"))
    return (line for line in joined.splitlines() if line)


def _quoted(line: str) -> str:
    return "'" + line.replace("'", "'\\''") + "'"
