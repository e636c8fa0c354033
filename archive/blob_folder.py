"""Blobs as files: `FOLDER/2026-11-21/<sha256>`.

put, with what a power cut after each step leaves:
1. the day's folder is made and the folder above synced       an empty folder
2. `.new-…` is written and synced                             an unfinished file, for the sweep
3. renamed to its name, and the day's folder synced           the blob
Only after 3 does put return, so only then can a row name it.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from archive.blob_names import MARKER, is_blob_name, is_day
from archive.blobs import Stored
from archive.errors import BlobMissing, BlobStoreFull, BlobTrouble, Problem

_NEW = ".new-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FolderStore:
    """A folder on a local disk, or on one that several machines share. See `BlobStore`."""

    def __init__(self, folder: Path) -> None:
        """Touches nothing yet."""
        self._folder = folder
        self._synced_days: set[str] = set()

    @property
    def place(self) -> str:
        """The folder."""
        return str(self._folder)

    def put(self, name: str, data: bytes, sha256: str) -> None:
        """See `BlobStore`."""
        del sha256  # what read-back would show here is the page cache; fsync's word is what counts
        with self._trouble():
            path = self._path(name)
            if name == MARKER:
                self._folder.mkdir(mode=0o700, exist_ok=True)
                _sync(self._folder.parent)
            elif not (self._folder / MARKER).exists():
                # Under a disk that was unmounted there is an empty folder, and a blob written
                # there is gone from sight when the disk comes back.
                raise BlobTrouble(
                    Problem(
                        "blobs.not-there",
                        "{place} holds no blobs of this archive, and it should: is the disk "
                        "mounted, is it the right place?",
                        {"place": self.place},
                    )
                )
            else:
                self._make_day(path.parent)
            new = path.parent / f"{_NEW}{secrets.token_hex(8)}"
            try:
                _write(new, data)
                if name == MARKER:
                    with suppress(FileExistsError):  # whoever was first owns the store
                        path.hardlink_to(new)
                else:
                    new.rename(path)
            finally:
                with suppress(OSError):
                    new.unlink(missing_ok=True)
            _sync(path.parent)

    def get(self, name: str) -> bytes:
        """See `BlobStore`."""
        with self._trouble():
            try:
                return self._path(name).read_bytes()
            except FileNotFoundError:
                raise BlobMissing(
                    Problem(
                        "blobs.missing",
                        "the blob {name} is not in {place}",
                        {"name": name, "place": self.place},
                    )
                ) from None

    def delete(self, name: str) -> None:
        """See `BlobStore`."""
        with self._trouble():
            path = self._path(name)
            path.unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                _sync(path.parent)

    def days(self) -> list[str]:
        """See `BlobStore`."""
        with self._trouble(), os.scandir(self._folder) as found:
            return sorted(one.name for one in found if is_day(one.name) and one.is_dir())

    def names(self, day: str) -> Iterator[Stored]:
        """See `BlobStore`. Files that this class did not name are passed over."""
        with self._trouble():
            now = self._clock(day)
            with os.scandir(self._folder / day) as found:
                for one in found:
                    name = f"{day}/{one.name}"
                    unfinished = one.name.startswith(_NEW)
                    if not unfinished and not is_blob_name(name):
                        continue
                    try:
                        state = one.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # renamed to its name, or removed, while we looked
                    age = timedelta(seconds=now - state.st_mtime)
                    yield Stored(name, state.st_size, age, unfinished)

    def free(self) -> int | None:
        """See `BlobStore`; None while the folder is not there."""
        try:
            found = os.statvfs(self._folder)
        except OSError:
            return None
        return found.f_bavail * found.f_frsize

    def _path(self, name: str) -> Path:
        """Where it lies; a name comes from the database, and nothing outside is ever touched."""
        day, slash, file = name.partition("/")
        unfinished = bool(slash) and is_day(day) and file.startswith(_NEW) and "/" not in file
        if name != MARKER and not unfinished and not is_blob_name(name):
            raise BlobMissing(
                Problem("blobs.name", "{name} is not the name of a blob", {"name": name[:100]})
            )
        return self._folder / name

    def _make_day(self, folder: Path) -> None:
        # Another process may have made it and not have synced it yet: a blob counts only once the
        # way to it is durable too, so each process sees to that itself, once a day.
        if folder.name in self._synced_days and folder.exists():
            return
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync(self._folder)
        self._synced_days.add(folder.name)

    def _clock(self, day: str) -> float:
        """The time by the clock that stamps files here: on a shared disk it is the server's."""
        probe = self._folder / day / f"{_NEW}{secrets.token_hex(8)}"
        handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, b"0")
            return os.fstat(handle).st_mtime
        finally:
            os.close(handle)
            probe.unlink(missing_ok=True)

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kind = BlobStoreFull if error.errno in _FULL else BlobTrouble
            raise kind(
                Problem(
                    "blobs.folder",
                    "the blob folder {place} cannot be used: {why}",
                    {"place": self.place, "why": error.strerror or str(error)},
                )
            ) from error


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(handle)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
