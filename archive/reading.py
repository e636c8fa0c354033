"""Reading the archive's tables. Nothing is opened here, and nothing is believed unchecked.

Functions named `read_…` give stored bytes as they are, for verification; the others compare with
what the log committed to. All work inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from archive.chain import Tip
from archive.drafts import CONTENT_SHA256, CONTENT_SIZE, SEALED_SHA256
from archive.entry import Entry, decode, is_archive_id
from archive.errors import (
    Damaged,
    EntryMalformed,
    LogMissing,
    NotInArchive,
    PayloadMalformed,
    Problem,
)
from archive.fields import (
    Open,
    Payload,
    Withheld,
    commitment,
    decode_payload,
    names_agree,
    unsafe_stated,
)
from archive.models import (
    log_blobs,
    log_content_keys,
    log_contents,
    log_entries,
    log_head,
    log_payloads,
    log_working_wraps,
)
from archive.pieces import pieces
from archive.seal import Sealed
from archive.wrap import Wrap

# Made once: see `archive.store`.
_HEAD = sa.select(log_head).order_by(log_head.c.epoch.desc()).limit(1)
_LOCKED_HEAD = _HEAD.with_for_update()
_WORKING_WRAPS = sa.select(log_working_wraps).where(
    log_working_wraps.c.archive_id.in_(sa.bindparam("ids", expanding=True))
)
_CONTENTS = (
    sa.select(log_contents, log_blobs.c.name.label("blob"))
    .select_from(
        log_contents.outerjoin(log_blobs, log_blobs.c.archive_id == log_contents.c.archive_id)
    )
    .where(log_contents.c.archive_id.in_(sa.bindparam("ids", expanding=True)))
)

_CHUNK = 500


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


def head(conn: sa.Connection, *, lock: bool = False) -> Tip:
    """Where the log stands: origin, epoch, number of entries, hash of the last.

    lock: keep other appenders out until the end of the transaction. Raises LogMissing.
    """
    row = conn.execute(_LOCKED_HEAD if lock else _HEAD).first()
    if row is None:
        raise LogMissing(
            Problem("log.missing", "the database holds no archive log: it was never set up")
        )
    return Tip(row.origin, row.epoch, row.size, row.prev)


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
    found = []
    for one in records(conn, [bytes(row.entry) for row in rows]):
        if isinstance(one, Damaged):
            raise one
        found.append(one)
    return found


def records(conn: sa.Connection, raws: Sequence[bytes]) -> list[Record | Damaged]:
    """These entries with their payloads, in order; a Damaged where one is not as committed."""
    decoded: list[Entry | Damaged] = []
    for raw in raws:
        try:
            decoded.append(decode(raw))
        except EntryMalformed as error:
            decoded.append(Damaged(error.problem))
    stored = read_payloads(conn, [one.commitment for one in decoded if isinstance(one, Entry)])
    return [
        one if isinstance(one, Damaged) else _record(one, raw, stored.get(one.commitment))
        for one, raw in zip(decoded, raws, strict=True)
    ]


def _record(entry: Entry, raw: bytes, stored: bytes | None) -> Record | Damaged:
    if stored is None:
        return Record(entry, raw, None)
    try:
        payload = decode_payload(stored)
    except PayloadMalformed as error:
        return Damaged(error.problem)
    problem = check_payload(entry, payload)
    return Record(entry, raw, payload) if problem is None else Damaged(problem)


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
    for piece in pieces(commitments):
        rows = conn.execute(
            sa.select(log_payloads.c.commitment, log_payloads.c.payload).where(
                log_payloads.c.commitment.in_(piece)
            )
        )
        found.update((row.commitment, bytes(row.payload)) for row in rows)
    return found


def read_wraps(
    conn: sa.Connection, archive_ids: Sequence[str]
) -> dict[str, tuple[list[Wrap], Wrap | None]]:
    """Wraps to archive recipients, and to the working key if there still is one, by archive id."""
    found: dict[str, tuple[list[Wrap], Wrap | None]] = {one: ([], None) for one in archive_ids}
    for piece in pieces(archive_ids):
        for row in conn.execute(
            sa.select(log_content_keys)
            .where(log_content_keys.c.archive_id.in_(piece))
            .order_by(log_content_keys.c.archive_id, log_content_keys.c.holder)
        ):
            found[row.archive_id][0].append(Wrap(row.holder, bytes(row.wrapped)))
        for row in conn.execute(
            sa.select(log_working_wraps).where(log_working_wraps.c.archive_id.in_(piece))
        ):
            wraps, _ = found[row.archive_id]
            found[row.archive_id] = (wraps, Wrap(row.holder, bytes(row.wrapped)))
    return found


def read_contents(
    conn: sa.Connection, archive_ids: Sequence[str]
) -> Iterator[tuple[str, bytes, bytes, str | None]]:
    """(archive id, sealed content, sealed fields, blob), unchecked, few in memory at a time.

    blob: name of the blob that holds the content, which is then empty here.
    """
    # For this statement alone: set on the connection it would make a cursor of every later one.
    options = {"stream_results": True, "max_row_buffer": 4}
    for ids in pieces(archive_ids):
        rows = conn.execute(_CONTENTS, {"ids": ids}, execution_options=options)
        for row in rows:
            # Whatever stands there: what is no name of a blob is a blob that is missing.
            blob = None if row.blob is None else str(row.blob)
            yield row.archive_id, bytes(row.sealed), bytes(row.sealed_fields), blob


def has_content(record: Record) -> bool:
    """True if content came into the archive with this entry."""
    return record.value(SEALED_SHA256) is not None


def assemble(
    record: Record,
    content: bytes,
    fields: bytes,
    wraps: Sequence[Wrap],
    working: Wrap | None,
    blob: str | None = None,
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
        blob=blob,
    )


def load_sealed_of(conn: sa.Connection, found: Sequence[Record]) -> dict[str, Sealed]:
    """Sealed content of these entries by archive id; entries without stored content are left out.

    What lies in a blob is not fetched: see `archive.blobs.filled`.

    Raises Damaged.
    """
    with_content = {one.entry.id: one for one in found if has_content(one)}
    wraps = read_wraps(conn, list(with_content))
    return {
        archive_id: assemble(
            with_content[archive_id], content, fields, *wraps[archive_id], blob=blob
        )
        for archive_id, content, fields, blob in read_contents(conn, list(with_content))
    }


def load_sealed(conn: sa.Connection, archive_id: str) -> Sealed:
    """The sealed content of one mail, with what the log commits to. Opens nothing.

    Raises NotInArchive, Damaged.
    """
    return sealed_in(conn, history(conn, archive_id))


@dataclass(frozen=True, slots=True)
class InFlight:
    """What the caller remembers of a mail that it has just put into the archive.

    sha256 (hex), size: of the bytes as they came.
    """

    archive_id: str
    sha256: str
    size: int


def unsafe_stated_mails(conn: sa.Connection, brought: Mapping[str, str]) -> dict[str, InFlight]:
    """Mails by archive id, as payloads state them that nobody compares with the log.

    brought: archive id → commitment of the entry that brought the content. Mails whose payload is
    away, cannot be read or does not tell are left out. For a projection of the log: a payload that
    was changed tells of content that does not open, or opens as what it is.
    """
    stored = read_payloads(conn, list(brought.values()))
    found = {}
    for archive_id, one in brought.items():
        stated = unsafe_stated(stored.get(one, b""), (CONTENT_SHA256, CONTENT_SIZE))
        digest, size = (stated or {}).get(CONTENT_SHA256), (stated or {}).get(CONTENT_SIZE)
        if digest is not None and size is not None and size.isdigit() and len(size) < 16:
            sha256 = digest.decode("ascii", "replace")
            found[archive_id] = InFlight(archive_id, sha256, int(size))
    return found


def load_in_flight(conn: sa.Connection, mails: Sequence[InFlight]) -> dict[str, Sealed]:
    """As `read_in_flight`, all at once, by archive id."""
    return {one.archive_id: one for one in read_in_flight(conn, mails)}


def read_in_flight(conn: sa.Connection, mails: Sequence[InFlight]) -> Iterator[Sealed]:
    """Mails that still have their working wrap, few in memory at a time.

    For the gateway's own work on them: neither entry nor payload is read, so nothing is compared
    with the log, but the bytes are authenticated by the seal and compared with `InFlight`.
    """
    known = {mail.archive_id: mail for mail in mails}
    ids = list(known)
    wraps = {
        row.archive_id: Wrap(row.holder, bytes(row.wrapped))
        for piece in pieces(ids)
        for row in conn.execute(_WORKING_WRAPS, {"ids": piece})
    }
    for archive_id, content, fields, blob in read_contents(conn, [i for i in ids if i in wraps]):
        yield Sealed(
            archive_id=archive_id,
            content=content,
            fields=fields,
            wraps=(),
            working=wraps[archive_id],
            content_sha256=known[archive_id].sha256,
            content_size=known[archive_id].size,
            withheld={},
            blob=blob,
        )


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
