"""Content outside the database: large ciphertexts lie in a blob store, the row names them.

A blob is durable before the row that names it is committed. What a crash in between leaves is a
blob without a row, which no key opens any more; `archive.sweep` removes it later. A row without its
blob never comes about here.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from archive.blob_names import MARKER, blob_name, digest_in
from archive.errors import (
    BlobMissing,
    BlobStoreForeign,
    BlobStoreFull,
    BlobTrouble,
    Damaged,
    Problem,
)
from archive.seal import Sealed

T = TypeVar("T")

# After trouble, for so many seconds others hear of it at once: with a store that swallows
# connections, each would else wait for its own time-out, and hold a thread meanwhile.
_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Stored:
    """Something found in a store. age: by the store's own clock, whatever ours says.

    unfinished: left behind by a put that did not come to its end; no row can name it.
    """

    name: str
    size: int
    age: timedelta
    unfinished: bool = False


class BlobStore(Protocol):
    """Where blobs lie. Safe for several threads, processes and machines at once.

    Every method raises BlobTrouble when the store cannot be used now, and nothing else but what
    is said.
    """

    @property
    def place(self) -> str:
        """Where it is, for people."""
        ...

    def put(self, name: str, data: bytes, sha256: str) -> None:
        """Store these octets, whose hash (hex) is given.

        On return they are durable under this name, whole, and what was stored has that hash. When
        it raises, nothing or everything is there. The same octets may be put again; the name
        MARKER is never written over, and putting it then changes nothing.
        Raises BlobStoreFull.
        """
        ...

    def get(self, name: str) -> bytes:
        """The octets under this name, unchecked. Raises BlobMissing."""
        ...

    def delete(self, name: str) -> None:
        """Remove it; nothing happens where it is not there."""
        ...

    def days(self) -> list[str]:
        """First parts of the names that are there, in order."""
        ...

    def names(self, day: str) -> Iterator[Stored]:
        """What is stored under this first part, in no order."""
        ...

    def free(self) -> int | None:
        """Bytes that can still be written; None where the store does not tell."""
        ...


class Blobs:
    """The blob store of one log. For several threads."""

    def __init__(
        self,
        store: BlobStore,
        *,
        origin: str,
        above: int,
        in_use: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """above: bytes; larger ciphertexts lie in the store, others in the database.

        in_use: whether the database names any blob: then a store without its mark is not a new
            one but the wrong one.
        """
        self.store = store
        self.origin = origin
        self.above = above
        self._in_use = in_use
        self._monotonic = monotonic
        self._ready = False
        self._preparing = threading.Lock()
        self._trouble: tuple[float, BlobTrouble] | None = None

    def prepare(self) -> None:
        """See that the store is this log's; mark it as such if it is new.

        Two installations in one place would sweep each other's mail away, and the empty folder
        under a disk that is not mounted would look like a store that has lost everything.

        Raises BlobTrouble: it does not answer, belongs to another log (BlobStoreForeign), or has
        no mark though there must be blobs in it.
        """
        with self._preparing:
            found = self._owner()
            if found is None:
                if self._in_use():
                    raise BlobTrouble(
                        Problem(
                            "blobs.not-there",
                            "{place} holds no blobs of this archive, and it should: is the disk "
                            "mounted, is it the right place?",
                            {"place": self.store.place},
                        )
                    )
                mark = self.origin.encode()
                self.store.put(MARKER, mark, hashlib.sha256(mark).hexdigest())
                found = self._owner()  # two gateways may have begun at the same time
            if found != self.origin:
                raise BlobStoreForeign(
                    Problem(
                        "blobs.foreign",
                        "{place} holds the blobs of the log {found}, not of {origin}",
                        {
                            "place": self.store.place,
                            "found": (found or "-")[:255],
                            "origin": self.origin,
                        },
                    )
                )
            self._ready = True

    def _owner(self) -> str | None:
        try:
            return self.store.get(MARKER).decode("utf-8", "replace")
        except BlobMissing:
            return None

    def keep(self, sealed: Sealed, moment: datetime) -> Sealed:
        """The same, with its content in the store and not in memory any more.

        On return the blob is durable. Raises BlobTrouble, BlobStoreFull: nothing is to be
        committed then.
        """
        digest = hashlib.sha256(sealed.content).hexdigest()
        name = blob_name(digest, moment)

        def put() -> None:
            if not self._ready:
                self.prepare()
            self.store.put(name, sealed.content, digest)

        self._attempt(put)
        return replace(sealed, content=b"", blob=name)

    def fetch(self, name: str) -> bytes:
        """The octets of a blob, compared with its name.

        Raises BlobMissing, Damaged, BlobTrouble.
        """
        data = self._attempt(lambda: self._get(name))
        if hashlib.sha256(data).hexdigest() != digest_in(name):
            raise Damaged(
                Problem(
                    "blobs.damaged",
                    "the blob {name} is not what was stored: its hash is another",
                    {"name": name},
                )
            )
        return data

    def _get(self, name: str) -> bytes:
        try:
            return self.store.get(name)
        except BlobMissing:
            self.prepare()  # is it gone, or is it the whole store that is?
            raise

    def discard(self, name: str) -> None:
        """Remove a blob whose row was certainly not committed. What fails is left to the sweep."""
        try:
            self.store.delete(name)
        except BlobTrouble:
            return

    def _attempt(self, action: Callable[[], T]) -> T:
        if self._trouble is not None and self._monotonic() < self._trouble[0]:
            raise BlobTrouble(self._trouble[1].problem)
        try:
            result = action()
        except BlobStoreFull:
            raise  # for a smaller one there may be room
        except BlobTrouble as error:
            self._trouble = (self._monotonic() + _PAUSE, error)
            raise
        self._trouble = None
        return result


def filled(sealed: Sealed, blobs: Blobs | None) -> Sealed:
    """The same, with its content in memory wherever it lay; not checked against the log.

    Without a store it stays as it is, and opening it says so.
    Raises BlobMissing, Damaged, BlobTrouble.
    """
    if sealed.blob is None or sealed.content or blobs is None:
        return sealed
    return replace(sealed, content=blobs.fetch(sealed.blob))
