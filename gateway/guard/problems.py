"""What a message took too much of, in words. Codes: limits.…"""

from __future__ import annotations

import signal

from gateway.guard.budget import MEGABYTE
from pki.errors import Problem, problem


def cpu(seconds: float) -> Problem:
    """`limits.cpu`."""
    return problem(
        "limits.cpu",
        "reading it takes more than {seconds} s of processor time",
        seconds=_number(seconds),
    )


def memory(octets: int) -> Problem:
    """`limits.memory`."""
    return problem(
        "limits.memory",
        "reading it takes more than {megabytes} MB of memory",
        megabytes=_number(octets / MEGABYTE),
    )


def time(seconds: float) -> Problem:
    """`limits.time`: perhaps the machine's fault, not the message's."""
    return problem(
        "limits.time", "reading it did not end within {seconds} s", seconds=_number(seconds)
    )


def answer(octets: int) -> Problem:
    """`limits.answer`."""
    return problem(
        "limits.answer",
        "what there is to tell of it is longer than {megabytes} MB",
        megabytes=_number(octets / MEGABYTE),
    )


def depth() -> Problem:
    """`limits.depth`: what recurses ran out of stack, in order."""
    return problem("limits.depth", "it is nested too deeply to be read")


def killed(number: int) -> Problem:
    """`limits.crash`: a signal ended the process; perhaps another's, as the OOM killer's."""
    try:
        name = signal.Signals(number).name
    except ValueError:  # SIGRTMIN+1…
        name = f"signal {number}"
    return problem("limits.crash", "the process that read it died ({how})", how=name)


def gone(code: int) -> Problem:
    """`limits.crash`: it ended by itself, or said what no worker says."""
    return problem("limits.crash", "the process that read it died ({how})", how=f"exit {code}")


def internal(kind: str, where: str) -> Problem:
    """`limits.internal`: a fault of ours. kind: class of the exception; where: file and line.

    Not what the exception says: that may quote the message.
    """
    return problem(
        "limits.internal",
        "reading it led to an internal fault ({kind}, {where})",
        kind=kind,
        where=where,
    )


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
