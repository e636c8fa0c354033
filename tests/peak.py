"""The most memory that this process has held since it was last asked to count anew (proc(5)).

Not `ru_maxrss` of getrusage(2): that begins with what the parent held when it started the process,
and the tests' own is large.
"""

from __future__ import annotations

from pathlib import Path


def count_anew() -> int:
    """From now on `peak` counts anew. Octets held now."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    return _held("VmRSS")


def peak() -> int:
    """Octets held at most."""
    return _held("VmHWM")


def _held(name: str) -> int:
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024
