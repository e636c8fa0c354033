"""Texts, numbers, choices, durations, sizes, lists."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Literal, TypeVar

from gateway.config.faults import Elsewhere, Wrong
from gateway.config.reader import Kind

T = TypeVar("T")
E = TypeVar("E", bound=Enum)

_SLUG = re.compile(r"[a-z0-9]([a-z0-9_.-]{0,62}[a-z0-9])?\Z")
_DURATION = re.compile(r"(\d+)\s*([smhd])\Z")
_SIZE = re.compile(r"(\d+)\s*(B|kB|MB|GB|KiB|MiB|GiB)\Z")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
}  # fmt: skip


def shown(value: object) -> str:
    """A value as TOML would write it, cut to a readable length."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 60 else f'"{value[:60]}…"'
    return str(value)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong("{value} is not a text; write it in quotes", value=shown(value))
    return value


def kind_of(read: Callable[[str, Path], T]) -> Kind[T]:
    """A kind that is written as a text in quotes."""

    def checked(value: object, folder: Path) -> T:
        try:
            return read(_string(value), folder)
        except PermissionError:  # a folder on the way
            raise closed(shown(value)) from None
        except OSError as error:  # a name is too long
            why = error.strerror or type(error).__name__
            raise Wrong("{value} cannot be read: {why}", value=shown(value), why=why) from None

    return Kind(checked)


def closed(path: str) -> Elsewhere:
    """This user may not read it. Named, for it is often not the one who is meant to run this."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container's number without a name
        user = str(os.geteuid())
    return Elsewhere("{path} may not be read by the user {user}", path=path, user=user)


@kind_of
def text(value: str, _folder: Path) -> str:
    """Any text in one line."""
    if any(ord(char) < 32 for char in value):
        raise Wrong("{value} is more than one line", value=shown(value))
    return value


@kind_of
def moment(value: str, _folder: Path) -> datetime:
    """A time as RFC 3339 writes it, with its offset."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or "T" not in value.upper():
        raise Wrong("{value} is not a time with its offset", value=shown(value))
    return found.astimezone(UTC)


@kind_of
def slug(value: str, _folder: Path) -> str:
    """A name in small letters, digits, - . _ ; it stands in log entries and never changes."""
    if not _SLUG.match(value):
        raise Wrong(
            "{value} is not a name: small letters, digits and - . _ only, at most 64",
            value=shown(value),
        )
    return value


def _boolean(value: object, _folder: Path) -> bool:
    if not isinstance(value, bool):
        raise Wrong("{value} is neither true nor false", value=shown(value))
    return value


boolean = Kind(_boolean)


def _integer(value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong("{value} is not an integer", value=shown(value))
    if not least <= value <= most:
        raise Wrong(
            "{value} is not between {least} and {most}",
            value=str(value), least=str(least), most=str(most),
        )  # fmt: skip
    return value


def count(*, least: int, most: int = 1_000_000) -> Kind[int]:
    """An integer."""
    return Kind(lambda value, _folder: _integer(value, least, most))


port = count(least=1, most=65535)


def _auto_or_count(value: object, _folder: Path) -> int | Literal["auto"]:
    return "auto" if value == "auto" else _integer(value, 1, 1024)


auto_or_count: Kind[int | Literal["auto"]] = Kind(_auto_or_count)


def choice(enum: type[E]) -> Kind[E]:
    """One of the values of an enumeration."""

    def read(value: str, _folder: Path) -> E:
        try:
            return enum(value)
        except ValueError:
            raise Wrong(
                "{value} is not one of {choices}",
                value=shown(value),
                choices=", ".join(shown(each.value) for each in enum),
            ) from None

    return kind_of(read)


def _duration(value: str) -> timedelta:
    match = _DURATION.match(value)
    if not match or int(match[1]) == 0 or int(match[1]) * _UNITS[match[2]] > 100 * 365 * 86400:
        raise Wrong("{value} is not a duration: a number and s, m, h or d", value=shown(value))
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


@kind_of
def duration(value: str, _folder: Path) -> timedelta:
    """ "30s", "5m", "4h", "5d"."""
    return _duration(value)


@kind_of
def duration_or_never(value: str, _folder: Path) -> timedelta | None:
    """ "4h", or "never" (None)."""
    return None if value == "never" else _duration(value)


@kind_of
def size(value: str, _folder: Path) -> int:
    """ "50 MB" (50,000,000 bytes) or "50 MiB" (52,428,800)."""
    match = _SIZE.match(value)
    if not match or int(match[1]) == 0:
        raise Wrong(
            "{value} is not a size: a number and B, kB, MB, GB, KiB, MiB or GiB",
            value=shown(value),
        )
    return int(match[1]) * _BYTES[match[2]]


@kind_of
def revocation(value: str, _folder: Path) -> timedelta:
    """ "hard-fail" (zero) or "grace 24h"."""
    if value == "hard-fail":
        return timedelta()
    word, _, rest = value.partition(" ")
    if word != "grace":
        raise Wrong(
            '{value} is neither "hard-fail" nor "grace" with a duration', value=shown(value)
        )
    return _duration(rest)


def list_of(kind: Kind[T], *, least: int = 0, repeats: bool = False) -> Kind[tuple[T, ...]]:
    """A list; every wrong item is told. repeats: the same item may stand there twice."""

    def read(value: object, folder: Path) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise Wrong("{value} is not a list; write it in [ ]", value=shown(value))
        items: list[T] = []
        wrong: Wrong | None = None
        for each in value:
            try:
                item = kind.read(each, folder)
                if item in items and not repeats:
                    raise Wrong("{value} stands there twice", value=shown(each))
                items.append(item)
            except Wrong as one:
                if wrong is None:
                    wrong = one
                else:
                    wrong.reasons += one.reasons
        if wrong is not None:
            raise wrong
        if len(items) < least:
            raise Wrong("this list is empty")
        return tuple(items)

    return Kind(read)


def one_or_more(kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """A list, or one value without the brackets."""
    many = list_of(kind, least=1)
    return Kind(
        lambda value, folder: many.read(value if isinstance(value, list) else [value], folder)
    )
