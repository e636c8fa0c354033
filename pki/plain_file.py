"""Files that others may replace: read without waiting, and never more than they may hold."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from pki.bounded_file import read_stream
from pki.sentences import sentence


def read_plain(path: Path, limit: int) -> bytes:
    """The octets of a regular file, `limit` at most.

    Who may write to the folder could put a pipe there, at which reading waits for ever, or a link
    to /dev/zero. Raises OSError (EINVAL for what is no regular file, EFBIG for more than `limit`).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, sentence("it is not a regular file"), str(path))
        return read_stream(file, str(path), limit)
