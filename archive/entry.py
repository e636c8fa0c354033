"""A log entry: its fields, its one canonical form, its hashes. Pure.

The bytes of an entry are RFC 8785 JSON. The alphabets below leave nothing to escape and hold only
integers below 2**53, so canonical means here: keys in alphabetical order, no blanks, decimal
integers without leading zeros.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from archive.errors import EntryMalformed, Problem

VERSION = 1
MAX_INTEGER = 2**53 - 1  # RFC 8785 §3.2.2.3: beyond this JSON numbers are not exact everywhere

_ORIGIN = re.compile(r"[!#-*,-\[\]-~]{1,255}")  # printable ASCII without blank, '"', '+', '\'
_KIND = re.compile(r"(?=.{1,40}\Z)[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*")
_ORG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ID = re.compile(r"[0-9a-f]{32}")
_HASH = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log. Shows index, time, kind and a random id, nothing else in clear.

    origin: name of the log, as in a C2SP checkpoint (ASCII, no blank, no "+").
    epoch, index: which log of this origin, and the place in it, both from 0.
    time: aware UTC, microseconds; not promised to grow, the chain gives the order.
    kind: what happened ("accepted", "sealed", …): lower case, digits, "." and "-" between.
    org: organisation it belongs to. id: archive id, see `new_archive_id`.
    prev: hex SHA-256 of the entry before, `first_prev` for index 0.
    commitment: hex, of the payload (`archive.fields.commitment`).

    Raises EntryMalformed for values outside these alphabets.
    """

    origin: str
    epoch: int
    index: int
    time: datetime
    kind: str
    org: str
    id: str
    prev: str
    commitment: str
    v: int = VERSION

    def __post_init__(self) -> None:
        # Each value is checked where an entry comes to be, so that no caller can write something
        # that `decode` will refuse for ever after: the log cannot be repaired.
        if self.v != VERSION:
            raise _malformed("v", self.v)
        check_origin(self.origin)
        for name, number in (("epoch", self.epoch), ("index", self.index)):
            if type(number) is not int or not 0 <= number <= MAX_INTEGER:
                raise _malformed(name, number)
        if self.time.tzinfo is not UTC:
            raise _malformed("time", self.time)
        check_subject(self.kind, self.org, self.id)
        for name, value in (("prev", self.prev), ("commitment", self.commitment)):
            if not _HASH.fullmatch(value):
                raise _malformed(name, value)


def check_subject(kind: str, org: str, archive_id: str) -> None:
    """Raise EntryMalformed unless an entry can have these values."""
    for name, pattern, value in (
        ("kind", _KIND, kind),
        ("org", _ORG, org),
        ("id", _ID, archive_id),
    ):
        if not pattern.fullmatch(value):
            raise _malformed(name, value)


def _malformed(name: str, value: object) -> EntryMalformed:
    return EntryMalformed(
        Problem(
            "entry.value",
            "a log entry cannot have {value} as {name}",
            {"name": name, "value": repr(value)[:80]},
        )
    )


def check_origin(origin: str) -> None:
    """Raise EntryMalformed unless `origin` can name a log."""
    if not _ORIGIN.fullmatch(origin):
        raise _malformed("origin", origin)


def is_archive_id(text: str) -> bool:
    """True if `text` has the form of an archive id."""
    return _ID.fullmatch(text) is not None


def new_archive_id() -> str:
    """A random archive id: 128 bits as 32 hex digits, lower case.

    Hex, because every string of this form is a valid id and no id has two spellings; safe in an
    SMTP reply, a URL and a file name.
    """
    return secrets.token_hex(16)


def format_time(moment: datetime) -> str:
    """`2026-11-21T19:00:00.000000Z`. moment: aware, any zone."""
    moment = moment.astimezone(UTC)
    # strftime pads years below 1000 differently on different platforms; isoformat does not.
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> datetime:
    """The opposite of `format_time`, for exactly that form. Raises EntryMalformed."""
    if not _TIME.fullmatch(text):
        raise _malformed("time", text)
    try:
        return datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC)
    except ValueError:
        raise _malformed("time", text) from None


def encode(entry: Entry) -> bytes:
    """The canonical bytes of an entry (RFC 8785), without newline."""
    # No value can hold a character that JSON escapes (see the patterns), which makes this the
    # canonical form; `decode` and a property test against the general rule hold it to that.
    return (
        f'{{"commitment":"{entry.commitment}","epoch":{entry.epoch},"id":"{entry.id}",'
        f'"index":{entry.index},"kind":"{entry.kind}","org":"{entry.org}",'
        f'"origin":"{entry.origin}","prev":"{entry.prev}",'
        f'"time":"{format_time(entry.time)}","v":{entry.v}}}'
    ).encode("ascii")


_TYPES: dict[str, type] = {
    "commitment": str,
    "epoch": int,
    "id": str,
    "index": int,
    "kind": str,
    "org": str,
    "origin": str,
    "prev": str,
    "time": str,
    "v": int,
}


# What `encode` writes, with the same alphabets as above: nothing else is an entry.
_CANONICAL = re.compile(
    rb'\{"commitment":"([0-9a-f]{64})","epoch":(0|[1-9][0-9]{0,15}),"id":"([0-9a-f]{32})",'
    rb'"index":(0|[1-9][0-9]{0,15}),"kind":"([a-z0-9.-]{1,40})","org":"([A-Za-z0-9._-]{1,64})",'
    rb'"origin":"([!#-*,-\[\]-~]{1,255})","prev":"([0-9a-f]{64})","time":"([0-9T:.-]{26}Z)",'
    rb'"v":%d\}' % VERSION
)


def decode(data: bytes) -> Entry:
    """The entry in `data`, if `data` is exactly its canonical form.

    Raises EntryMalformed for everything else: other blanks, order or escapes, doubled, unknown or
    missing keys, other types, bytes before or after. Two forms of one entry would have two hashes.
    """
    match = _CANONICAL.fullmatch(data)
    if match is None:
        raise _why_not(data)
    text = [group.decode("ascii") for group in match.groups()]
    return Entry(
        commitment=text[0],
        epoch=int(text[1]),
        id=text[2],
        index=int(text[3]),
        kind=text[4],
        org=text[5],
        origin=text[6],
        prev=text[7],
        time=parse_time(text[8]),
    )


def _why_not(data: bytes) -> EntryMalformed:
    """What is wrong with bytes that are no entry, in words."""
    try:
        found: Any = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError):
        return _not_canonical("it is not JSON in ASCII")
    if not isinstance(found, dict) or found.keys() != _TYPES.keys():
        return _not_canonical("it does not have exactly the keys of an entry")
    for name, kind in _TYPES.items():
        if type(found[name]) is not kind:
            return _malformed(name, found[name])
    try:
        Entry(**{**found, "time": parse_time(found["time"])})
    except EntryMalformed as error:
        return error
    return _not_canonical("its canonical form has other bytes")


def _not_canonical(why: str) -> EntryMalformed:
    return EntryMalformed(
        Problem("entry.not-canonical", "these bytes are not a log entry: {why}", {"why": why})
    )


def entry_hash(data: bytes) -> str:
    """What the next entry holds as `prev`: hex SHA-256 of the entry's bytes."""
    return hashlib.sha256(data).hexdigest()


def leaf_hash(data: bytes) -> str:
    """Hex hash of the entry as leaf of an RFC 9162 §2.1.1 tree: SHA-256(0x00 ‖ bytes)."""
    return hashlib.sha256(b"\x00" + data).hexdigest()


def first_prev(origin: str) -> str:
    """`prev` of index 0: hex SHA-256 of the origin string."""
    return hashlib.sha256(origin.encode("ascii")).hexdigest()
