"""Records of the log for people: the JSON in a field as indented lines, nothing cut off."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from gateway.cli.output import Output

# What a person asks first of a decision; the rest follows in its own order.
_FIRST = (
    "outcome",
    "rule",
    "reason",
    "recipient",
    "sender",
    "encryption",
    "without-certificate",
    "certificate",
    "looked-in",
    "refused",
    "cipher",
    "key-management",
    "algorithms-because",
    "outer-envelope",
    "sign",
    "signer",
)
_PLACE = {name: place for place, name in enumerate(_FIRST)}
_INDENT = "  "
# Fields that we write as JSON. Others hold what strangers said (the next hop's queue id, a helo),
# and that is never read as anything but text.
_OBJECTS = re.compile(r"reason|clock|connection|sender\.proof|envelope\.parameters|decision\.\d+")


def field_lines(name: str, value: str, output: Output) -> Iterator[str]:
    """A field of a log entry: one line, or a block where it holds a JSON object."""
    try:
        parsed = json.loads(value) if _OBJECTS.fullmatch(name) and value[:1] == "{" else value
    except ValueError:
        parsed = value
    yield from _named(name, parsed, output)


def block(value: Mapping[str, object], output: Output) -> Iterator[str]:
    """An object, one line a value; objects in it are indented."""
    for name in sorted(value, key=lambda each: (_PLACE.get(each, len(_PLACE)), each)):
        yield from _named(name, value[name], output)


def _named(name: str, value: object, output: Output) -> Iterator[str]:
    short = _short(value, output)
    if short is not None:
        yield f"{name}: {short}".rstrip()
        return
    yield f"{name}:"
    if isinstance(value, dict):
        for line in block(value, output):
            yield _INDENT + line
    elif isinstance(value, list):
        for each in value:
            lines = block(each, output) if isinstance(each, dict) else iter([str(each)])
            for number, line in enumerate(lines):
                yield ("- " if number == 0 else _INDENT) + line


def _short(value: object, output: Output) -> str | None:
    """On one line, if it fits: texts, reasons, lists of texts. None: it needs a block."""
    match value:
        case {"code": str(), "template": str(template), "facts": dict(facts)}:
            return output.text(template, **facts)
        case {"code": str(), "text": str(text), **rest} if not rest:
            return text
        case {}:
            return None if value else "-"
        case list():
            return ", ".join(map(str, value)) if not any(map(_deep, value)) else None
    return "-" if value is None else str(value)


def _deep(value: object) -> bool:
    return isinstance(value, dict | list)
