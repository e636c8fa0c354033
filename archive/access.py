"""Reading content: the log says so first, or nothing is read (I7)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from archive import reading
from archive.blobs import Blobs, filled
from archive.entry import new_archive_id
from archive.errors import Problem, ReadRefused
from archive.fields import Open
from archive.seal import Sealed, Unwrapper, open_content, open_fields
from archive.search import Hit, search
from archive.store import Draft

T = TypeVar("T")

Append = Callable[[list[Draft]], object]
Connect = Callable[[], AbstractContextManager[sa.Connection]]


def read_content(
    append: Append,
    connect: Connect,
    archive_id: str,
    unwrapper: Unwrapper,
    *,
    reader: str,
    case: str,
    blobs: Blobs | None = None,
) -> bytes:
    """The mail as it came, compared with the hash in the log; the reading is logged before.

    append: writes entries and returns only when they are durable (`Appender.append`); whatever it
        raises leaves here, and then nothing was opened. connect: a read transaction.
    reader: who reads; case: the file or request the reading is for. Both go into the log.
    blobs: where large content lies; fetching its ciphertext comes before the entry, so that the
        log does not tell of a reading that a dead store made impossible.
    Raises NotInArchive, NotMine, Damaged, ReadRefused, BlobTrouble.
    """

    def fetched(sealed: Sealed) -> Sealed:
        return filled(sealed, blobs)

    return _read(
        append, connect, archive_id, reader, case, "content", unwrapper, open_content, fetched
    )


def read_fields(
    append: Append,
    connect: Connect,
    archive_id: str,
    unwrapper: Unwrapper,
    *,
    reader: str,
    case: str,
) -> dict[str, Open]:
    """The sealed header fields (subject, …) without the content; otherwise as `read_content`."""
    return _read(append, connect, archive_id, reader, case, "fields", unwrapper, open_fields)


def find(
    append: Append,
    index_dir: Path,
    query: str,
    limit: int = 20,
    *,
    org: str,
    reader: str,
    case: str,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Hit]:
    """A search for a person, logged before as one `searched` entry under a fresh archive id.

    Errors as `read_content` and `archive.search.search`.
    """
    _check_reason(reader, case)
    fields = {"reader": reader.encode(), "case": case.encode(), "query": query.encode()}
    append([Draft(kind="searched", org=org, archive_id=new_archive_id(), fields=fields)])
    return search(index_dir, query, limit, since=since, until=until)


def _check_reason(reader: str, case: str) -> None:
    if not reader.strip() or not case.strip():
        raise ReadRefused(
            Problem("read.no-reason", "the archive is read by a named reader for a named case only")
        )


def _read(
    append: Append,
    connect: Connect,
    archive_id: str,
    reader: str,
    case: str,
    what: str,
    unwrapper: Unwrapper,
    opener: Callable[[Sealed, Unwrapper], T],
    fetched: Callable[[Sealed], Sealed] = lambda sealed: sealed,
) -> T:
    _check_reason(reader, case)
    with connect() as conn:
        found = reading.history(conn, archive_id)
        sealed = reading.sealed_in(conn, found)
    sealed = fetched(sealed)
    append(
        [
            Draft(
                kind="read",
                org=found[0].entry.org,
                archive_id=archive_id,
                fields={"reader": reader.encode(), "case": case.encode(), "what": what.encode()},
            )
        ]
    )
    return opener(sealed, unwrapper)
