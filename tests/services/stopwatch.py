"""Seconds that count against what is measured, not against the machine.

A machine that serves many stands still at times: the whole of it, or this process. What waits for a
time limit and is woken three seconds late has not waited three seconds too long.
"""

from __future__ import annotations

import threading
import time

_TICK = 0.005
# Later than this, a thread that only sleeps was kept from running.
_LATE = 0.02


class Stopwatch:
    """A context manager. `seconds`: since its begin until its end or now, less those in which a
    thread beside it, which does nothing, could not run when it should.

    For upper bounds only. Work of ours in Python is counted in full: threads take turns.
    """

    def __init__(self) -> None:
        self._lost: list[tuple[float, float]] = []  # from when until when
        self._begun = 0.0
        self._ended: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Stopwatch:
        self._begun = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._ended = time.monotonic()
        self._over.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """See above."""
        return self.between(self._begun, time.monotonic() if self._ended is None else self._ended)

    def between(self, begun: float, ended: float) -> float:
        """The same of a part of the time, from and to a moment of `time.monotonic`."""
        lost = sum(max(0.0, min(ended, end) - max(begun, start)) for start, end in self._lost)
        return ended - begun - lost

    def _tick(self) -> None:
        before = self._begun
        while not self._over.is_set():
            time.sleep(_TICK)
            now = time.monotonic()
            if now - before - _TICK > _LATE:
                self._lost.append((before + _TICK, now))
            before = now
