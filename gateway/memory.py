"""Memory of processes that run for months: what is kept from mail to mail, and what is given back.

What a process holds does not grow; but two things keep what it no longer holds:

- Python's collector, which is told to look rarely (`collect_rarely`): objects that refer to each
  other in a circle, as statements of SQLAlchemy do, stay until 50,000 have come together. In a
  process that does little, such as the keeper, that takes more than an hour, and until then it
  grows by 15 MB.
- glibc, which keeps what lies free between what is held, because mails of all sizes come and go in
  several threads: 0.2 MB a minute, until it levels off. Moving nothing, `malloc_trim`
  (malloc_trim(3)) gives whole free pages back; but the free end of a heap it gives back of the
  first one only, and each thread may have a heap of its own (`one_heap`).
"""

from __future__ import annotations

import ctypes
import gc
import threading
import time

_EVERY = 60.0
_libc = ctypes.CDLL(None)
_trim = getattr(_libc, "malloc_trim", None)  # other C libraries have none
_set = getattr(_libc, "mallopt", None)  # nor this
_ARENA_MAX = -8  # M_ARENA_MAX of mallopt(3)
_USUAL = 4 << 20  # octets; up to twice as much stays free at the end of the heap


def collect_rarely() -> None:
    """What was made until here stays for good, and a mail leaves few circles.

    Collecting rarely and without looking at those again saves a tenth of the processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def keep_heap() -> None:
    """From now on memory is kept from mail to mail, as after the first large one.

    glibc gives what is free at the end of its heap back as soon as that is 128 kB: with mails of
    75 kB after each mail, and for the next one the system hands the same pages out again, one by
    one and zeroed. That took a third of the time of signing and encrypting. glibc learns what is
    usual from the largest piece that was ever freed (mallopt(3), M_MMAP_THRESHOLD). Without effect
    with other C libraries.
    """
    piece = bytearray(_USUAL)
    del piece


def one_heap() -> None:
    """All threads share one heap, so that `give_back` reaches the end of it.

    For a process whose threads come and go with work of ever other sizes, as the index's when
    segments are merged: each of up to eight heaps a core keeps the most it ever needed, and grows
    with the largest merge yet. Threads that compute side by side would wait for each other; those
    of the index do little at a time. Before the first thread: one that has a heap keeps it.
    Without effect with other C libraries.
    """
    if _set is not None:
        _set(_ARENA_MAX, 1)


def give_back_now_and_then(every: float = _EVERY) -> None:
    """From now on once a minute, from a thread of its own. every: seconds."""

    def run() -> None:
        while True:
            time.sleep(every)
            gc.collect()  # looks at what came since the start only: some milliseconds
            give_back()

    threading.Thread(target=run, name="memory", daemon=True).start()


def give_back() -> None:
    """Give free pages back now: after work that took much and is over. A millisecond or two."""
    if _trim is not None:
        _trim(0)  # ctypes lets other threads run meanwhile
