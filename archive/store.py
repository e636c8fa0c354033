"""The archive in the database: appending entries, reading them back. SQLAlchemy Core.

All functions work inside the caller's transaction; who opened it commits it. What is appended
counts only when that commit has returned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from archive import chain
from archive.chain import Tip
from archive.entry import Entry, check_subject, decode, is_archive_id
from archive.errors import (
    Damaged,
    EntryMalformed,
    LogExists,
    LogMissing,
    NotInArchive,
    PayloadMalformed,
    Problem,
)
from archive.fields import (
    NAMES,
    Field,
    Open,
    Payload,
    Withheld,
    commitment,
    decode_payload,
    encode_payload,
    list_names,
    names_agree,
    salted,
)
from archive.models import (
    log_content_keys,
    log_contents,
    log_entries,
    log_head,
    log_payloads,
    log_working_wraps,
)
from archive.seal import Sealed
from archive.wrap import Wrap, wraps_hash

# Fields that the store adds to the payload of an entry with sealed content.
CONTENT_SHA256 = "content.sha256"
CONTENT_SIZE = "content.size"
SEALED_SHA256 = "sealed.sha256"
SEALED_FIELDS_SHA256 = "sealed-fields.sha256"
WRAPS_SHA256 = "wraps.sha256"
WORKING_WRAP_SHA256 = "working-wrap.sha256"

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry to be written. fields: name → value, committed to with a salt each.

    sealed: content that comes into the archive with this entry; once for an archive id.
    """

    kind: str
    org: str
    archive_id: str
    fields: Mapping[str, bytes] = field(repr=False)
    sealed: Sealed | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A draft whose hashes are computed: all that needs neither database nor place in the log."""

    draft: Draft
    commitment: str
    payload: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes that will be written, about."""
        sealed = self.draft.sealed
        return len(self.payload) + (len(sealed.content) + len(sealed.fields) if sealed else 0)


@dataclass(frozen=True, slots=True)
class Record:
    """A stored entry with its bytes and its payload (None if the payload was erased)."""

    entry: Entry
    raw: bytes = field(repr=False)
    payload: Payload | None = field(repr=False)

    def value(self, name: str) -> bytes | None:
        """Value of a field; None if there is no such field or it is withheld."""
        one = (self.payload or {}).get(name)
        return one.value if isinstance(one, Open) else None


def create_log(conn: sa.Connection, origin: str) -> None:
    """Begin an empty log. origin: its name for ever, see `archive.entry.Entry`.

    Raises LogExists if there is a log, EntryMalformed if origin cannot name one.
    """
    tip = chain.start(origin)
    found = conn.execute(sa.select(log_head.c.origin)).scalar()
    if found is not None:
        raise LogExists(
            Problem("log.exists", "the database holds the log {origin}", {"origin": found})
        )
    conn.execute(
        sa.insert(log_head).values(epoch=tip.epoch, origin=origin, size=tip.size, prev=tip.prev)
    )


def head(conn: sa.Connection) -> Tip:
    """Where the log stands: origin, epoch, number of entries, hash of the last. LogMissing."""
    return _head(conn, lock=False)


def _head(conn: sa.Connection, *, lock: bool) -> Tip:
    query = sa.select(log_head).order_by(log_head.c.epoch.desc()).limit(1)
    row = conn.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise LogMissing(
            Problem("log.missing", "the database holds no archive log: it was never set up")
        )
    return Tip(row.origin, row.epoch, row.size, row.prev)


def prepare(draft: Draft) -> Prepared:
    """Salt the fields and compute the commitment. Pure; call it before the transaction.

    Raises PayloadMalformed (names), EntryMalformed (kind, org, id).
    """
    # Everything an entry can be refused for is found here, so that one bad draft shows before it
    # shares a transaction with others.
    check_subject(draft.kind, draft.org, draft.archive_id)
    values = dict(draft.fields)
    withheld: Mapping[str, Withheld] = {}
    if draft.sealed is not None:
        own = _sealed_values(draft.sealed)
        withheld = draft.sealed.withheld
        if draft.sealed.archive_id != draft.archive_id:
            raise _clash("the content was sealed for another archive id")
        if not own.keys().isdisjoint(values) or not (own.keys() | values).isdisjoint(withheld):
            raise _clash("a name stands for two fields")
        values |= own
    if NAMES in values or NAMES in withheld:
        raise _clash(f'"{NAMES}" is written by the store')
    values[NAMES] = list_names((*values, *withheld))
    payload: dict[str, Field] = {**salted(values), **withheld}
    return Prepared(draft, commitment(payload), encode_payload(payload))


def _sealed_values(sealed: Sealed) -> dict[str, bytes]:
    values = {
        CONTENT_SHA256: sealed.content_sha256.encode("ascii"),
        CONTENT_SIZE: str(sealed.content_size).encode("ascii"),
        SEALED_SHA256: hashlib.sha256(sealed.content).hexdigest().encode("ascii"),
        SEALED_FIELDS_SHA256: hashlib.sha256(sealed.fields).hexdigest().encode("ascii"),
        WRAPS_SHA256: wraps_hash(sealed.wraps).encode("ascii"),
    }
    if sealed.working is not None:
        values[WORKING_WRAP_SHA256] = wraps_hash([sealed.working]).encode("ascii")
    return values


def _clash(why: str) -> PayloadMalformed:
    return PayloadMalformed(
        Problem("payload.clash", "these fields cannot be in one payload: {why}", {"why": why})
    )


def append(
    conn: sa.Connection, drafts: Sequence[Draft], *, origin: str, now: datetime
) -> list[Entry]:
    """Write entries at the end of the log, in this order. See `append_prepared`."""
    return append_prepared(conn, [prepare(one) for one in drafts], origin=origin, now=now)


def append_prepared(
    conn: sa.Connection, prepared: Sequence[Prepared], *, origin: str, now: datetime
) -> list[Entry]:
    """Write prepared entries at the end of the log, in this order; `now` becomes their time.

    The head row is locked from here to the end of the caller's transaction: call it last.
    Raises LogMissing, LogExists (the log has another origin), sqlalchemy.exc.IntegrityError (an
    archive id that has content already).
    """
    if not prepared:
        return []
    _insert_bulk(conn, prepared)
    tip = _head(conn, lock=True)
    if tip.origin != origin:
        raise LogExists(
            Problem("log.exists", "the database holds the log {origin}", {"origin": tip.origin})
        )
    epoch = tip.epoch
    moment = now.astimezone(UTC)
    entries: list[Entry] = []
    rows: list[dict[str, Any]] = []
    for one in prepared:
        entry, data, tip = chain.link(
            tip,
            time=moment,
            kind=one.draft.kind,
            org=one.draft.org,
            archive_id=one.draft.archive_id,
            commitment=one.commitment,
        )
        entries.append(entry)
        rows.append(
            {"epoch": epoch, "entry_index": entry.index, "archive_id": entry.id, "entry": data}
        )
    conn.execute(sa.insert(log_entries), rows)
    conn.execute(
        sa.update(log_head).where(log_head.c.epoch == epoch).values(size=tip.size, prev=tip.prev)
    )
    return entries


def _insert_bulk(conn: sa.Connection, prepared: Sequence[Prepared]) -> None:
    contents: list[dict[str, Any]] = []
    keys: list[dict[str, Any]] = []
    working: list[dict[str, Any]] = []
    for one in prepared:
        sealed = one.draft.sealed
        if sealed is None:
            continue
        archive_id = sealed.archive_id
        contents.append(
            {
                "archive_id": archive_id,
                "sealed": sealed.content,
                "sealed_fields": sealed.fields,
            }
        )
        keys += [
            {"archive_id": archive_id, "holder": wrap.holder, "wrapped": wrap.wrapped}
            for wrap in sealed.wraps
        ]
        if (wrap := sealed.working) is not None:
            working.append(
                {"archive_id": archive_id, "holder": wrap.holder, "wrapped": wrap.wrapped}
            )
    payloads = [{"commitment": one.commitment, "payload": one.payload} for one in prepared]
    for table, rows in (
        (log_contents, contents),
        (log_content_keys, keys),
        (log_working_wraps, working),
        (log_payloads, payloads),
    ):
        if rows:
            conn.execute(sa.insert(table), rows)


def read_raw(
    conn: sa.Connection, since: int = 0, *, limit: int | None = None
) -> Iterator[tuple[int, str, bytes]]:
    """(index, archive id as in the row, bytes) of entries from `since` on, unchecked, in order.

    Reads in pieces: memory stays small however long the log is.
    """
    epoch = head(conn).epoch
    left = limit
    while left is None or left > 0:
        count = _CHUNK if left is None else min(_CHUNK, left)
        rows = conn.execute(
            sa.select(log_entries.c.entry_index, log_entries.c.archive_id, log_entries.c.entry)
            .where(log_entries.c.epoch == epoch, log_entries.c.entry_index >= since)
            .order_by(log_entries.c.entry_index)
            .limit(count)
        ).all()
        for row in rows:
            yield row.entry_index, row.archive_id, bytes(row.entry)
        if len(rows) < count:
            return
        since = rows[-1].entry_index + 1
        left = None if left is None else left - count


def read_entries(
    conn: sa.Connection, since: int = 0, *, limit: int | None = None
) -> Iterator[Entry]:
    """The entries from index `since` on, in order. Raises LogMissing, EntryMalformed (damage)."""
    for _, _, data in read_raw(conn, since, limit=limit):
        yield decode(data)


def history(conn: sa.Connection, archive_id: str) -> list[Record]:
    """All entries about one archive id, oldest first, each with its payload.

    Raises NotInArchive if there is none, Damaged if an entry or payload is not as committed.
    """
    rows = conn.execute(
        sa.select(log_entries.c.entry)
        .where(log_entries.c.archive_id == archive_id)
        .order_by(log_entries.c.epoch, log_entries.c.entry_index)
    ).all()
    if not rows or not is_archive_id(archive_id):
        raise NotInArchive(
            Problem("log.no-such-id", "the archive has no entry {id}", {"id": archive_id[:80]})
        )
    return records(conn, [bytes(row.entry) for row in rows])


def records(conn: sa.Connection, raws: Sequence[bytes]) -> list[Record]:
    """These entries with their payloads. Raises Damaged."""
    try:
        entries = [decode(raw) for raw in raws]
    except EntryMalformed as error:
        raise Damaged(error.problem) from error
    stored = read_payloads(conn, [entry.commitment for entry in entries])
    found = []
    for entry, raw in zip(entries, raws, strict=True):
        data = stored.get(entry.commitment)
        found.append(Record(entry, raw, None if data is None else _committed(entry, data)))
    return found


def _committed(entry: Entry, data: bytes) -> Payload:
    try:
        payload = decode_payload(data)
    except PayloadMalformed as error:
        raise Damaged(error.problem) from error
    problem = check_payload(entry, payload)
    if problem is not None:
        raise Damaged(problem)
    return payload


def check_payload(entry: Entry, payload: Payload) -> Problem | None:
    """What is wrong with a payload that should be the one this entry commits to. Pure."""
    if commitment(payload) != entry.commitment:
        return Problem(
            "payload.not-committed",
            "the payload of entry {index} is not the one the log committed to",
            {"index": str(entry.index)},
        )
    if not names_agree(payload):
        return Problem(
            "payload.names",
            "the payload of entry {index} has fields of other names than committed to",
            {"index": str(entry.index)},
        )
    return None


def read_payloads(conn: sa.Connection, commitments: Sequence[str]) -> dict[str, bytes]:
    """Stored payload bytes by commitment, unchecked."""
    found: dict[str, bytes] = {}
    for start in range(0, len(commitments), _CHUNK):
        rows = conn.execute(
            sa.select(log_payloads.c.commitment, log_payloads.c.payload).where(
                log_payloads.c.commitment.in_(commitments[start : start + _CHUNK])
            )
        )
        found.update((row.commitment, bytes(row.payload)) for row in rows)
    return found


def read_wraps(
    conn: sa.Connection, archive_ids: Sequence[str]
) -> dict[str, tuple[list[Wrap], Wrap | None]]:
    """Wraps to archive recipients, and to the working key if there still is one, by archive id."""
    found: dict[str, tuple[list[Wrap], Wrap | None]] = {one: ([], None) for one in archive_ids}
    for start in range(0, len(archive_ids), _CHUNK):
        chunk = archive_ids[start : start + _CHUNK]
        for row in conn.execute(
            sa.select(log_content_keys)
            .where(log_content_keys.c.archive_id.in_(chunk))
            .order_by(log_content_keys.c.archive_id, log_content_keys.c.holder)
        ):
            found[row.archive_id][0].append(Wrap(row.holder, bytes(row.wrapped)))
        for row in conn.execute(
            sa.select(log_working_wraps).where(log_working_wraps.c.archive_id.in_(chunk))
        ):
            wraps, _ = found[row.archive_id]
            found[row.archive_id] = (wraps, Wrap(row.holder, bytes(row.wrapped)))
    return found


def read_contents(
    conn: sa.Connection, archive_ids: Sequence[str]
) -> Iterator[tuple[str, bytes, bytes]]:
    """(archive id, sealed content, sealed fields), unchecked, few in memory at a time."""
    streaming = conn.execution_options(stream_results=True, max_row_buffer=4)
    for start in range(0, len(archive_ids), _CHUNK):
        rows = streaming.execute(
            sa.select(log_contents).where(
                log_contents.c.archive_id.in_(archive_ids[start : start + _CHUNK])
            )
        )
        for row in rows:
            yield row.archive_id, bytes(row.sealed), bytes(row.sealed_fields)


def has_content(record: Record) -> bool:
    """True if content came into the archive with this entry."""
    return record.value(SEALED_SHA256) is not None


def assemble(
    record: Record,
    content: bytes,
    fields: bytes,
    wraps: Sequence[Wrap],
    working: Wrap | None,
) -> Sealed:
    """The sealed mail as the entry's payload describes it. Raises Damaged. Pure."""
    digest, size = record.value(CONTENT_SHA256), record.value(CONTENT_SIZE)
    payload = record.payload
    if digest is None or size is None or not size.isdigit() or payload is None:
        raise Damaged(
            Problem(
                "content.undescribed",
                "entry {index} does not say what content it sealed",
                {"index": str(record.entry.index)},
            )
        )
    return Sealed(
        archive_id=record.entry.id,
        content=content,
        fields=fields,
        wraps=tuple(wraps),
        working=working,
        content_sha256=digest.decode("ascii"),
        content_size=int(size),
        withheld={name: one for name, one in payload.items() if isinstance(one, Withheld)},
    )


def load_sealed_of(conn: sa.Connection, found: Sequence[Record]) -> dict[str, Sealed]:
    """Sealed content of these entries by archive id; entries without stored content are left out.

    Raises Damaged.
    """
    with_content = {one.entry.id: one for one in found if has_content(one)}
    wraps = read_wraps(conn, list(with_content))
    return {
        archive_id: assemble(with_content[archive_id], content, fields, *wraps[archive_id])
        for archive_id, content, fields in read_contents(conn, list(with_content))
    }


def load_sealed(conn: sa.Connection, archive_id: str) -> Sealed:
    """The sealed content of one mail, with what the log commits to. Opens nothing.

    Raises NotInArchive, Damaged.
    """
    return sealed_in(conn, history(conn, archive_id))


def sealed_in(conn: sa.Connection, found: Sequence[Record]) -> Sealed:
    """The sealed content that came with one of these entries (of one archive id)."""
    for record in found:
        if has_content(record):
            sealed = load_sealed_of(conn, [record]).get(record.entry.id)
            if sealed is not None:
                return sealed
    raise NotInArchive(
        Problem(
            "content.none",
            "there is no stored content for {id}",
            {"id": found[0].entry.id if found else ""},
        )
    )
