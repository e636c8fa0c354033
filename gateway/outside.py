"""Large content on its way into the archive: put outside the database before its row is committed.

Off the event loop and outside the write lock of the database, so that a slow store keeps nobody
waiting but the clients whose mail goes there; and those get their answer in time.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import structlog

from archive.blobs import Blobs
from archive.errors import AppenderBroken, BlobStoreFull, BlobTrouble
from archive.seal import Sealed
from gateway.errors import Refusal
from gateway.failpoint import failpoint
from gateway.storage_gate import AWAY, about

log = structlog.get_logger()

# Puts side by side, for each process.
_PUTS = 4
# RFC 5321 §4.5.3.2.6 has clients wait ten minutes for the answer to the final dot; some do not.
_SECONDS = 60.0

_FULL = (452, "4.3.1", "insufficient system storage, try again later")


class Outside:
    """Where an intake puts large content."""

    def __init__(self, blobs: Blobs, *, seconds: float = _SECONDS) -> None:
        """seconds: within which a put has to be done, waiting for a thread included."""
        self._blobs = blobs
        self._above = blobs.above
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(_PUTS, thread_name_prefix="blob-put")

    def wants(self, sealed: Sealed) -> bool:
        """Whether this content is large enough to lie outside."""
        return len(sealed.content) > self._above

    def check_room(self, need: int) -> None:
        """Refuse at MAIL what would find no room (452). need: bytes."""
        free = self._blobs.store.free()
        if free is not None and free < need:
            raise Refusal(*_FULL)

    async def keep(self, sealed: Sealed, moment: datetime) -> Sealed:
        """The same with its content in the store, durable. Raises Refusal; then nothing is stored.

        Where time was up, the store may yet come to have the blob: it has no row, and is swept.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._seconds):
                kept = await loop.run_in_executor(self._threads, self._blobs.keep, sealed, moment)
        except BlobStoreFull as error:
            log.error("blob_store_full", id=sealed.archive_id, reason=error.problem.text)
            raise about(_FULL, sealed.archive_id) from error
        except BlobTrouble as error:
            log.error("blob_store_fault", id=sealed.archive_id, reason=error.problem.text)
            raise about(AWAY, sealed.archive_id) from error
        except TimeoutError:
            reason = f"it did not store a blob within {self._seconds:.0f} seconds"
            log.error("blob_store_fault", id=sealed.archive_id, reason=reason)
            raise about(AWAY, sealed.archive_id) from None
        failpoint("accept.blob-stored")
        return kept

    def not_committed(self, sealed: Sealed, error: Exception) -> None:
        """The commit failed: remove the blob, unless the row may be there after all."""
        if sealed.blob is not None and not isinstance(error, AppenderBroken):
            self._threads.submit(self._blobs.discard, sealed.blob)
