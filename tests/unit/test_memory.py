"""Memory: what is used again stays with a process, what is no longer held goes back."""

from __future__ import annotations

import subprocess
import sys

# Circles of 100 kB each, far fewer than the collector waits for. Small blocks: large ones go back
# by themselves.
_PROGRAM = """
import re, sys, time
from pathlib import Path
from gateway.memory import collect_rarely, give_back_now_and_then

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1000

collect_rarely()
before = anonymous()
for n in range(400):
    circle = [bytes(1000 + n) for n in range(100)]
    circle.append(circle)
del circle
full = anonymous() - before
give_back_now_and_then(every=0.05)
end = time.monotonic() + 10
while anonymous() - before > 8 and time.monotonic() < end:
    time.sleep(0.05)
print(full, anonymous() - before)
"""


def test_circles_are_given_back_by_a_process_that_is_nearly_idle() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True
    )
    full, left = map(int, told.stdout.split())
    assert full > 35, "the circles were to take 40 MB"
    assert left <= 8, f"{left} MB of {full} were kept"


# Ten pieces of 75 kB that are there at once and then are not, as with a mail, and how often the
# system had to give pages for that. In a process of its own: what was freed before counts.
_FAULTS = """
import resource, sys
from gateway.memory import keep_heap
if sys.argv[1] == "kept":
    keep_heap()
def mail():
    [bytearray(75_000) for _ in range(10)]
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
mail()
begun = faults()
for _ in range(100):
    mail()
print(faults() - begun)
"""


def _faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _FAULTS, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_memory_stays_with_the_process() -> None:
    assert _faults("kept") < 100


def test_without_it_each_mail_asks_the_system_again() -> None:
    """Where this fails the C library has become wiser, and `keep_heap` may go."""
    assert _faults("given-back") > 10_000


# Six threads that need 7 MB each at the same moment and then end, as those do that merge segments
# of the index, and what of it the process keeps. A heap of its own gives its free end back from
# 8 MB on only (`keep_heap`).
_THREADS = """
import re, sys, threading
from pathlib import Path
from gateway.memory import give_back, keep_heap, one_heap

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1000

if sys.argv[1] == "one":
    one_heap()
keep_heap()
before = anonymous()
together = threading.Barrier(6)
def merge():
    pieces = [b"x" * (60_000 + n) for n in range(120)]
    together.wait()
    del pieces
    together.wait()
threads = [threading.Thread(target=merge) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
give_back()
print(anonymous() - before)
"""


def _kept_by_threads(heaps: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _THREADS, heaps], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_what_threads_leave_at_the_end_of_one_heap_goes_back() -> None:
    assert _kept_by_threads("one") <= 3


def test_without_it_each_thread_leaves_a_heap_at_its_largest() -> None:
    """Where this fails the C library has become wiser, and `one_heap` may go."""
    assert _kept_by_threads("of-their-own") > 10  # not all: what lies behind the free end keeps it
