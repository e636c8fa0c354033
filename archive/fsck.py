"""Verification of the whole archive from stored bytes.

1. The log: every index from `since` on is there once, in canonical form, joined to the one before.
2. The payload of each entry is there and is the one committed to.
3. The ciphertexts, wherever they lie, and wrapped keys of each sealed mail are there and have the
   committed hashes.
4. With a key: each mail opens to the committed bytes, its header fields to the committed digests.
5. The head of the log agrees with the last entry, and nothing is stored that no entry explains.

Steps 1 to 3 and 5 need no key. What this cannot see: a log whose tail was cut off or recomputed
from some entry on together with its head. That takes evidence from outside the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from archive import chain, reading
from archive.blobs import Blobs
from archive.chain import Tip, Walk
from archive.entry import Entry, entry_hash
from archive.errors import EntryMalformed, Problem
from archive.findings import Findings, UnreadableError, attempt
from archive.fsck_stored import check_stored
from archive.models import (
    log_blobs,
    log_content_keys,
    log_contents,
    log_entries,
    log_payloads,
    log_working_wraps,
)
from archive.seal import Unwrapper

_CHUNK = 200


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was checked and what was found.

    status: "valid", "invalid", or "indeterminate" (nothing wrong was found, but some content could
        not be opened with the key given, or the blob store did not answer, or `since` lies beyond
        the end).
    entries: how many were checked. first_bad: lowest damaged index, None if none is, or if the
        damage is not in one entry. opened: mails opened and compared, None if no key was given.
    problems: the first hundred.
    """

    status: str
    entries: int
    first_bad: int | None
    opened: int | None
    problems: tuple[Problem, ...]


def verify(
    conn: sa.Connection,
    *,
    since: int = 0,
    open_with: Unwrapper | None = None,
    blobs: Blobs | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Check the log from index `since` on (the entry before is believed) and all it commits to.

    conn: a read transaction, one consistent state; memory does not grow with the log.
    open_with: a private key; opening is an act of the authority, to be logged by the caller.
    blobs: where large content lies.
    progress: called with (entries checked, entries in all) now and then.
    Raises LogMissing.
    """
    findings = Findings()
    checked = 0
    for checked, size in _walk(conn, max(since, 0), open_with, blobs, findings):
        if progress is not None:
            progress(checked, size)
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


def _walk(
    conn: sa.Connection,
    since: int,
    open_with: Unwrapper | None,
    blobs: Blobs | None,
    findings: Findings,
) -> Iterator[tuple[int, int]]:
    """All steps, piece by piece; yields (entries checked, entries in all)."""
    walk: Walk | None = None
    checked = 0
    try:
        tip = attempt(lambda: reading.head(conn))
        walk = attempt(lambda: _begin(conn, tip, since, findings))
        if walk is None:
            return
        for piece in _pieces(conn, since):
            entries = [one for one in (_step(walk, *row, findings) for row in piece) if one]
            check_stored(conn, entries, open_with, blobs, findings)
            checked += len(piece)
            yield checked, max(tip.size - since, checked)
        for fault in walk.finish(tip):
            findings.damage(fault.problem, fault.index)
        if since == 0:
            _check_strays(conn, tip, findings)
    except UnreadableError as error:
        findings.unreadable(error, walk.size if walk is not None else None)


def _begin(conn: sa.Connection, tip: Tip, since: int, findings: Findings) -> Walk | None:
    """The walk from `since` on; None if there is nothing to walk from."""
    if type(tip.size) is not int or type(tip.epoch) is not int:
        raise TypeError("the head of the log has no numbers")
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


def _pieces(conn: sa.Connection, since: int) -> Iterator[list[tuple[int, str, bytes]]]:
    """Rows of the log in pieces; UnreadableError at the row that cannot be read, not before."""
    count = _CHUNK
    while True:
        try:
            rows = attempt(lambda: _rows(conn, since, count))  # noqa: B023 - called at once
        except UnreadableError:
            if count == 1:
                raise
            count = 1
            continue
        if rows:
            yield rows
            since = rows[-1][0] + 1
        if len(rows) < count:
            return


def _rows(conn: sa.Connection, since: int, count: int) -> list[tuple[int, str, bytes]]:
    rows = list(reading.read_raw(conn, since, limit=count))
    if any(type(index) is not int for index, _, _ in rows):
        raise TypeError("an index is not a number")
    return rows


def _step(
    walk: Walk, index: int, archive_id: str, raw: bytes, findings: Findings
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


def _check_strays(conn: sa.Connection, tip: Tip, findings: Findings) -> None:
    """5: rows that no entry explains, found by counting what the walk has met."""
    for table, explained in (
        (log_payloads, findings.payloads),
        (log_contents, findings.contents),
    ):
        _stray(table.name, _count(conn, sa.select(table)) - explained, findings)
    # A name without an archive id is a blob that was swept, or is about to be: explained.
    for keys in (log_content_keys, log_working_wraps, log_blobs):
        orphans = sa.select(keys).where(
            keys.c.archive_id.is_not(None),
            ~sa.exists().where(log_contents.c.archive_id == keys.c.archive_id),
        )
        _stray(keys.name, _count(conn, orphans), findings)
    other_epochs = sa.select(log_entries).where(log_entries.c.epoch != tip.epoch)
    _stray(log_entries.name, _count(conn, other_epochs), findings)


def _count(conn: sa.Connection, query: sa.Select[tuple[object, ...]]) -> int:
    return conn.execute(sa.select(sa.func.count()).select_from(query.subquery())).scalar_one()


def _stray(table: str, count: int, findings: Findings) -> None:
    if count > 0:
        findings.damage(
            Problem(
                "log.stray",
                "{count} rows of {table} belong to no entry of the log",
                {"count": str(count), "table": table},
            )
        )
