"""Sceau as a system under test: run by its command, with the demo's directory and CRLs."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gateway.demo.house import House, children_of
from gateway.demo.postgres import Postgres
from gateway.demo.process import NotStartedError
from gateway.demo.stage import Stage

# Sealed by the organisation's key, encrypted, no clear text ever: the way most mail goes.
_RULES = """
[[policy.rules]]
name = "bench"
recipient = "@justice.example"
encryption = "required"
without_certificate = "hold"
sign = "seal"
crypto = "{crypto}"
"""

_INDEX_SECONDS = 120.0
_ROLE = re.compile(r"gateway\.roles\0(\w+)\0")
_TICKS = os.sysconf("SC_CLK_TCK")


class Sceau:
    """The product (see `bench.measure.System`): archive, index, LDAP, CRLs, policy, all of it.

    modern: AES-GCM and OAEP, as agreed with the recipient's domain. postgres: a stopped server for
    the database; otherwise SQLite. folder: distinguishes those of one stage.
    retry: between two attempts. workers: processes that seal.
    """

    def __init__(
        self,
        name: str,
        stage: Stage,
        sink_port: int,
        *,
        modern: bool = False,
        postgres: Postgres | None = None,
        folder: str = "",
        retry: str = "30m",
        workers: int | str = "auto",
    ) -> None:
        self.name = name
        self.house: House = stage.house(
            f"{name.replace(' ', '-')}{folder}",
            rules=_RULES.format(crypto="modern" if modern else "readable"),
            sink_port=sink_port,
            postgres=postgres,
            retry=f'["{retry}"]',
            workers=workers,
        )
        self._postgres = postgres
        if postgres is not None:
            postgres.start()
        self.house.make(persons=False)
        if postgres is not None:
            postgres.stop()
        self.port = self.house.listen_port

    def start(self) -> None:
        """`sceau serve`; returns when it is ready. Its database server runs only meanwhile: what
        that does in the background would slow the others down.
        """
        if self._postgres is not None:
            self._postgres.start()
        self.house.start()

    def stop(self) -> None:
        """End it as an administrator would."""
        self.house.stop()
        if self._postgres is not None:
            self._postgres.stop()

    def settle(self) -> float:
        """Wait until the full-text index has caught up; how many seconds that took."""
        begin = time.monotonic()
        if not self.house.wait_indexed(seconds=_INDEX_SECONDS):
            raise NotStartedError(f"the index is still behind after {_INDEX_SECONDS:.0f} s")
        return time.monotonic() - begin

    def processor(self) -> Mapping[str, float]:
        """By role; the database server is one of them."""
        taken: dict[str, float] = {}
        for role, pids in self.pids().items():
            taken[role] = 0.0
            for pid in pids:
                with suppress(FileNotFoundError, ProcessLookupError):
                    taken[role] += _seconds(pid)
        return taken

    def pids(self) -> dict[str, list[int]]:
        """Process ids by role."""
        assert self.house.process is not None
        found: dict[str, list[int]] = {}
        for pid in (self.house.process.pid, *children_of(self.house.process.pid)):
            with suppress(FileNotFoundError, ProcessLookupError):
                role = _ROLE.search(Path(f"/proc/{pid}/cmdline").read_text())
                found.setdefault(role[1] if role else "supervisor", []).append(pid)
        if self._postgres is not None:
            found["postgresql"] = [self._postgres.pid, *children_of(self._postgres.pid)]
        return found

    def complaints(self) -> str:
        """The end of its log, for a round that did not come to its end."""
        return self.house.log.read_bytes()[-2000:].decode("utf-8", "replace")


def _seconds(pid: int) -> float:
    """User and system time of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
