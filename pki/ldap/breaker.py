"""The circuit breaker of one server: closed, open for growing pauses, half-open for one trial."""

from __future__ import annotations

import threading

from pki.errors import Problem
from pki.health import ServerState

# Seconds. A server that restarts is missed for a moment, one that is gone costs a trial a minute.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


class Breaker:
    """Times are monotonic seconds, given by the caller. Thread-safe."""

    def __init__(self, first: float = FIRST_PAUSE, longest: float = LONGEST_PAUSE) -> None:
        self._first = first
        self._longest = longest
        self._lock = threading.Lock()
        self._failures = 0
        self._ticket = 0
        self._until = 0.0
        self._problem: Problem | None = None

    def state(self, now: float) -> ServerState:
        """Where it stands."""
        with self._lock:
            return self._state(now)

    def _state(self, now: float) -> ServerState:
        if self._problem is None:
            return ServerState.CLOSED
        return ServerState.OPEN if now < self._until else ServerState.HALF_OPEN

    def enter(self, now: float, trial: float, *, at_once: bool = False) -> int | Problem:
        """A ticket: go on, and say what came of it. Or why not: it failed, and its pause is not
        over, or somebody is trying it.

        trial: seconds for which others stay away when this is the one that tries. at_once: do not
        wait for the end of a pause.
        """
        with self._lock:
            if self._problem is not None:
                if now < self._until and not at_once:
                    return self._problem
                self._until = now + trial
            return self._ticket

    def worked(self) -> bool:
        """It answered. True: it had failed before."""
        with self._lock:
            before, self._problem, self._failures = self._problem, None, 0
            return before is not None

    def failed(self, ticket: int, reason: Problem, now: float) -> bool:
        """It did not. True: it was well before.

        A dozen look-ups that were on their way when it died are one failure: the others' tickets
        are from before.
        """
        with self._lock:
            if ticket != self._ticket:
                return False
            self._ticket += 1
            first = self._problem is None
            self._failures += 1
            self._problem = reason
            doublings = min(self._failures - 1, 20)
            self._until = now + min(self._first * 2**doublings, self._longest)
            return first

    def snapshot(self, now: float) -> tuple[ServerState, int, float, Problem | None]:
        """State, failures in a row, seconds left of the pause, the last failure."""
        with self._lock:
            pause = max(self._until - now, 0.0) if self._problem else 0.0
            return self._state(now), self._failures, pause, self._problem
