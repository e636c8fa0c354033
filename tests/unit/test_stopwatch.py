"""The clock of the flows: it stands while the machine does, and runs while we wait or work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from tests.corpora import ROOT
from tests.services.stopwatch import Stopwatch

_CHILD = """
import sys, time
from tests.services.stopwatch import Stopwatch
with Stopwatch() as watch:
    print("begun", flush=True)
    sys.stdin.readline()
print(watch.seconds)
"""


def test_a_time_in_which_nobody_could_run_does_not_count() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        begun = time.monotonic()
        assert child.stdout.readline() == "begun\n"
        os.kill(child.pid, signal.SIGSTOP)
        time.sleep(1.5)
        os.kill(child.pid, signal.SIGCONT)
        child.stdin.write("\n")
        child.stdin.flush()
        counted = float(child.stdout.readline())
    assert counted < time.monotonic() - begun - 1.4


def test_waiting_and_working_count() -> None:
    with Stopwatch() as watch:
        begun = time.thread_time()
        time.sleep(0.2)
        while time.thread_time() - begun < 0.2:
            pass
    # Not all of it where somebody else had the processor; on a machine at rest 0.4.
    assert watch.seconds > 0.1
