"""What ties a child process to its supervisor: it shows that it lives, and does not outlive him.

A process that is stopped (SIGSTOP, a debugger, a hung disk) holds its claims and, on SQLite,
perhaps the database. The supervisor kills whoever gives no sign of life: nobody comes back to send
what somebody else has sent meanwhile. When the supervisor dies, the kernel kills the children, the
stopped ones too: a new supervisor frees what they had claimed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress

_PR_SET_PDEATHSIG = 1  # prctl(2)

SIGN = b"."


def die_with_parent() -> None:
    """SIGKILL from the kernel when the process that started this one ends, however it does."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def watch_parent(code: int) -> None:
    """End with this exit code when standard input ends, which is the supervisor's end of a pipe.

    Beside `die_with_parent`: he may have died before that was called.
    """

    def wait() -> None:
        # os.read, not sys.stdin: nothing is ever written, the end is all that matters.
        while os.read(0, 512):
            pass
        os._exit(code)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def give_signs(every: float) -> None:
    """From now on a sign on standard output every `every` seconds, from a thread of its own.

    A process that waits for a database or a slow disk is alive: what is shown is that it runs at
    all, and that no code of its own keeps the interpreter to itself.
    """
    os.set_blocking(1, False)  # a supervisor that is stopped must not stop us

    def beat() -> None:
        while True:
            time.sleep(every)
            with suppress(BlockingIOError, BrokenPipeError):
                os.write(1, SIGN)

    threading.Thread(target=beat, name="life-signs", daemon=True).start()


def say_ready() -> None:
    """Tell the supervisor that work has begun."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
