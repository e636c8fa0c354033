"""On which line of a TOML file a key stands: tomllib does not tell, people want to know.

Best effort: it reads table headers and the start of lines, which is how people write. A key it
does not find gets the line of its table.
"""

from __future__ import annotations

import re

from gateway.config.reader import KeyPath

_PART = r"(?:[\w-]+|\"[^\"\\]*\"|'[^']*')"
_NAME = rf"{_PART}(?:\s*\.\s*{_PART})*+"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_NAME})\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(rf"\s*({_NAME})\s*=")
_PARTS = re.compile(_PART)


def lines_of(text: str) -> dict[KeyPath, int]:
    """The line (from 1) of each table and key that is written at the start of a line."""
    found: dict[KeyPath, int] = {}
    lists: dict[KeyPath, int] = {}
    current: KeyPath = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            current = _resolved(_names(header[2]), lists)
            if header[1] == "[[":
                lists[current] = lists.get(current, -1) + 1
                current = (*current, lists[current])
            # [[policy.domain."b.example".rules]] begins policy.domain."b.example", too.
            for length in range(1, len(current) + 1):
                found.setdefault(current[:length], number)
        elif key := _KEY.match(line):
            found.setdefault((*current, *_names(key[1])), number)
    return found


def line_of(path: KeyPath, lines: dict[KeyPath, int]) -> int:
    """The line of a key, else of the table it belongs to, else 0."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 0


def _names(dotted: str) -> tuple[str, ...]:
    # A name in quotes may hold a dot: [policy.domain."b.example"].
    return tuple(part.strip("\"'") for part in _PARTS.findall(dotted))


def _resolved(names: tuple[str, ...], lists: dict[KeyPath, int]) -> KeyPath:
    """[a.b] after [[a]] belongs to the last table of the list a."""
    path: KeyPath = ()
    for position, name in enumerate(names):
        path = (*path, name)
        if path in lists and position < len(names) - 1:
            path = (*path, lists[path])
    return path
