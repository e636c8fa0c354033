"""What rules of the policy are written with: lists, groups, header fields, marks, hours."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.config.faults import Wrong
from gateway.config.kinds.files import file
from gateway.config.kinds.network import pattern
from gateway.config.kinds.plain import kind_of, list_of, shown, slug, text
from gateway.config.reader import Kind
from gateway.i18n import message
from gateway.policy.folding import Glob, fold
from gateway.policy.patterns import Pattern
from gateway.policy.times import NotASpan, Span, parse_span

# Before the name of a list, where a pattern is expected.
LIST = "list:"

_FIELD = re.compile(r"([!-9;-~]+)[ \t]*:(.*)\Z")
_HEADER_LIMIT = 200
_IN_FILE = message("{place}: ")


@kind_of
def pattern_or_list(value: str, folder: Path) -> Pattern:
    """A pattern, or "list:press" for the patterns of `[policy.lists]` press."""
    if value.startswith(LIST):
        return Pattern(LIST + slug.read(value.removeprefix(LIST), folder))
    return pattern.read(value, folder)


@kind_of
def group(value: str, folder: Path) -> str:
    """The name (cn) of a group in the directory; upper and lower case do not matter."""
    name = " ".join(text.read(value, folder).split()).lower()
    if not name:
        raise Wrong("{value} names no group", value=shown(value))
    return name


@kind_of
def header_pattern(value: str, folder: Path) -> tuple[str, Glob, str]:
    """ "X-Classification: *restreint*": a field name, a colon, a text with stars."""
    found = _FIELD.match(text.read(value, folder))
    if found is None or not fold(found[2]) or len(value) > _HEADER_LIMIT:
        raise Wrong(
            '{value} is not a header field and a pattern: "Name: text", with * for any text',
            value=shown(value),
        )
    return found[1].lower(), Glob(fold(found[2])), value


@kind_of
def mark(value: str, folder: Path) -> tuple[str, str]:
    """A text in the subject; case, accents and width do not matter."""
    folded = fold(text.read(value, folder))
    if not folded or "*" in folded:
        raise Wrong(
            "{value} is not a mark: a text without stars, which is looked for as it is",
            value=shown(value),
        )
    return value, folded


@kind_of
def span(value: str, _folder: Path) -> Span:
    """ "mon-fri 08:00-19:00 Europe/Paris", "sat,sun 00:00-24:00 UTC"."""
    try:
        return parse_span(value)
    except NotASpan as error:
        if error.zone:
            raise Wrong("there is no time zone {zone} on this machine", zone=error.zone) from None
        raise Wrong(
            "{value} is not a time: weekdays (mon tue wed thu fri sat sun), hours, zone",
            value=shown(value),
        ) from None


def _address_list(value: object, folder: Path) -> tuple[Pattern, ...]:
    if isinstance(value, str):
        return _from_file(file.read(value, folder), folder)
    return list_of(pattern, least=1).read(value, folder)


def _from_file(path: Path, folder: Path) -> tuple[Pattern, ...]:
    """One pattern a line; "#" begins a comment. Every wrong line is told."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        place = f"{path}:{number}"
        raise Wrong("{place}: this line is not UTF-8", place=place) from None
    found: dict[Pattern, int] = {}
    wrong: Wrong | None = None
    for number, line in enumerate(lines, 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        place = f"{path}:{number}"
        try:
            one = pattern.read(entry, folder)
            if one in found:
                raise Wrong(
                    "{value} stands in line {line} already", value=entry, line=str(found[one])
                )
            found[one] = number
        except Wrong as fault:
            reasons = [
                (_IN_FILE + template, {**facts, "place": place})
                for template, facts in fault.reasons
            ]
            if wrong is None:
                wrong = Wrong("")
                wrong.example = False
                wrong.reasons = []
            wrong.reasons += reasons
    if wrong is not None:
        raise wrong
    if not found:
        raise Wrong("{path}: there is no address in this file", path=str(path))
    return tuple(found)


address_list: Kind[tuple[Pattern, ...]] = Kind(_address_list)
