"""`sceau serve`: starts one process per role and core, watches over them, stops them.

A child that dies is replaced and what it had claimed is handed out again. A child whose parent
dies sees the end of its standard input and ends: no worker outlives the supervisor's lock.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import structlog

from gateway.errors import SceauError

ROLES = ("intake", "worker", "keeper", "index")

log = structlog.get_logger()

# Exit codes of a child that was not ended by a mail: its parent is gone, or the storage failed.
PARENT_GONE, STORAGE_FAILED = 3, 4

# A child that dies at once is not started again at once: 0.1 s, 0.2 s, … up to 10 s.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_STEADY_AFTER = 30.0


@dataclass
class Child:
    """One running process and what is known of it."""

    role: str
    name: str
    process: subprocess.Popen[bytes]
    started: float
    ready: bool = False


@dataclass
class Plan:
    """What to run: how many processes of each role, and where they listen."""

    config: Path
    counts: dict[str, int]
    listen: socket.socket | None
    lock: Path
    grace: float = 30.0


@dataclass
class Supervisor:
    """Runs the plan until SIGTERM, SIGINT or SIGHUP.

    on_start: called once the lock is held: frees what an earlier run had claimed, and binds the
        port (`plan.listen`).
    on_death: called with the name of a child that died, and whether what it had in hand may have
        been the reason: frees its claims. When it raises, it is called again later: the database
        may be what the child died of, and somebody must be there when that is over.
    on_ready: called once, when every child has said that it is ready.
    """

    plan: Plan
    on_start: Callable[[], None]
    on_death: Callable[[str, bool], None]
    on_ready: Callable[[], None]
    _children: list[Child] = field(default_factory=list)
    _pauses: dict[str, float] = field(default_factory=dict)
    _due: list[tuple[float, str]] = field(default_factory=list)
    _unfreed: list[tuple[str, bool]] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _stopping: bool = False
    _announced: bool = False

    def run(self) -> None:
        """Block until stopped. Raises SceauError if another supervisor has the same data."""
        with self.plan.lock.open("ab") as lock:
            self._lock(lock)
            self._install_signals()
            self.on_start()
            for role, count in self.plan.counts.items():
                for _ in range(count):
                    self._start(role)
            while not self._stopping:
                self._wait(0.5)
                self._replace_the_dead()
                self._free_claims()
                self._start_what_is_due()
            self._stop_all()

    def _lock(self, lock: IO[bytes]) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SceauError(
                "another sceau serve already runs on this data ({lock})",
                hint="stop it first; two would deliver the same mail twice",
                facts={"lock": str(self.plan.lock)},
            ) from None

    def _install_signals(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ, lambda: os.read(reader, 512))

        def stop(_signal: int, _frame: object) -> None:
            self._stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        # Nothing is read anew; but an unhandled one would end this process and leave mail claimed.
        signal.signal(signal.SIGHUP, stop)

    def _start(self, role: str) -> None:
        name = f"{role}-{secrets.token_hex(4)}"
        command, fds = self._command(role, name)
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, fixed arguments
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=fds,
            start_new_session=True,  # a Ctrl-C reaches us alone; we tell the children
        )
        child = Child(role, name, process, time.monotonic())
        self._children.append(child)
        assert process.stdout is not None
        self._selector.register(
            process.stdout, selectors.EVENT_READ, lambda: self._heard_from(child)
        )

    def _command(self, role: str, name: str) -> tuple[list[str], Sequence[int]]:
        """What to run, and the file descriptors that it inherits."""
        command = [sys.executable, "-m", "gateway.roles", role]
        command += ["--config", str(self.plan.config), "--name", name]
        if role != "intake" or self.plan.listen is None:
            return command, ()
        fd = self.plan.listen.fileno()
        return [*command, "--listen-fd", str(fd)], (fd,)

    def _wait(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            key.data()

    def _heard_from(self, child: Child) -> None:
        assert child.process.stdout is not None
        said = os.read(child.process.stdout.fileno(), 512)
        if b"ready" in said:
            child.ready = True
            if not self._announced and all(c.ready for c in self._children) and not self._due:
                self._announced = True
                self.on_ready()
        elif not said:
            self._selector.unregister(child.process.stdout)

    def _replace_the_dead(self) -> None:
        for child in [c for c in self._children if c.process.poll() is not None]:
            self._children.remove(child)
            self._forget(child)
            if self._stopping:
                continue
            lived = time.monotonic() - child.started
            log.error(
                "process_died",
                role=child.role,
                name=child.name,
                exit=child.process.returncode,
                seconds=round(lived, 3),
            )
            blame = child.process.returncode not in (PARENT_GONE, STORAGE_FAILED)
            self._unfreed.append((child.name, blame))
            pause = (
                _FIRST_PAUSE if lived > _STEADY_AFTER else self._pauses.get(child.role, 0.05) * 2
            )
            self._pauses[child.role] = min(pause, _LONGEST_PAUSE)
            self._due.append((time.monotonic() + self._pauses[child.role], child.role))

    def _free_claims(self) -> None:
        for one in tuple(self._unfreed):
            try:
                self.on_death(*one)
            except Exception as error:  # noqa: BLE001 - tried again at the next turn
                log.error("claims_not_freed", name=one[0], reason=type(error).__name__)
                return
            self._unfreed.remove(one)

    def _start_what_is_due(self) -> None:
        now = time.monotonic()
        ripe = [role for when, role in self._due if when <= now]
        self._due = [(when, role) for when, role in self._due if when > now]
        for role in ripe:
            self._start(role)

    def _forget(self, child: Child) -> None:
        for stream in (child.process.stdin, child.process.stdout):
            assert stream is not None
            if stream is child.process.stdout and stream.fileno() in self._selector.get_map():
                self._selector.unregister(stream)
            with suppress(BrokenPipeError):
                stream.close()

    def _stop_all(self) -> None:
        log.info("stopping", processes=len(self._children))
        # Intake first: no new mail while the workers finish what they hold.
        for child in sorted(self._children, key=lambda c: ROLES.index(c.role)):
            child.process.terminate()
        end = time.monotonic() + self.plan.grace
        for child in self._children:
            try:
                child.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("process_killed", role=child.role, name=child.name)
                child.process.kill()
                child.process.wait()
                self._unfreed.append((child.name, False))
            self._forget(child)
        self._children.clear()
        self._free_claims()
        log.info("stopped")
