"""Giving memory back to the system while a process runs for months.

What a process holds does not grow; but mails of all sizes come and go in several threads, and glibc
keeps what lies free between what is held. Measured at load: 0.2 MB of that a minute, until it
levels off, with the octets in use constant. Moving nothing, `malloc_trim` (malloc_trim(3)) gives
whole free pages back.
"""

from __future__ import annotations

import ctypes
import threading
import time

_EVERY = 60.0


def give_back_now_and_then() -> None:
    """From now on once a minute, from a thread of its own; nothing where the C library cannot."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return

    def run() -> None:
        while True:
            time.sleep(_EVERY)
            trim(0)  # ctypes lets other threads run meanwhile; it takes a millisecond or two

    threading.Thread(target=run, name="memory", daemon=True).start()
