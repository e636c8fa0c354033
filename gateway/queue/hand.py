"""What a worker has in hand, in octets: its memory is a multiple of that.

Small mails and large ones are counted apart: large mail that waits for its next hop must not keep
small mail, nor a stream of small mail the large one. Counted apart as well is what sealing makes of
a mail beyond its own size: each blind recipient gets octets of his own, and 14 kB for a thousand of
them are 16 MB.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.queue.jobs import Job
from gateway.queue.store.claim import NO_LIMIT

# Above this a mail is large: it is claimed alone.
LARGE = 8_000_000
# Large mails go together up to so many octets; one that is larger still goes alone.
_LARGE_ROOM = 24_000_000
_SMALL_ROOM = 32_000_000
# Octets that sealing added to all of them; then mail for many waits until some has left.
_SEALED_ROOM = 64_000_000
# What leaves has about one and a half times the octets of the mail, and a header.
_ONE_SEALING = 2


class Hand:
    """Mails that were claimed and not yet given back."""

    def __init__(self) -> None:
        self._small = 0
        self._large = 0
        self._sealed: dict[str, int] = {}

    def take(self, jobs: Sequence[Job]) -> None:
        """These were claimed."""
        for job in jobs:
            self._add(job.size, job.size)

    def put(self, job: Job) -> None:
        """This one was given back."""
        self._add(job.size, -job.size)
        self._sealed.pop(job.archive_id, None)

    def keep(self, job: Job, octets: int) -> None:
        """So many octets of one in hand are sealed, and in memory until it is given back."""
        added = octets - _ONE_SEALING * job.size
        if added > 0:
            self._sealed[job.archive_id] = added

    def _add(self, size: int, change: int) -> None:
        if size > LARGE:
            self._large += change
        else:
            self._small += change

    @property
    def full(self) -> bool:
        """No small mail may be claimed now, and so none at all."""
        return self._small > _SMALL_ROOM

    @property
    def crowded(self) -> bool:
        """No mail may be sealed for many now. Never where there is nothing else in hand."""
        sealed = list(self._sealed.values())  # a copy in one step: another thread may add meanwhile
        return sum(sealed) > _SEALED_ROOM

    @property
    def largest(self) -> int:
        """The largest mail that may be claimed now, in octets."""
        if not self._large:
            return NO_LIMIT
        return max(LARGE, _LARGE_ROOM - self._large)
