"""A mail that would keep a process busy for ever ends the process instead.

The kernel counts the processor time and ends the process by a signal that Python does not handle:
an endless loop in C, or in a regular expression, which no thread of ours could interrupt, ends all
the same. Processor time, not time: a slow or loaded machine harms no mail.
"""

from __future__ import annotations

import resource
import signal
import time

# Seconds of processor for any mail, and beyond that for a megabyte and for a recipient. Ten times
# what the worst of them was seen to take.
_SECONDS = 2.0
_FOR_MEGABYTE = 0.25
_FOR_RECIPIENT = 0.02

# Octets of memory of its own that a process may have; a normal one stays below a quarter.
MEMORY = 1_600_000_000


class Limit:
    """The processor time of one mail: in all blocks under it together the process may use so much;
    then SIGPROF kills it.

    size: octets of the mail. The whole process is counted, so one block at a time.
    """

    def __init__(self, size: int, recipients: int = 1) -> None:
        self._left = _SECONDS + _FOR_MEGABYTE * size / 1_000_000 + _FOR_RECIPIENT * recipients
        self._begun = 0.0

    def __enter__(self) -> None:
        self._begun = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, self._left)

    def __exit__(self, *_raised: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        # Not what the timer has left: it is rounded up at each start, and short blocks were free.
        self._left -= time.process_time() - self._begun
        self._left = max(self._left, 0.001)  # 0 would be no limit at all


def limit_memory() -> None:
    """A mail that wants gigabytes gets a MemoryError, and no other process pays for it."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
