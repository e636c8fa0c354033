"""What a worker has in hand, in octets: its memory is a multiple of that.

Small mails and large ones are counted apart: large mail that waits for its next hop must not keep
small mail, nor a stream of small mail the large one.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.queue.jobs import Job
from gateway.queue.store import NO_LIMIT

# Above this a mail is large: it is claimed alone.
LARGE = 8_000_000
# Large mails go together up to so many octets; one that is larger still goes alone.
_LARGE_ROOM = 24_000_000
_SMALL_ROOM = 32_000_000


class Hand:
    """Mails that were claimed and not yet given back."""

    def __init__(self) -> None:
        self._small = 0
        self._large = 0

    def take(self, jobs: Sequence[Job]) -> None:
        """These were claimed."""
        for job in jobs:
            self._add(job.size, job.size)

    def put(self, job: Job) -> None:
        """This one was given back."""
        self._add(job.size, -job.size)

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
    def largest(self) -> int:
        """The largest mail that may be claimed now, in octets."""
        if not self._large:
            return NO_LIMIT
        return max(LARGE, _LARGE_ROOM - self._large)
