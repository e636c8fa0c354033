"""Verification of the whole archive from stored bytes.

1. The log: every index from `since` on is there once, in canonical form, joined to the one before.
2. The payload of each entry is there and is the one committed to.
3. The ciphertexts and wrapped keys of each sealed mail are there and have the committed hashes.
4. With a key: each mail opens to the committed bytes, its header fields to the committed digests.
5. The head of the log agrees with the last entry, and nothing is stored that no entry explains.

Steps 1 to 3 and 5 need no key. What this cannot see: a log whose tail was cut off or recomputed
from some entry on together with its head. That takes evidence from outside the database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa

from archive import chain, reading
from archive.chain import Tip, Walk
from archive.drafts import (
    SEALED_FIELDS_SHA256,
    SEALED_SHA256,
    WORKING_WRAP_SHA256,
    WRAPS_SHA256,
)
from archive.entry import Entry, entry_hash
from archive.errors import ArchiveError, Damaged, EntryMalformed, NotMine, Problem
from archive.models import (
    log_content_keys,
    log_contents,
    log_entries,
    log_payloads,
    log_working_wraps,
)
from archive.seal import Unwrapper, open_content, open_fields
from archive.store import Record
from archive.wrap import Wrap, wraps_hash

_CHUNK = 200
_MAX_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was checked and what was found.

    status: "valid", "invalid", or "indeterminate" (nothing wrong was found, but some content could
        not be opened with the key given, or `since` lies beyond the end).
    entries: how many were checked. first_bad: lowest damaged index, None if none is, or if the
        damage is not in one entry. opened: mails opened and compared, None if no key was given.
    problems: the first hundred.
    """

    status: str
    entries: int
    first_bad: int | None
    opened: int | None
    problems: tuple[Problem, ...]


@dataclass(slots=True)
class _Findings:
    damaged: bool = False
    unsure: bool = False
    first_bad: int | None = None
    opened: int = 0
    payloads: int = 0
    contents: int = 0
    problems: list[Problem] = field(default_factory=list)

    def damage(self, problem: Problem, index: int | None = None) -> None:
        self.damaged = True
        if index is not None and (self.first_bad is None or index < self.first_bad):
            self.first_bad = max(index, 0)
        self._note(problem)

    def doubt(self, problem: Problem) -> None:
        self.unsure = True
        self._note(problem)

    def _note(self, problem: Problem) -> None:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(problem)


def verify(
    conn: sa.Connection,
    *,
    since: int = 0,
    open_with: Unwrapper | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Check the log from index `since` on (the entry before is believed) and all it commits to.

    conn: a read transaction, one consistent state; memory does not grow with the log.
    open_with: a private key; opening is an act of the authority, to be logged by the caller.
    progress: called with (entries checked, entries in all) now and then.
    Raises LogMissing.
    """
    tip = reading.head(conn)
    findings = _Findings()
    walk = _begin(conn, tip, since, findings)
    checked = 0
    if walk is not None:
        for chunk in _chunks(reading.read_raw(conn, since)):
            entries = [one for one in (_step(walk, *row, findings) for row in chunk) if one]
            _check_stored(conn, entries, open_with, findings)
            checked += len(chunk)
            if progress is not None:
                progress(checked, max(tip.size - since, checked))
        for fault in walk.finish(tip):
            findings.damage(fault.problem, fault.index)
        if since == 0:
            _check_strays(conn, tip, findings)
    status = "indeterminate" if findings.unsure else "valid"
    if findings.damaged:
        status = "invalid"
    return VerifyReport(
        status=status,
        entries=checked,
        first_bad=findings.first_bad,
        opened=None if open_with is None else findings.opened,
        problems=tuple(findings.problems),
    )


def _begin(conn: sa.Connection, tip: Tip, since: int, findings: _Findings) -> Walk | None:
    """The walk from `since` on; None if there is nothing to walk from."""
    if since == 0:
        try:
            return Walk(chain.start(tip.origin, tip.epoch))
        except EntryMalformed as error:
            findings.damage(error.problem)
            return None
    before = next(reading.read_raw(conn, since - 1, limit=1), None)
    if before is None or before[0] != since - 1:
        findings.doubt(
            Problem(
                "log.since",
                "there is no entry {index} to start behind; the log has {size} entries",
                {"index": str(since - 1), "size": str(tip.size)},
            )
        )
        return None
    return Walk(Tip(tip.origin, tip.epoch, since, entry_hash(before[2])))


def _chunks(
    rows: Iterator[tuple[int, str, bytes]],
) -> Iterator[list[tuple[int, str, bytes]]]:
    chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _step(
    walk: Walk, index: int, archive_id: str, raw: bytes, findings: _Findings
) -> tuple[Entry, bytes] | None:
    """1: the entry in its place."""
    if index > walk.size:
        for fault in walk.skip_to(index):
            findings.damage(fault.problem, fault.index)
    entry, faults = walk.step(raw)
    for fault in faults:
        findings.damage(fault.problem, fault.index)
    if entry is None:
        return None
    if entry.id != archive_id:
        findings.damage(
            Problem(
                "log.filed-wrong",
                "entry {index} about {id} is filed under {filed}",
                {"index": str(index), "id": entry.id, "filed": archive_id[:40]},
            ),
            index,
        )
    return entry, raw


def _check_stored(
    conn: sa.Connection,
    entries: list[tuple[Entry, bytes]],
    open_with: Unwrapper | None,
    findings: _Findings,
) -> None:
    """2: the payloads of some entries, and what hangs on them."""
    sealed: dict[str, Record] = {}
    found = reading.records(conn, [raw for _, raw in entries])
    for (entry, _), one in zip(entries, found, strict=True):
        if isinstance(one, Damaged):
            findings.payloads += 1
            findings.damage(one.problem, entry.index)
        elif one.payload is None:
            findings.damage(_missing("payload", "the payload", entry), entry.index)
        else:
            findings.payloads += 1
            if reading.has_content(one):
                sealed[entry.id] = one
    _check_sealed(conn, sealed, open_with, findings)


def _check_sealed(
    conn: sa.Connection,
    sealed: dict[str, Record],
    open_with: Unwrapper | None,
    findings: _Findings,
) -> None:
    """3: ciphertexts and wrapped keys."""
    ids = list(sealed)
    wraps = reading.read_wraps(conn, ids)
    missing = set(ids)
    for archive_id, content, fields in reading.read_contents(conn, ids):
        missing.discard(archive_id)
        findings.contents += 1
        record, keys = sealed[archive_id], wraps[archive_id]
        intact = _compare(
            record,
            {
                SEALED_SHA256: hashlib.sha256(content).hexdigest(),
                SEALED_FIELDS_SHA256: hashlib.sha256(fields).hexdigest(),
                WRAPS_SHA256: wraps_hash(keys[0]),
                # Erased when the mail is settled; while it is there it must be the one.
                **({WORKING_WRAP_SHA256: wraps_hash([keys[1]])} if keys[1] else {}),
            },
            findings,
        )
        if open_with is not None and intact:
            _open(record, content, fields, *keys, open_with, findings)
    for archive_id in missing:
        entry = sealed[archive_id].entry
        findings.damage(_missing("content", "the sealed content", entry), entry.index)


def _compare(record: Record, found: dict[str, str], findings: _Findings) -> bool:
    intact = True
    for name, digest in found.items():
        if record.value(name) != digest.encode("ascii"):
            intact = False
            findings.damage(
                Problem(
                    "content.changed",
                    "what is stored for entry {index} ({id}) does not have the committed {name}",
                    {"index": str(record.entry.index), "id": record.entry.id, "name": name},
                ),
                record.entry.index,
            )
    return intact


def _open(
    record: Record,
    content: bytes,
    fields: bytes,
    wraps: list[Wrap],
    working: Wrap | None,
    open_with: Unwrapper,
    findings: _Findings,
) -> None:
    """4: the plaintext."""
    try:
        sealed = reading.assemble(record, content, fields, wraps, working)
        open_content(sealed, open_with)
        open_fields(sealed, open_with)
    except NotMine as error:
        findings.doubt(error.problem)
    except ArchiveError as error:
        findings.damage(error.problem, record.entry.index)
    else:
        findings.opened += 1


def _missing(area: str, what: str, entry: Entry) -> Problem:
    return Problem(
        f"{area}.missing",
        "{what} of entry {index} ({id}) is not there",
        {"what": what, "index": str(entry.index), "id": entry.id},
    )


def _check_strays(conn: sa.Connection, tip: Tip, findings: _Findings) -> None:
    """5: rows that no entry explains, found by counting what the walk has met."""
    for table, explained in (
        (log_payloads, findings.payloads),
        (log_contents, findings.contents),
    ):
        _stray(table.name, _count(conn, sa.select(table)) - explained, findings)
    for keys in (log_content_keys, log_working_wraps):
        orphans = sa.select(keys).where(
            ~sa.exists().where(log_contents.c.archive_id == keys.c.archive_id)
        )
        _stray(keys.name, _count(conn, orphans), findings)
    other_epochs = sa.select(log_entries).where(log_entries.c.epoch != tip.epoch)
    _stray(log_entries.name, _count(conn, other_epochs), findings)


def _count(conn: sa.Connection, query: sa.Select[tuple[object, ...]]) -> int:
    return conn.execute(sa.select(sa.func.count()).select_from(query.subquery())).scalar_one()


def _stray(table: str, count: int, findings: _Findings) -> None:
    if count > 0:
        findings.damage(
            Problem(
                "log.stray",
                "{count} rows of {table} belong to no entry of the log",
                {"count": str(count), "table": table},
            )
        )
