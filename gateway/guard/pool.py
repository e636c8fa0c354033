"""A pool of guarded workers for a service, asked by many threads."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from gateway.errors import CannotTell
from gateway.guard.answer import Answer
from gateway.guard.budget import MEGABYTE, Budget
from gateway.guard.outside import Worker
from gateway.guard.start import spawn
from pki.errors import Problem

# A worker is replaced after so many messages, or when it holds so much more than at its start:
# what leaks, leaks for as long only, and what a message may have left behind does not stay.
REQUESTS = 10_000
GROWTH = 64 * MEGABYTE

_PAUSE = 1.0  # seconds until a worker that could not be started is tried again


class Busy(CannotTell):
    """All workers were at work for as long as the caller would wait. Says nothing of a message."""


class Guarded:
    """Runs one function in some processes, one message at a time in each. For many threads.

    An event loop asks by `asyncio.to_thread(guarded.run, data)`.
    """

    def __init__(
        self,
        factory: str,
        config: Mapping[str, Any] | None = None,
        *,
        workers: int = 1,
        budget: Budget | None = None,
        waiting: int = 64,
    ) -> None:
        """Returns at once; workers start one after the other. Raises TypeError: no JSON.

        factory: "module:function", called in each worker with `config` (plain data, as JSON has
        it); it gives the guarded function. waiting: callers who may wait for a free worker.
        """
        json.dumps(config)
        self._start = (factory, dict(config or {}), budget or Budget())
        self._state = threading.Condition()
        self._idle: list[Worker] = []
        self._alive: set[Worker] = set()
        self._missing = workers
        self._waiting = 0
        self._most_waiting = waiting
        self._trouble: str | None = None
        self._closed = False
        # All are started by one thread that lives as long as they may: they end with it (`spawn`).
        self._starter = threading.Thread(target=self._keep_up, name="guard", daemon=True)
        self._starter.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all workers. What is in their hands gets no answer: `run` raises CannotTell."""
        with self._state:
            self._closed = True
            self._state.notify_all()
        self._starter.join()
        with self._state:
            for worker in self._idle:
                worker.kill()
            self._idle.clear()

    def run(
        self, data: bytes, about: Mapping[str, Any] | None = None, *, wait: float = 30.0
    ) -> Answer | Problem:
        """What the function gives for a message, or what the message took too much of.

        about: plain data for the function. wait: seconds for a free worker. Raises Busy, and
        CannotTell where workers cannot be started or the pool was closed meanwhile.
        """
        worker = self._take(wait)
        try:
            found = worker.request(data, about or {})
        finally:
            self._give_back(worker)
        if self._closed and isinstance(found, Problem):
            raise CannotTell("the guarded workers were stopped")
        return found

    def pids(self) -> set[int]:
        """Process numbers of the workers that live now."""
        with self._state:
            return {worker.pid for worker in self._alive}

    def _take(self, wait: float) -> Worker:
        deadline = time.monotonic() + wait
        with self._state:
            if not self._idle and self._waiting >= self._most_waiting:
                raise Busy("all guarded workers are busy, and enough callers wait for them")
            self._waiting += 1
            try:
                while True:
                    worker = self._next_idle()
                    if worker is not None:
                        return worker
                    if self._closed:
                        raise CannotTell("the guarded workers were stopped")
                    if self._trouble is not None and not self._alive:
                        raise CannotTell(
                            "a guarded worker cannot be started: {reason}",
                            facts={"reason": self._trouble},
                        )
                    if not self._state.wait(deadline - time.monotonic()):
                        raise Busy("all guarded workers are busy")
            finally:
                self._waiting -= 1

    def _next_idle(self) -> Worker | None:
        """One that lives; whoever has died while it waited (out of memory, say) is replaced."""
        while self._idle:
            worker = self._idle.pop()
            if not worker.gone():
                return worker
            self._replace(worker)
        return None

    def _give_back(self, worker: Worker) -> None:
        with self._state:
            fit = worker.alive and worker.answered < REQUESTS and worker.grown() < GROWTH
            if fit and not self._closed:
                self._idle.append(worker)
            else:
                self._replace(worker)
            self._state.notify_all()

    def _replace(self, worker: Worker) -> None:
        """The lock is held."""
        if worker.alive:
            worker.kill()
        self._alive.discard(worker)
        self._missing += 1
        self._state.notify_all()

    def _keep_up(self) -> None:
        """Start who is missing, until the pool is closed."""
        while True:
            with self._state:
                self._state.wait_for(lambda: self._closed or self._missing)
                if self._closed:
                    return
            try:
                worker = spawn(*self._start)
            except Exception as error:  # noqa: BLE001 - it is told to those who wait
                reason = error.facts["reason"] if isinstance(error, CannotTell) else str(error)
                with self._state:
                    self._trouble = reason
                    self._state.notify_all()
                    self._state.wait_for(lambda: self._closed, _PAUSE)
                continue
            with self._state:
                self._trouble = None
                self._missing -= 1
                self._alive.add(worker)
                self._idle.append(worker)
                self._state.notify_all()
