"""Reading content: the log says so first, or nothing is read (I7)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

import sqlalchemy as sa

from archive import store
from archive.errors import ArchiveError, Problem
from archive.fields import Open
from archive.seal import Sealed, Unwrapper, open_content, open_fields
from archive.store import Draft

T = TypeVar("T")

Append = Callable[[list[Draft]], object]
Connect = Callable[[], AbstractContextManager[sa.Connection]]


class ReadNotAllowed(ArchiveError):
    """Reading without saying who reads and for what case."""


def read_content(
    append: Append,
    connect: Connect,
    archive_id: str,
    unwrapper: Unwrapper,
    *,
    reader: str,
    case: str,
) -> bytes:
    """The mail as it came, compared with the hash in the log; the reading is logged before.

    append: writes entries and returns only when they are durable (`Appender.append`); whatever it
        raises leaves here, and then nothing was opened. connect: a read transaction.
    reader: who reads; case: the file or request the reading is for. Both go into the log.
    Raises NotInArchive, NotMine, Damaged, ReadNotAllowed.
    """
    return _read(append, connect, archive_id, reader, case, "content", unwrapper, open_content)


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


def _read(
    append: Append,
    connect: Connect,
    archive_id: str,
    reader: str,
    case: str,
    what: str,
    unwrapper: Unwrapper,
    opener: Callable[[Sealed, Unwrapper], T],
) -> T:
    if not reader.strip() or not case.strip():
        raise ReadNotAllowed(
            Problem("read.no-reason", "content is read by a named reader for a named case only")
        )
    with connect() as conn:
        found = store.history(conn, archive_id)
        sealed = store.sealed_in(conn, found)
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
