"""A worker as seen by whoever asks it: one message at a time, watched, and ended where it must.

Of memory what counts is what the process holds in fact (resident, anonymous: /proc/PID/statm),
looked at every hundredth of a second while a message is in its hands. The limits of the kernel
are inside (`walls.Meter`).
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gateway.errors import CannotTell
from gateway.guard import problems
from gateway.guard.answer import Answer, Parcel
from gateway.guard.budget import Budget
from gateway.guard.frames import HEADER, head, parse
from pki.errors import Problem

_LOOK = 10  # milliseconds between two looks at its memory
_READY_WITHIN = 60.0  # seconds: what it imports may lie on a slow disk
_PIECE = 1 << 20

_PAGE = os.sysconf("SC_PAGE_SIZE")
_CPU = (signal.SIGPROF, signal.SIGXCPU)


class _Ended(Exception):
    """The worker is at its end. problem: the reason, where the kernel need not be asked for it."""

    def __init__(self, problem: Problem | None = None) -> None:
        super().__init__()
        self.problem = problem


@dataclass(frozen=True, slots=True)
class _Task:
    """What the worker is at. size: octets of the message. watched: whether its memory counts."""

    size: int
    deadline: float
    watched: bool = True


class Worker:
    """One process. Not for two threads at once."""

    def __init__(self, pid: int, connection: socket.socket, budget: Budget) -> None:
        """pid: of a child of this process, which nobody else waits for. Raises OSError."""
        self.pid = pid
        self.alive = True
        self.answered = 0
        self._budget = budget
        self._connection = connection
        self._descriptors: list[int] = []
        self._status = 0
        connection.setblocking(False)
        try:
            self._end = self._own(os.pidfd_open(pid))
            self._statm = self._own(os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            self.kill()
            raise
        self._poll = select.poll()
        # Its end is looked at apart from its socket, which a child of it may hold open.
        self._poll.register(self._end, select.POLLIN)
        self._before = 0
        self._task = _Task(0, 0.0, watched=False)

    def wait_ready(self, start: Mapping[str, Any] | None = None) -> None:
        """Until it takes messages. Raises CannotTell: it could not be started.

        start: what to tell it before that.
        """
        self._task = _Task(0, time.monotonic() + _READY_WITHIN, watched=False)
        try:
            if start is not None:
                self._send(head(start, 0))
            said, _ = self._receive()
        except _Ended as ended:
            reason = (ended.problem or self._autopsy()).text
        else:
            reason = str(said.get("failed", ""))
            if not reason:
                self._before = self._resident()
                return
            self.kill()
        raise CannotTell("a guarded worker cannot be started: {reason}", facts={"reason": reason})

    def request(self, data: bytes | Parcel, about: Mapping[str, Any]) -> Answer | Problem:
        """One message; afterwards `alive` tells whether it can take another."""
        self._task = _Task(len(data), time.monotonic() + self._budget.wall(len(data)))
        try:
            self._send(head(about, len(data)))
            self._send(data.hand_over() if isinstance(data, Parcel) else data)
            said, octets = self._receive()
        except _Ended as ended:
            return ended.problem or self._autopsy()
        except BaseException:
            # A Ctrl-C, say. Its answer must not be taken for that about the next message.
            self.kill()
            raise
        self.answered += 1
        return self._understood(said, octets)

    def _understood(self, said: dict[str, Any], octets: bytearray) -> Answer | Problem:
        match said:
            case {"answer": dict(value)}:
                return Answer(value, octets)
            case {"fault": [str(kind), str(where)]}:
                return problems.internal(kind, where)
            case {"over": "answer"}:
                return problems.answer(self._budget.answer)
            case {"over": "depth"}:
                return problems.depth()
            case {"over": "memory"}:
                self.kill()  # what it could not free may be anything
                return problems.memory(self._budget.resident(self._task.size))
        self.kill()
        return problems.gone(0)

    def grown(self) -> int:
        """Octets of memory that it holds more than when it was ready."""
        return self._resident() - self._before

    def gone(self) -> bool:
        """Whether it has ended by itself."""
        return not self.alive or bool(select.select([self._end], [], [], 0)[0])

    def kill(self) -> int:
        """End it with all that it has started, for good; its wait status."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)  # it may be too young for a group of its own
            _, self._status = os.waitpid(self.pid, 0)
            self.alive = False
            self._connection.close()
            for descriptor in self._descriptors:
                os.close(descriptor)
        return self._status

    def _own(self, descriptor: int) -> int:
        self._descriptors.append(descriptor)
        return descriptor

    def _autopsy(self) -> Problem:
        """What it died of: who is dead already dies of no further signal."""
        status = self.kill()
        if not os.WIFSIGNALED(status):
            return problems.gone(os.waitstatus_to_exitcode(status))
        if os.WTERMSIG(status) in _CPU:
            return problems.cpu(self._budget.processor(self._task.size))
        return problems.killed(os.WTERMSIG(status))

    def _resident(self) -> int:
        """Octets of memory of its own (proc(5)): resident without what comes from files."""
        fields = os.pread(self._statm, 200, 0).split()
        return (int(fields[1]) - int(fields[2])) * _PAGE if len(fields) > 2 else 0

    def _wait(self, event: int) -> None:
        """Until the socket is ready for `event`. Raises _Ended."""
        self._poll.register(self._connection, event)
        while True:
            ready = dict(self._poll.poll(_LOOK))
            if self._connection.fileno() in ready:
                return
            if self._end in ready:
                raise _Ended
            self._look()

    def _look(self) -> None:
        """End it when it has taken too much. Raises _Ended."""
        task = self._task
        if task.watched and self.grown() > self._budget.resident(task.size):
            reason = problems.memory(self._budget.resident(task.size))
        elif time.monotonic() > task.deadline:
            reason = problems.time(self._budget.wall(task.size))
        else:
            return
        self.kill()
        raise _Ended(reason)

    def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._connection.send(rest[:_PIECE]) :]
            except BlockingIOError:
                self._wait(select.POLLOUT)
            except OSError:  # it went before it had read all
                raise _Ended from None

    def _receive(self) -> tuple[dict[str, Any], bytearray]:
        length, octets = HEADER.unpack(self._exactly(HEADER.size))
        if length > self._budget.answer or octets > self._budget.resident(self._task.size):
            self.kill()
            raise _Ended(problems.answer(self._budget.answer))
        text, result = self._exactly(length), self._exactly(octets)
        try:
            return parse(text), result
        except (ValueError, RecursionError):
            self.kill()
            raise _Ended(problems.gone(0)) from None

    def _exactly(self, number: int) -> bytearray:
        data = bytearray(number)
        rest = memoryview(data)
        while rest:
            try:
                taken = self._connection.recv_into(rest)
            except BlockingIOError:
                self._wait(select.POLLIN)
                continue
            except OSError:
                taken = 0
            if not taken:
                raise _Ended
            rest = rest[taken:]
        return data
