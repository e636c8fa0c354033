"""What a worker gives up before it sees a message, and its meters."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress

from gateway.lifeline import die_with_parent

_PAGE = os.sysconf("SC_PAGE_SIZE")

# Room above the budget, in budgets, until an allocation is refused. That is a MemoryError, which
# a parser may mistake for a damaged message; so whoever watches (`outside`) kills long before, this
# wall is there for what takes a gigabyte between two looks of his, and what is found then counts
# for nothing (`Meter.end`).
_WALL = 4


def be_alone(parent: int) -> None:
    """A session of its own, no terminal's signals, and an end when the parent ends.

    parent: its process number; when it is gone already, this process ends here.
    """
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGPROF, signal.SIGXCPU, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    die_with_parent()
    if os.getppid() != parent:
        os._exit(0)


def shut_in(*, files: bool) -> None:
    """No core dump, no file that grows, no child; without `files` no open file, no socket.

    Children: for root the kernel sets no limit; they end with the process group.
    files: whether files may still be opened, for modules that are imported late (codecs).
    """
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        resource.setrlimit(limit, (0, 0))
    if not files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _kilobytes(status: bytes, name: bytes) -> int:
    """A value of /proc/self/status (proc(5))."""
    return int(status.partition(name + b":")[2].split(None, 1)[0])


class Meter:
    """Processor time and address space of this process, for one message after the other.

    The kernel counts both. ITIMER_PROF counts processor time of the process to the clock tick and
    ends it by SIGPROF, which Python does not handle: an endless loop in C ends as well.
    RLIMIT_DATA counts what is private and writable: what malloc takes, for Python, OpenSSL and
    Rust alike; RLIMIT_AS would count the program's own mapped files and its reserved arenas too.
    """

    def __init__(self) -> None:
        _, self._most = resource.getrlimit(resource.RLIMIT_DATA)
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        self._anew: int | None = None
        with suppress(OSError):  # kernels without it (gVisor): there the look from outside must do
            self._anew = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
        self._allowed = 0

    def begin(self, seconds: float, octets: int) -> None:
        """From now on so many seconds of processor; `octets` more memory, with room above it."""
        fields = os.pread(self._statm, 200, 0).split()
        if self._anew is not None:
            os.pwrite(self._anew, b"5", 0)  # the peak begins at what is held now (proc(5))
        self._allowed = (int(fields[1]) - int(fields[2])) * _PAGE + octets
        self._limit(int(fields[5]) * _PAGE + _WALL * octets)
        signal.setitimer(signal.ITIMER_PROF, seconds)

    def end(self) -> bool:
        """Neither is counted any more. Whether more memory was held at any time than allowed."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._limit(self._most)
        if self._anew is None:
            return False
        status = os.pread(self._status, 4096, 0)
        # As `outside` counts: without what comes from files.
        held = _kilobytes(status, b"VmHWM") - _kilobytes(status, b"RssFile")
        return (held - _kilobytes(status, b"RssShmem")) * 1024 > self._allowed

    def _limit(self, octets: int) -> None:
        """Whoever started this process may have set a limit that cannot be raised."""
        if self._most != resource.RLIM_INFINITY:
            octets = min(octets, self._most)
        resource.setrlimit(resource.RLIMIT_DATA, (octets, self._most))
