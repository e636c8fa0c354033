"""What was archived of mails in hand: loaded, fetched from the blob store, opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import sqlalchemy as sa

from archive.blobs import Blobs, filled
from archive.errors import BlobTrouble, Damaged
from archive.reading import InFlight, load_in_flight
from archive.seal import Sealed, Unwrapper, open_content
from gateway.queue.jobs import Job

# Sealed content with its ciphertext in memory, or why it is not there.
Fetched = Sealed | BlobTrouble | Damaged


@dataclass(frozen=True, slots=True)
class Contents:
    """By the keys of this process. blobs: None where there is no blob store."""

    read: Callable[[], AbstractContextManager[sa.Connection]]
    unwrapper: Unwrapper
    blobs: Blobs | None

    def load(self, jobs: Sequence[Job]) -> dict[str, Sealed]:
        """Sealed contents by archive id; what lies in the blob store is left there."""
        mails = [InFlight(job.archive_id, job.sha256, job.size) for job in jobs]
        with self.read() as conn:
            return load_in_flight(conn, mails)

    def fetch(self, jobs: Sequence[Job]) -> dict[str, Fetched]:
        """Contents with what lies in the blob store; no transaction is open meanwhile."""
        found: dict[str, Fetched] = {}
        for archive_id, sealed in self.load(jobs).items():
            try:
                found[archive_id] = filled(sealed, self.blobs)
            except (BlobTrouble, Damaged) as error:
                found[archive_id] = error
        return found

    def opened(self, content: Fetched) -> bytes:
        """The octets as they came. Raises what kept the content from being fetched."""
        if not isinstance(content, Sealed):
            raise content
        return open_content(filled(content, self.blobs), self.unwrapper)

    def of(self, job: Job) -> bytes:
        """The octets of one mail as they came."""
        return self.opened(self.load([job])[job.archive_id])


def to_open(jobs: Sequence[Job]) -> list[Job]:
    """Those that have to be sealed for somebody."""
    return [job for job in jobs if any(r.group_id is None for r in job.due)]
