"""Whether the wall clock can be believed, and the time to go by while it cannot.

Certificates, revocation lists and the end of a mail's time are judged by the wall clock, which
anybody with the right to set it, or a time server that lies, can move: back, until a revoked
certificate is good again; ahead, until every waiting mail is too old. CLOCK_BOOTTIME beside it
cannot be set, and runs on while the machine sleeps. What the two differ by changes only when the
wall clock is set.

Time that is judged by comes from `Belief.now`: the wall clock while it is believed; otherwise the
last believed one, which has run on evenly since. Entries of the log alone carry the wall clock as
it was, whatever it shows, and a field that says so (`marked`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from archive.store import Draft
from gateway import sortedjson
from gateway.clock import from_micros, rfc3339, to_micros
from gateway.i18n import message
from gateway.wholefile import replace_text

# Further than this from where it should be, the clock is not believed. NTP corrects seconds, a
# leap second is one; a certificate that is 300 s too old or too young is within what clocks of
# honest machines differ by.
LIMIT = timedelta(seconds=300)
# Seconds of CLOCK_BOOTTIME between two looks at the file: what another process has decided.
_LOOK = 0.5

MOVED, BEHIND = "clock.moved", "clock.behind-the-log"
FIELD = "clock"  # of entries that were written while the clock was not believed

_MICRO = timedelta(microseconds=1)
_LIMIT = LIMIT // _MICRO


@dataclass(frozen=True, slots=True)
class Basis:
    """What the clock is compared with. Times are microseconds.

    boot: which run of the kernel this is of; CLOCK_BOOTTIME of another one means nothing.
    offset: wall clock less CLOCK_BOOTTIME when the wall clock was last believed. With `believed`
    False nobody has believed it in this run yet: then it is a guess, from the log's last entry.
    floor: the earliest wall clock that the log's last entry allows.
    """

    boot: str
    offset: int
    believed: bool = True
    floor: int = 0


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why the wall clock is not believed. wall: what it shows; expected: what it should."""

    code: str
    wall: datetime
    expected: datetime

    @property
    def seconds(self) -> int:
        """How far off the wall clock is; positive: ahead."""
        return round((self.wall - self.expected).total_seconds())

    @property
    def template(self) -> str:
        """The English sentence, for the facts of `facts`."""
        return _TEXTS[self.code]

    @property
    def facts(self) -> dict[str, str]:
        """Places of `template`."""
        return {
            "wall": rfc3339(self.wall),
            "expected": rfc3339(self.expected),
            "seconds": f"{self.seconds:+d}",
        }


_TEXTS = {
    MOVED: message(
        "the clock shows {wall} and should show {expected}: it was moved by {seconds} s"
    ),
    BEHIND: message("the clock shows {wall}, and the log's last entry was written at {expected}"),
}


def judge(basis: Basis, wall: int, boot: int) -> Doubt | None:
    """None if `wall` is to be believed at `boot` (both microseconds). Pure."""
    if basis.believed and abs(wall - boot - basis.offset) > _LIMIT:
        return Doubt(MOVED, from_micros(wall), from_micros(boot + basis.offset))
    if wall < basis.floor:
        return Doubt(BEHIND, from_micros(wall), from_micros(basis.floor + _LIMIT))
    return None


def wall_micros() -> int:
    """The wall clock, in microseconds."""
    return time.time_ns() // 1000


def boot_micros() -> int:
    """CLOCK_BOOTTIME, in microseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def boot_id() -> str:
    """Which run of the kernel this is; "" where nobody tells."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def read_basis(file: Path) -> Basis | None:
    """What `gateway.clockguard` has written for this run of the kernel; None: nothing."""
    try:
        basis = Basis(**json.loads(file.read_text("ascii")))
    except (OSError, ValueError, TypeError):
        return None
    return basis if basis.boot == boot_id() else None


def write_basis(file: Path, basis: Basis) -> None:
    """Replace the file. Raises OSError."""
    replace_text(file, json.dumps(asdict(basis)))


class Belief:
    """One process's view. All of it costs microseconds, and asks neither database nor network.

    file: of the basis, which `sceau serve` keeps; without one the wall clock is believed.
    """

    def __init__(
        self,
        file: Path,
        *,
        wall: Callable[[], int] = wall_micros,
        boot: Callable[[], int] = boot_micros,
    ) -> None:
        self.file = file
        self._wall = wall
        self._boot = boot
        self._basis: Basis | None = None
        self._written: Basis | None = None  # as it was last read
        self._look_at = 0

    def now(self) -> datetime:
        """The time to judge by and to queue by, aware UTC."""
        wall, boot = self._wall(), self._boot()
        basis = self._newest(boot)
        if basis is None or judge(basis, wall, boot) is None:
            return from_micros(wall)
        return from_micros(boot + basis.offset)

    def doubt(self) -> Doubt | None:
        """Why the wall clock is not believed now; None: it is."""
        wall, boot = self._wall(), self._boot()
        basis = self._newest(boot)
        return None if basis is None else judge(basis, wall, boot)

    def saw_last_entry(self, written: datetime | None) -> None:
        """The log's last entry by a believed clock: another machine may have written it."""
        if written is None:
            return
        boot, last = self._boot(), to_micros(written)
        basis = self._newest(boot) or Basis(boot_id(), last - boot, believed=False)
        self._basis = replace(basis, floor=last - _LIMIT)

    def marked(self, drafts: Sequence[Draft]) -> Sequence[Draft]:
        """Entries that say that their time is not believed, as long as it is not."""
        if not drafts or (doubt := self.doubt()) is None:
            return drafts
        value = sortedjson.encode({"code": doubt.code, **doubt.facts}).encode()
        return [replace(one, fields={**one.fields, FIELD: value}) for one in drafts]

    def _newest(self, boot: int) -> Basis | None:
        if boot >= self._look_at:
            self._look_at = boot + int(_LOOK * 1_000_000)
            written = read_basis(self.file)
            if written is not None and written != self._written:
                self._basis = self._written = written
        return self._basis
