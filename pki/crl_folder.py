"""The folder with the indexes of large CRLs, one for each machine."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pki.crl_index import IndexDamagedError, IndexedEntries, write_index
from pki.crl_scan import Scan

_SUFFIX = ".crlindex"
_LOCK = "lock"
LARGE = 64 * 1024


class CrlFolder:
    """Indexes by the SHA-256 of their CRL. Safe for several processes and threads.

    above: octets from which a CRL is large. Smaller ones stand in memory as they are: a search
    through them costs less than a file for each would.
    """

    def __init__(self, folder: Path, *, above: int = LARGE) -> None:
        self._folder = folder
        self.above = above

    def write(self, scan: Scan, *, crl_sha256: str, key_sha256: str, header: bytes) -> str:
        """Write the index of a CRL; its SHA-256. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return write_index(
            scan,
            crl_sha256=crl_sha256,
            key_sha256=key_sha256,
            header=header,
            file=self._file(crl_sha256),
        )

    def open(self, crl_sha256: str, digest: str) -> IndexedEntries | None:
        """An index, or None where there is none with this digest. Raises OSError."""
        with suppress(IndexDamagedError, FileNotFoundError):
            return IndexedEntries(self._file(crl_sha256), crl_sha256=crl_sha256, digest=digest)
        return None

    def has(self, crl_sha256: str, digest: str) -> bool:
        """Whether a file is there that ends in this digest: a look, not a check."""
        try:
            with self._file(crl_sha256).open("rb") as stream:
                stream.seek(-32, os.SEEK_END)
                return stream.read().hex() == digest
        except OSError:
            return False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time makes an index: it takes seconds and memory. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._folder / _LOCK, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def sweep(self, wanted: Collection[str], *, older_than: float) -> list[str]:
        """Remove indexes that nobody wants any more, and what a crash has left; their names.

        older_than: seconds; younger files may be somebody's who knows more than we. A process that
        has mapped one keeps it.
        """
        if not self._folder.is_dir():
            return []
        removed = []
        before = time.time() - older_than
        for file in self._folder.iterdir():
            if file.name == _LOCK or file.name.removesuffix(_SUFFIX) in wanted:
                continue
            if file.is_file() and file.stat().st_mtime < before:
                file.unlink(missing_ok=True)
                removed.append(file.name)
        return removed

    def _file(self, crl_sha256: str) -> Path:
        return self._folder / f"{crl_sha256}{_SUFFIX}"
