"""LDIF, as directories write themselves out (RFC 2849): one entry after the other. Pure.

A file of 200,000 people is a gigabyte: nothing but the entry at hand is in memory. An entry that
cannot be read is reported and passed over; the next one begins after the empty line.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pki.errors import Problem, StructureRefused, problem

# Of one entry. The largest things in it are photographs; CRLs of a million entries have no place.
MAX_ENTRY = 8_000_000
MAX_VALUES = 10_000

_BASE64 = b":"
_URL = b"<"


@dataclass(frozen=True, slots=True)
class LdifEntry:
    """number: of the entry in its file, from 1; line: where it begins.

    attributes: names in lower case without options (";binary", ";lang-fr"), values as octets.
    """

    number: int
    line: int
    dn: str
    attributes: dict[str, tuple[bytes, ...]]

    def values(self, *names: str) -> list[bytes]:
        """Values of these attributes, by the order of the names."""
        return [value for name in names for value in self.attributes.get(name.lower(), ())]


@dataclass(frozen=True, slots=True)
class LdifFault:
    """An entry that cannot be read, and why."""

    number: int
    line: int
    problem: Problem


def looks_like_ldif(beginning: bytes) -> bool:
    """Whether a file that begins so says that it is LDIF."""
    for line in beginning.removeprefix(b"\xef\xbb\xbf").splitlines():
        if line.strip() and not line.startswith(b"#"):
            return line.lower().startswith((b"version:", b"dn:"))
    return False


def read_ldif(file: BinaryIO) -> Iterator[LdifEntry | LdifFault]:
    """Every entry of a file opened in binary mode. Raises OSError."""
    number = 0
    for line, lines in _records(file):
        if isinstance(lines, Problem):
            number += 1
            yield LdifFault(number, line, lines)
            continue
        if number == 0 and lines[0].lower().startswith(b"version:"):
            del lines[0]  # may stand before the first entry without an empty line between
            if not lines:
                continue
        number += 1
        try:
            yield _entry(number, line, lines)
        except StructureRefused as error:
            yield LdifFault(number, line, error.problem)


def _records(file: BinaryIO) -> Iterator[tuple[int, list[bytes] | Problem]]:
    """Logical lines (§2: unfolded, without comments) between empty lines, and where they begin."""
    lines: list[bytes] = []
    parts: list[bytes] = []  # of the logical line at hand
    comment = False
    begin = size = at = 0
    while raw := file.readline(MAX_ENTRY):
        at += 1
        if at == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        text = raw.rstrip(b"\r\n")
        if not text:
            if parts:
                lines.append(b"".join(parts))
            if lines or size:
                yield begin, _too_large() if size > MAX_ENTRY else lines
            lines, parts, comment, size = [], [], False, 0
            continue
        if not size:
            begin = at
        size += len(raw)
        if size > MAX_ENTRY:
            lines, parts = [], []  # what is too large is not kept until its end comes
        elif text[:1] == b" ":
            if not comment:
                parts.append(text[1:])
            elif not lines:
                size = 0  # as below
        else:
            if parts:
                lines.append(b"".join(parts))
            comment = text[:1] == b"#"
            parts = [] if comment else [text]
            if comment and not lines:
                size = 0  # a comment before an entry belongs to none
    if parts:
        lines.append(b"".join(parts))
    if lines or size:
        yield begin, _too_large() if size > MAX_ENTRY else lines


def _too_large() -> Problem:
    return problem("limits.ldif", "it is larger than {limit} octets", limit=str(MAX_ENTRY))


def _unread(template: str, **facts: str) -> StructureRefused:
    return StructureRefused("structure.ldif", template, **facts)


def _entry(number: int, line: int, lines: list[bytes]) -> LdifEntry:
    dn = ""
    found: dict[str, list[bytes]] = {}
    if len(lines) > MAX_VALUES:
        raise _unread("it cannot be read: it has too many values")
    for index, text in enumerate(lines):
        name, value = _attribute(text)
        if index == 0:
            if name != "dn":
                raise _unread("it cannot be read: it does not begin with dn")
            dn = value.decode("utf-8", "replace")
        elif name == "changetype":
            if value.strip().lower() != b"add":
                raise _unread("it cannot be read: it is a change, and not an entry")
        elif name != "control":
            found.setdefault(name, []).append(value)
    return LdifEntry(number, line, dn, {name: tuple(values) for name, values in found.items()})


def _attribute(text: bytes) -> tuple[str, bytes]:
    name, colon, value = text.partition(b":")
    if not colon or not name:
        raise _unread("it cannot be read: a line has no colon")
    attribute = name.partition(b";")[0].decode("ascii", "replace").lower()
    if value[:1] == _BASE64:
        try:
            return attribute, base64.b64decode(value[1:].strip(), validate=True)
        except binascii.Error as error:
            raise _unread(
                "it cannot be read: the base64 of {attribute} is damaged", attribute=attribute
            ) from error
    if value[:1] == _URL:
        # A list from elsewhere does not say which of our files are read (§2, url-spec).
        raise _unread("it cannot be read: {attribute} is in another file", attribute=attribute)
    return attribute, value.lstrip(b" ")
