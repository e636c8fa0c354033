"""What SQLite's errors say about the disk below it.

Two kinds matter. No room: the write did not fit, nothing was synced, and the transaction is rolled
back for certain. And everything else that goes wrong with the files: from a failed fsync on, nobody
knows what is on the disk, and the next fsync may call a success what the kernel has thrown away.
"""

from __future__ import annotations

import sqlalchemy as sa

# Primary result codes, https://sqlite.org/rescode.html
_IOERR, _FULL = 10, 13


def no_room(error: BaseException) -> bool:
    """SQLITE_FULL: ENOSPC from a write. A transaction that ends so, at its COMMIT too, is rolled
    back: SQLite writes the record that makes it valid last, and syncs after it.

    EDQUOT comes as SQLITE_IOERR: SQLite tells it from a broken disk no more than we can.
    """
    return _code(error) == _FULL


def is_sick(error: BaseException) -> bool:
    """Whether reading, writing or syncing the files failed: this process must open them anew."""
    return _code(error) == _IOERR


def _code(error: BaseException) -> int:
    original = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return int(getattr(original, "sqlite_errorcode", 0) or 0) & 0xFF
