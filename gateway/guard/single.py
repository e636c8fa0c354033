"""One guarded worker for a command, started when there is something for it to do."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from gateway.guard.answer import Answer, Function, Parcel
from gateway.guard.budget import Budget
from gateway.guard.outside import Worker
from gateway.guard.start import fork
from pki.errors import Problem


class Single:
    """Runs `function` in a copy of this process, which has no other threads."""

    def __init__(self, function: Function, budget: Budget | None = None) -> None:
        """function: anything that can be called; it needs no name."""
        self._function = function
        self._budget = budget or Budget()
        self._worker: Worker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        if self._worker is not None and self._worker.alive:
            self._worker.kill()

    def start(self) -> None:
        """See that there is a worker. What is read after that is in this process alone, and not in
        the copy, too. Raises CannotTell, OSError: none can be started.
        """
        self._ready()

    def run(self, data: bytes | Parcel, about: Mapping[str, Any] | None = None) -> Answer | Problem:
        """What the function gives for a message, or what the message took too much of.

        about: plain data for the function. Raises as `start`.
        """
        return self._ready().request(data, about or {})

    def _ready(self) -> Worker:
        if self._worker is None or not self._worker.alive:
            self._worker = fork(self._function, self._budget)
        return self._worker
