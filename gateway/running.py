"""What the running gateway tells of itself, in a file that commands and the keeper read.

The supervisor writes it whenever something changes. It is a courtesy: nothing depends on it but
what people are shown, and a file of a supervisor that is gone is known as such.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.clock import rfc3339
from gateway.wholefile import replace_text

_NAME = "status.json"
_DEATHS = 50  # the latest that are remembered


@dataclass
class Process:
    """A child of the supervisor. retiring: replaced, and ending what it has in hand."""

    role: str
    name: str
    pid: int
    ready: bool
    retiring: bool


@dataclass
class Reload:
    """The latest reading anew. number: counts them; accepted: whether it is in force."""

    number: int = 0
    at: str = ""
    accepted: bool = False
    faults: list[str] = field(default_factory=list)


@dataclass
class Status:
    """All of it. pid, started: of the supervisor; started is its start in clock ticks of the
    kernel, so that another process with the same number is not taken for it.

    digest: of the configuration in force (`gateway.accepted.Snapshot.digest`).
    deaths: role and time of processes that ended unasked.
    """

    pid: int = 0
    started: str = ""
    listen: list[Any] | None = None
    config: str = ""
    digest: str = ""
    accepted_at: str = ""
    processes: list[Process] = field(default_factory=list)
    deaths: list[tuple[str, str]] = field(default_factory=list)
    reload: Reload = field(default_factory=Reload)

    def died(self, role: str, moment: datetime) -> None:
        """Note a death."""
        self.deaths = [*self.deaths, (role, rfc3339(moment))][-_DEATHS:]

    def write(self, run_folder: Path) -> None:
        """Replace the file. A full disk is no reason for a fault."""
        with suppress(OSError):
            replace_text(run_folder / _NAME, json.dumps(asdict(self)))


def started(pid: int) -> str:
    """When this process began (clock ticks since boot, proc(5)); "" if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def own() -> tuple[int, str]:
    """pid and start of this process."""
    return os.getpid(), started(os.getpid())


def read(run_folder: Path) -> Status | None:
    """What the supervisor that runs now has told; None where none runs."""
    try:
        value = json.loads((run_folder / _NAME).read_text("utf-8"))
        value["processes"] = [Process(**one) for one in value["processes"]]
        value["reload"] = Reload(**value["reload"])
        value["deaths"] = [(role, at) for role, at in value["deaths"]]
        status = Status(**value)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if not status.started or started(status.pid) != status.started:
        return None
    return status
