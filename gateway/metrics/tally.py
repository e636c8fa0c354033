"""Sums of one process: counted in memory, written to a file each second, added up by a reader.

A process that is started again goes on from its file (files are named after places, "intake-0",
not after processes), so sums do not fall when a process or the whole gateway is restarted. What a
killed process had counted in its last second is lost: the archive's log is the account, this is a
gauge on the wall.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from gateway.metrics.names import COUNTERS, HISTOGRAMS
from gateway.wholefile import replace_text

T = TypeVar("T")

# Label values come from peers too (status codes): one who invents them must not fill memory.
_MOST_SERIES = 200
_OTHER = "other"
_EVERY = 1.0  # seconds

Series = tuple[str, tuple[str, ...]]


class Tally:
    """Sums. Safe for threads; an `add` costs less than a microsecond."""

    def __init__(self, file: Path | None = None) -> None:
        """file: where `save` writes, and what earlier sums are read from; None for neither."""
        self._file = file
        self._lock = threading.Lock()
        self._changed = False
        self.counters: dict[Series, float] = {}
        # Per histogram: observations in each bucket (not cumulative; the last is +Inf), their sum.
        self.buckets: dict[str, list[int]] = {}
        self.sums: dict[str, float] = {}
        self._series: dict[str, int] = {}
        if file is not None:
            self.merge(file)
            self._changed = False

    def add(self, name: str, labels: tuple[str, ...] = (), amount: float = 1) -> None:
        """Count. name, labels: as in `names.COUNTERS`."""
        key = (name, labels)
        with self._lock:
            if key not in self.counters:
                key = self._new_series(name, labels)
            self.counters[key] += amount
            self._changed = True

    def observe(self, name: str, seconds: float) -> None:
        """Note a duration in a histogram of `names.HISTOGRAMS`."""
        bounds = HISTOGRAMS[name][1]
        with self._lock:
            counts = self.buckets.setdefault(name, [0] * (len(bounds) + 1))
            counts[bisect_left(bounds, seconds)] += 1
            self.sums[name] = self.sums.get(name, 0.0) + seconds
            self._changed = True

    def _new_series(self, name: str, labels: tuple[str, ...]) -> Series:
        if self._series.get(name, 0) >= _MOST_SERIES:
            labels = (_OTHER,) * len(labels)
        key = (name, labels)
        if key not in self.counters:
            self._series[name] = self._series.get(name, 0) + 1
            self.counters[key] = 0
        return key

    def save(self) -> None:
        """Write the sums if they have changed. A full disk is no reason to stop counting."""
        if self._file is None or not self._changed:
            return
        with self._lock:
            self._changed = False
            value = {
                "counters": [[name, labels, n] for (name, labels), n in self.counters.items()],
                "buckets": self.buckets,
                "sums": self.sums,
            }
            text = json.dumps(value)
        try:  # not synced: see the top of this file
            replace_text(self._file, text)
        except OSError:
            self._changed = True

    def merge(self, file: Path) -> None:
        """Add the sums of a file; one that is missing or damaged adds nothing."""
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            self._merge(json.loads(file.read_text("utf-8")))

    def _merge(self, value: dict[str, Any]) -> None:
        for name, labels, number in value["counters"]:
            if name in COUNTERS and len(labels) == len(COUNTERS[name][1]):
                self.add(name, tuple(map(str, labels)), float(number))
        for name, counts in value["buckets"].items():
            bounds = HISTOGRAMS[name][1] if name in HISTOGRAMS else ()
            if len(counts) == len(bounds) + 1:  # buckets of another version say nothing
                mine = self.buckets.setdefault(name, [0] * len(counts))
                self.buckets[name] = [a + int(b) for a, b in zip(mine, counts, strict=True)]
                self.sums[name] = self.sums.get(name, 0.0) + float(value["sums"][name])

    def total(self, name: str) -> float:
        """A sum over all its labels."""
        return sum(number for (one, _), number in self.counters.items() if one == name)


def tally_file(run_folder: Path, place: str) -> Path:
    """The file of one process place ("worker-1")."""
    return run_folder / f"tally-{place}.json"


def all_sums(run_folder: Path) -> Tally:
    """The sums of all processes, those that are gone too."""
    found = Tally()
    for file in sorted(run_folder.glob("tally-*.json")):
        found.merge(file)
    return found


@contextmanager
def saved(tally: Tally) -> Iterator[None]:
    """Save each second while the block runs, and once more at its end."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(_EVERY):
            tally.save()

    thread = threading.Thread(target=run, name="tally", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        tally.save()


def timed(
    transaction: Callable[[], AbstractContextManager[T]], tally: Tally | None
) -> Callable[[], AbstractContextManager[T]]:
    """Write transactions that are measured, from asking for one until it is durable."""
    if tally is None:
        return transaction

    @contextmanager
    def measured() -> Iterator[T]:
        begun = perf_counter()
        with transaction() as connection:
            yield connection
        tally.observe("sceau_commit_seconds", perf_counter() - begun)

    return measured


def make_run_folder(folder: Path) -> Path:
    """Make the folder for what the running gateway tells of itself (mode 0700)."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    return folder
