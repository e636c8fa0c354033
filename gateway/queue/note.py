"""Which mail a process is opening and sealing just now, in a file that outlives the process.

When it dies, the supervisor reads who was in its hands: that mail alone is blamed, and all other
mail that the process had claimed goes on at once.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_LENGTH = 64  # of an archive id at most
_ENDING = ".hand"


class Note:
    """Written by one thread. Costs less than a microsecond: it is memory, shared with a file."""

    def __init__(self, folder: Path, name: str) -> None:
        """folder: of files that end with the run of the gateway; name: of the process."""
        self._file = folder / f"{name}{_ENDING}"
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.ftruncate(descriptor, _LENGTH)
            self._map = mmap.mmap(descriptor, _LENGTH)
        finally:
            os.close(descriptor)

    def take(self, archive_id: str) -> None:
        """This mail is in hand from here on."""
        self._map[:] = archive_id.encode()[:_LENGTH].ljust(_LENGTH, b"\0")

    def put(self) -> None:
        """No mail is in hand any more."""
        self._map[:] = bytes(_LENGTH)

    def close(self) -> None:
        """The process ends in order."""
        self._map.close()
        self._file.unlink(missing_ok=True)


def read_notes(folder: Path, name: str | None) -> Sequence[str]:
    """Archive ids that dead processes had in hand; their files are removed.

    name: of the process; None: of all that ever ran here, which must be dead.
    """
    found = []
    for file in folder.glob(f"{'*' if name is None else name}{_ENDING}"):
        with suppress(OSError):
            if archive_id := file.read_bytes().rstrip(b"\0").decode("ascii", "replace"):
                found.append(archive_id)
            file.unlink()
    return found
