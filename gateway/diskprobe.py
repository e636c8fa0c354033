"""Whether the disks take what is written to them: asked by writing.

Free space says nothing of a quota, of a file system that the kernel has made read-only after an
error, and of a disk that no longer syncs.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

_NAME = ".sceau-probe-"
_OCTETS = b"\0" * 4096


def refusing(folders: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Folders in which a file cannot be written and synced, and the system's word for it."""
    for folder in folders:
        file = folder / f"{_NAME}{secrets.token_hex(4)}"
        try:
            _write(file)
        except OSError as error:
            yield folder, error.strerror or type(error).__name__
        finally:
            with suppress(OSError):
                file.unlink(missing_ok=True)


def _write(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as opened:
        rest = memoryview(_OCTETS)
        while rest:
            rest = rest[opened.write(rest) :]
        os.fsync(descriptor)
