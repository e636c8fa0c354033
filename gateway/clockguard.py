"""Keeps what the wall clock is compared with (`gateway.belief.Basis`): the supervisor's part.

It looks at clocks and one small file, never at the database: it must not wait for anything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog

from gateway.belief import (
    LIMIT,
    Basis,
    Doubt,
    boot_id,
    boot_micros,
    judge,
    read_basis,
    wall_micros,
    write_basis,
)
from gateway.clock import MICROSECOND, to_micros

log = structlog.get_logger()

# What NTP sets right in small steps is followed at the pace at which clocks of sound machines go
# wrong (500 ppm is the most that the kernel itself corrects): a hundred honest steps of three
# seconds over a year are no jump; 299 s now and 299 s in an hour are.
_FOLLOW = 500 / 1_000_000
_FOLLOW_EVERY = 60_000_000
_NOT_WORTH_IT = 1_000_000


class ClockGuard:
    """`begin` once, then `tick` often."""

    def __init__(
        self,
        file: Path,
        *,
        wall: Callable[[], int] = wall_micros,
        boot: Callable[[], int] = boot_micros,
    ) -> None:
        self._file = file
        self._wall = wall
        self._boot = boot
        self._followed = boot()
        self._doubted = False

    def begin(self, last_entry: datetime | None) -> Doubt | None:
        """At the start. last_entry: when the log's last entry by a believed clock was written.

        In the same run of the kernel the comparison goes on where an earlier run of ours left it:
        a restart makes a moved clock no better. After a boot there is the log alone to compare
        with. Raises OSError when the file cannot be written: nothing may run unwatched.
        """
        wall, boot = self._wall(), self._boot()
        floor = 0 if last_entry is None else to_micros(last_entry) - LIMIT // MICROSECOND
        basis = read_basis(self._file)
        if basis is not None:
            basis = replace(basis, floor=floor)
        elif last_entry is not None and wall < floor:
            basis = Basis(boot_id(), to_micros(last_entry) - boot, False, floor)
        else:
            basis = Basis(boot_id(), wall - boot, True, floor)
        write_basis(self._file, basis)
        return self._told(judge(basis, wall, boot))

    def tick(self) -> Doubt | None:
        """One look; says what has changed."""
        wall, boot = self._wall(), self._boot()
        basis = read_basis(self._file)
        if basis is None:
            return None
        doubt = judge(basis, wall, boot)
        if doubt is not None:
            self._followed = boot
        elif not basis.believed:
            self._keep(replace(basis, offset=wall - boot, believed=True))
        elif boot - self._followed >= _FOLLOW_EVERY:
            self._follow(basis, wall - boot, boot)
        return self._told(doubt)

    def _follow(self, basis: Basis, offset: int, boot: int) -> None:
        most = int((boot - self._followed) * _FOLLOW)
        self._followed = boot
        off = offset - basis.offset
        if abs(off) > _NOT_WORTH_IT:
            self._keep(replace(basis, offset=basis.offset + max(-most, min(most, off))))

    def _keep(self, basis: Basis) -> None:
        with suppress(OSError):  # a full disk: at the next look
            write_basis(self._file, basis)

    def _told(self, doubt: Doubt | None) -> Doubt | None:
        if (doubt is not None) != self._doubted:
            self._doubted = doubt is not None
            if doubt is not None:
                log.error("clock_doubted", code=doubt.code, **doubt.facts)
            else:
                log.warning("clock_believed")
        return doubt
