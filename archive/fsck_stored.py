"""Verification of what entries commit to: payloads, ciphertexts, wrapped keys, plaintexts.

The numbers of steps are those of `archive.fsck`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa

from archive import reading
from archive.blobs import Blobs
from archive.drafts import SEALED_FIELDS_SHA256, SEALED_SHA256, WORKING_WRAP_SHA256, WRAPS_SHA256
from archive.entry import Entry
from archive.errors import (
    ArchiveError,
    BlobMissing,
    BlobTrouble,
    Damaged,
    NotMine,
    Problem,
)
from archive.findings import Findings, UnreadableError, attempt
from archive.reading import Record
from archive.seal import Unwrapper, open_content, open_fields
from archive.wrap import Wrap, wraps_hash


def check_stored(
    conn: sa.Connection,
    entries: Sequence[tuple[Entry, bytes]],
    open_with: Unwrapper | None,
    blobs: Blobs | None,
    findings: Findings,
) -> None:
    """Steps 2 to 4 for some entries and their bytes."""
    part = Findings()
    try:
        attempt(lambda: _check_payloads(conn, entries, open_with, blobs, part))
    except UnreadableError as error:
        if len(entries) == 1:
            findings.unreadable(error, entries[0][0].index)
            return
        for entry in entries:  # which one is it?
            check_stored(conn, [entry], open_with, blobs, findings)
    else:
        findings.add(part)


def _check_payloads(
    conn: sa.Connection,
    entries: Sequence[tuple[Entry, bytes]],
    open_with: Unwrapper | None,
    blobs: Blobs | None,
    findings: Findings,
) -> None:
    """2: the payloads, and what hangs on them."""
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
    _check_sealed(conn, sealed, open_with, blobs, findings)


def _check_sealed(
    conn: sa.Connection,
    sealed: dict[str, Record],
    open_with: Unwrapper | None,
    blobs: Blobs | None,
    findings: Findings,
) -> None:
    """3: ciphertexts and wrapped keys."""
    ids = list(sealed)
    wraps = reading.read_wraps(conn, ids)
    missing = set(ids)
    for archive_id, stored, fields, blob in reading.read_contents(conn, ids):
        missing.discard(archive_id)
        findings.contents += 1
        record, keys = sealed[archive_id], wraps[archive_id]
        content: bytes | None = stored
        if blob is not None and not stored:
            content = _fetch(record, blob, blobs, findings)
        digest = {} if content is None else {SEALED_SHA256: hashlib.sha256(content).hexdigest()}
        intact = _compare(
            record,
            {
                **digest,
                SEALED_FIELDS_SHA256: hashlib.sha256(fields).hexdigest(),
                WRAPS_SHA256: wraps_hash(keys[0]),
                # Erased when the mail is settled; while it is there it must be the one.
                **({WORKING_WRAP_SHA256: wraps_hash([keys[1]])} if keys[1] else {}),
            },
            findings,
        )
        if open_with is not None and intact and content is not None:
            _open(record, content, fields, *keys, open_with, findings)
    for archive_id in missing:
        entry = sealed[archive_id].entry
        findings.damage(_missing("content", "the sealed content", entry), entry.index)


def _fetch(record: Record, name: str, blobs: Blobs | None, findings: Findings) -> bytes | None:
    """The octets of a blob; None, with a finding, where they are not to be had."""
    entry = record.entry
    facts = {"index": str(entry.index), "id": entry.id, "blob": name[:100]}
    if blobs is None:
        template = "the content of entry {index} ({id}) lies in the blob {blob}; no store is known"
        findings.doubt(Problem("blobs.not-configured", template, facts))
        return None
    try:
        return blobs.fetch(name)
    except BlobTrouble as error:
        template = "the blob {blob} of entry {index} ({id}) could not be read: {why}"
        facts["why"] = error.problem.text
        findings.doubt(Problem("blobs.unreachable", template, facts))
    except BlobMissing:
        template = "the blob {blob} of entry {index} ({id}) is not there"
        findings.damage(Problem("blobs.missing", template, facts), entry.index)
    except Damaged:
        template = "the blob {blob} of entry {index} ({id}) is not what was stored"
        findings.damage(Problem("blobs.damaged", template, facts), entry.index)
    return None


def _compare(record: Record, found: dict[str, str], findings: Findings) -> bool:
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
    findings: Findings,
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
