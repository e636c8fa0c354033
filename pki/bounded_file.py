"""Files that somebody names, whatever they are: read, and never more than a file may hold.

What is named may be a device or the end of a pipe that never ends (`/dev/zero`, a program gone
wild): without a bound it would take the memory of the machine before anybody says what is wrong.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

# Ten times the largest mail that a gateway takes unless told otherwise; a list of a house's
# certificates is no larger.
LARGEST = 500_000_000
# A key with its certificates, or a password. Readers of PKCS#12 say below it what is too large.
LARGEST_SECRET = 4_000_000
_PIECE = 1 << 20


def read_bounded(path: Path, limit: int = LARGEST) -> bytes:
    """The octets of a file, a pipe or a device, `limit` at most.

    Raises OSError (EFBIG for more than `limit`).
    """
    with path.open("rb") as file:
        return read_stream(file, str(path), limit, expected=os.fstat(file.fileno()).st_size)


def read_stream(file: BinaryIO, name: str, limit: int = LARGEST, *, expected: int = 0) -> bytes:
    """The same of what is open already.

    name: what an error calls it. expected: how many octets there seem to be; so many are read in
    one piece, without a second copy of a large file.
    """
    if expected > limit:
        raise _too_large(name)
    pieces: list[bytes] = []
    room = limit + 1
    while piece := file.read(min(room, max(_PIECE, expected + 1))):
        pieces.append(piece)
        room -= len(piece)
        if not room:
            raise _too_large(name)
        expected = 0
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(name: str) -> OSError:
    return OSError(errno.EFBIG, os.strerror(errno.EFBIG), name)
