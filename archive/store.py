"""The archive in the database: beginning the log, appending to it. SQLAlchemy Core.

All functions work inside the caller's transaction; who opened it commits it. What is appended
counts only when that commit has returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from archive import chain
from archive.drafts import Draft, Prepared, prepare
from archive.entry import Entry
from archive.errors import LogExists, Problem
from archive.models import (
    log_blobs,
    log_content_keys,
    log_contents,
    log_entries,
    log_head,
    log_payloads,
    log_working_wraps,
)
from archive.reading import Record, head, history, load_sealed, read_entries
from archive.rows import Rows

__all__ = [
    "Draft",
    "Prepared",
    "Record",
    "append",
    "append_prepared",
    "create_log",
    "head",
    "history",
    "load_sealed",
    "prepare",
    "read_entries",
]


# Key in `Connection.info`: a parameter of more than 8 MB was bound on this connection. To let go of
# it costs a new connection, which reads all of the schema: not worth it for what is usual.
LARGE = "sceau-large-parameter"
LARGE_FROM = 8 << 20


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


_INSERT_BULK = tuple(
    Rows(sa.insert(table), *(column.name for column in table.c))
    for table in (log_contents, log_content_keys, log_working_wraps, log_blobs, log_payloads)
)
_INSERT_ENTRIES = Rows(sa.insert(log_entries), "epoch", "entry_index", "archive_id", "entry")
_MOVE_HEAD = sa.update(log_head).where(log_head.c.epoch == sa.bindparam("of_epoch"))


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
    archive id that has content already, or a blob that the sweep has taken for an orphan).
    """
    if not prepared:
        return []
    if any(one.size > LARGE_FROM for one in prepared):
        conn.info[LARGE] = True
    _insert_bulk(conn, prepared)
    tip = head(conn, lock=True)
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
    _INSERT_ENTRIES.write(conn, rows)
    conn.execute(_MOVE_HEAD, {"of_epoch": epoch, "size": tip.size, "prev": tip.prev})
    return entries


def _insert_bulk(conn: sa.Connection, prepared: Sequence[Prepared]) -> None:
    contents: list[dict[str, Any]] = []
    keys: list[dict[str, Any]] = []
    working: list[dict[str, Any]] = []
    blobs: list[dict[str, Any]] = []
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
        if sealed.blob is not None:
            blobs.append({"name": sealed.blob, "archive_id": archive_id})
    payloads = [{"commitment": one.commitment, "payload": one.payload} for one in prepared]
    for statement, rows in zip(
        _INSERT_BULK, (contents, keys, working, blobs, payloads), strict=True
    ):
        statement.write(conn, rows)
