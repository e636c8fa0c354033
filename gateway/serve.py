"""`sceau serve`: starts one process per role and core, watches over them, stops them.

A child that dies is replaced and what it had claimed is handed out again; one that gives no sign of
life is killed first. A child whose parent dies is killed by the kernel: no worker outlives the
supervisor's lock (`gateway.lifeline`).
SIGHUP reads the configuration anew (`gateway.handover`).
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
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import structlog

from gateway.accepted import Accepted
from gateway.errors import SceauError
from gateway.handover import HandoverFailed, handover
from gateway.notify import Notifier

ROLES = ("intake", "worker", "keeper", "index")

log = structlog.get_logger()

# Exit codes of a child that was not ended by a mail: its parent is gone, or the storage failed.
PARENT_GONE, STORAGE_FAILED = 3, 4

# Tells an intake that others take new connections now.
RETIRE = signal.SIGUSR1

# A child that dies at once is not started again at once: 0.1 s, 0.2 s, … up to 10 s.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_STEADY_AFTER = 30.0
# Seconds until claims that could not be freed are tried again; how long the end waits for that.
# What stays claimed is freed at the next start, or by another machine.
_FREE_AGAIN, _LAST_FREE = 1.0, 10.0
_DEAF = 5.0
# What was replaced may end what it has in hand: a delivery that has sent its dot waits ten
# minutes for the answer (RFC 5321 §4.5.3.2.6), and cutting it off would send that mail twice.
_RETIRING = 900.0


@dataclass
class Plan:
    """What to run: how many processes of each role, and where they listen.

    accepted: the configuration that children get; without it they read the file `config`.
    metrics: where the keeper answers Prometheus.
    silence: seconds without a sign of life after which a process is killed and replaced.
    """

    config: Path
    counts: dict[str, int]
    listen: socket.socket | None
    lock: Path
    grace: float = 30.0
    accepted: Accepted | None = None
    metrics: socket.socket | None = None
    silence: float = 60.0

    @property
    def sockets(self) -> list[socket.socket]:
        """What is open for its children."""
        return [one for one in (self.listen, self.metrics) if one is not None]

    def close(self, *, but: Plan | None = None) -> None:
        """Give back what only this plan has. but: the plan that stays in force."""
        kept = [] if but is None else but.sockets
        for one in self.sockets:
            if one not in kept:
                one.close()
        if self.accepted is not None:
            self.accepted.close()


@dataclass
class Child:
    """One running process and what is known of it.

    place: "worker-1"; a process that takes the place of another goes on with its sums.
    retiring: it was replaced or is to end; killed at `deadline` (monotonic seconds).
    heard: its last sign of life; infinite before the first: starting takes as long as it takes.
    """

    role: str
    name: str
    place: str
    plan: Plan
    process: subprocess.Popen[bytes]
    started: float
    heard: float = float("inf")
    ready: bool = False
    retiring: bool = False
    deadline: float = float("inf")


class ReloadRefused(Exception):
    """The configuration cannot be taken; `faults` are sentences, all of them."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = list(faults)


@dataclass
class Supervisor:
    """Runs the plan until SIGTERM or SIGINT.

    on_start: called once the lock is held: frees what an earlier run had claimed, and binds the
        port (`plan.listen`).
    on_death: called with the name of a child that died, and whether what it had in hand may have
        been the reason: frees its claims. When it raises, it is called again later: the database
        may be what the child died of, and somebody must be there when that is over.
    on_ready: called once, when every child has said that it is ready.
    on_reload: a new plan in the place of the one in force. Raises ReloadRefused. Without it
        SIGHUP ends everything in order.
    on_reloaded: how that ended: what kept the plan from being taken, none if it is in force.
    on_change: processes came, went, or changed.
    on_turn: called at least twice a second; must not wait for anything.
    """

    plan: Plan
    on_start: Callable[[], None]
    on_death: Callable[[str, bool], None]
    on_ready: Callable[[], None]
    on_reload: Callable[[Plan], Plan] | None = None
    on_reloaded: Callable[[Sequence[str]], None] = lambda _faults: None
    on_change: Callable[[Sequence[Child], Sequence[Child]], None] = lambda _all, _dead: None
    on_turn: Callable[[], object] = lambda: None
    notifier: Notifier = field(default_factory=lambda: Notifier({}))
    children: list[Child] = field(default_factory=list)
    _pauses: dict[str, float] = field(default_factory=dict)
    _due: list[tuple[float, str]] = field(default_factory=list)
    _unfreed: list[tuple[str, bool]] = field(default_factory=list)
    _freed: set[tuple[str, bool]] = field(default_factory=set)
    _freeing: threading.Thread | None = None
    _free_again: float = 0.0  # 0: the last time went well
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _listened: float = field(default_factory=time.monotonic)
    _stopping: bool = False
    _announced: bool = False
    _told_to_reload: bool = False
    _next: Plan | None = None  # while it is being put in the place of `plan`
    _handover: Iterator[None] | None = None
    _terminal: bool = field(default_factory=lambda: os.isatty(2))

    def run(self) -> None:
        """Block until stopped. Raises SceauError if another supervisor has the same data."""
        with self.plan.lock.open("ab") as lock:
            self._lock(lock)
            self._install_signals()
            self.on_start()
            for role, count in self.plan.counts.items():
                for _ in range(count):
                    self.start(role, self.plan)
            while not self._stopping:
                self._wait(0.5 if self._handover is None else 0.05)
                self._replace_the_dead()
                self._free_claims()
                self._start_what_is_due()
                self._reload()
                self.on_turn()
                self.notifier.alive()
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

        def reload(_signal: int, _frame: object) -> None:
            # A terminal that was closed says SIGHUP too: nobody reads what we say any more.
            if self.on_reload is None or (self._terminal and not os.isatty(2)):
                self._stopping = True
            self._told_to_reload = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, reload)

    # -- children ------------------------------------------------------------------------------

    def start(self, role: str, plan: Plan) -> Child:
        """Start a process for `role` as `plan` has it."""
        name = f"{role}-{secrets.token_hex(4)}"
        command, fds = self._command(role, name, plan)
        taken = {child.place for child in self.children}
        place = next(p for n in range(len(taken) + 1) if (p := f"{role}-{n}") not in taken)
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, fixed arguments
            [*command, *(["--place", place] if plan.accepted else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=fds,
            start_new_session=True,  # a Ctrl-C reaches us alone; we tell the children
        )
        child = Child(role, name, place, plan, process, time.monotonic())
        self.children.append(child)
        assert process.stdout is not None
        self._selector.register(
            process.stdout, selectors.EVENT_READ, lambda: self._heard_from(child)
        )
        self.on_change(self.children, ())
        return child

    def _command(self, role: str, name: str, plan: Plan) -> tuple[list[str], Sequence[int]]:
        """What to run, and the file descriptors that it inherits."""
        command = [sys.executable, "-m", "gateway.roles", role]
        command += ["--config", str(plan.config), "--name", name]
        fds: list[int] = []
        if plan.accepted is not None:
            command += ["--accepted", str(plan.accepted.fd)]
            fds += plan.accepted.fds
        for option, of, listening in (
            ("--listen-fd", "intake", plan.listen),
            ("--metrics-fd", "keeper", plan.metrics),
        ):
            if role == of and listening is not None:
                command += [option, str(listening.fileno())]
                fds.append(listening.fileno())
        return command, fds

    def retire(self, child: Child) -> None:
        """Let it end what it has in hand; nothing new comes to it."""
        child.retiring = True
        child.deadline = time.monotonic() + _RETIRING
        child.process.send_signal(RETIRE if child.role == "intake" else signal.SIGTERM)
        self.on_change(self.children, ())

    def _wait(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            key.data()

    def _heard_from(self, child: Child) -> None:
        assert child.process.stdout is not None
        said = os.read(child.process.stdout.fileno(), 512)
        child.heard = time.monotonic()
        if b"ready" in said:
            child.ready = True
            self.on_change(self.children, ())
            if not self._announced and all(c.ready for c in self.children) and not self._due:
                self._announced = True
                self.on_ready()
        elif not said:
            self._selector.unregister(child.process.stdout)

    def _replace_the_dead(self) -> None:
        now = time.monotonic()
        # Who has not listened himself (stopped, or busy with a reload) has not heard them. The
        # monotonic clock stands still while the machine sleeps, and so do they.
        blind = now - self._listened > _DEAF
        self._listened = now
        for child in self.children:
            if blind:
                child.heard = max(child.heard, now)
            silent = now - child.heard > child.plan.silence
            if (silent or now > child.deadline) and child.process.poll() is None:
                if silent:
                    log.error("process_silent", role=child.role, name=child.name)
                self._kill(child)
        dead = [c for c in self.children if c.process.poll() is not None]
        for child in dead:
            self.children.remove(child)
            self._forget(child)
            if self._stopping:
                continue
            code = child.process.returncode
            if child.retiring and (code == 0 or not child.ready):
                continue
            lived = time.monotonic() - child.started
            log.error(
                "process_died",
                role=child.role,
                name=child.name,
                exit=code,
                seconds=round(lived, 3),
            )
            by_us = child.retiring and code == -signal.SIGKILL
            blame = code not in (PARENT_GONE, STORAGE_FAILED) and not by_us
            self._unfreed.append((child.name, blame))
            if child.retiring or child.plan is not self.plan:
                continue  # it has been replaced, or a handover deals with it
            pause = (
                _FIRST_PAUSE if lived > _STEADY_AFTER else self._pauses.get(child.role, 0.05) * 2
            )
            if child.ready and code < 0:
                # It worked and was killed, as by a poisoned mail, which is held soon: others wait.
                pause = _FIRST_PAUSE
            self._pauses[child.role] = min(pause, _LONGEST_PAUSE)
            self._due.append((time.monotonic() + self._pauses[child.role], child.role))
        if dead:
            self.on_change(self.children, [child for child in dead if not child.retiring])

    def _free_claims(self, *, seconds: float = 0.0) -> None:
        """Go on with it in a thread of its own: a database that is away must not keep what died
        from being replaced, nor the watchdog from hearing of us. seconds: to wait for it.
        """
        if self._freeing is None and self._unfreed and time.monotonic() >= self._free_again:
            self._freeing = threading.Thread(
                target=self._free, args=(tuple(self._unfreed),), name="free-claims", daemon=True
            )
            self._freeing.start()
        if self._freeing is None:
            return
        self._freeing.join(seconds)
        if not self._freeing.is_alive():
            self._freeing = None
            self._unfreed = [one for one in self._unfreed if one not in self._freed]
            self._freed.clear()

    def _free(self, claims: Sequence[tuple[str, bool]]) -> None:
        for one in claims:
            try:
                self.on_death(*one)
            except Exception as error:  # noqa: BLE001 - tried again soon
                if not self._free_again:
                    log.error("claims_not_freed", name=one[0], reason=type(error).__name__)
                self._free_again = time.monotonic() + _FREE_AGAIN
                return
            self._freed.add(one)
        self._free_again = 0.0

    def _start_what_is_due(self) -> None:
        now = time.monotonic()
        ripe = [role for when, role in self._due if when <= now]
        self._due = [(when, role) for when, role in self._due if when > now]
        for role in ripe:
            self.start(role, self.plan)

    def _forget(self, child: Child) -> None:
        for stream in (child.process.stdin, child.process.stdout):
            assert stream is not None
            if stream is child.process.stdout and stream.fileno() in self._selector.get_map():
                self._selector.unregister(stream)
            with suppress(BrokenPipeError):
                stream.close()

    # -- a new plan ----------------------------------------------------------------------------

    def _reload(self) -> None:
        """Begin to read anew if somebody asked for it; go on with what was begun."""
        if self._told_to_reload and self._handover is None and self.on_reload is not None:
            self._told_to_reload = False
            self.notifier.reloading()
            log.info("reload_begun")
            try:
                self._next = self.on_reload(self.plan)
            except ReloadRefused as refused:
                self._reloaded(refused.faults)
                return
            self._handover = handover(self, self._next)
        if self._handover is None or self._next is None:
            return
        try:
            next(self._handover)
        except StopIteration:
            self._reloaded(())
        except HandoverFailed as failed:
            self._next.close(but=self.plan)
            self._reloaded([str(failed)])

    def take_over(self, plan: Plan) -> None:
        """The new plan is in force: what dies from now on is started as it says."""
        old, self.plan = self.plan, plan
        self._due.clear()
        old.close(but=plan)

    def _reloaded(self, faults: Sequence[str]) -> None:
        self._handover = self._next = None
        for fault in faults:
            log.error("reload_refused", fault=fault)
        if faults:
            log.error("reload_ended", accepted=False, faults=len(faults))
        else:
            log.info("reload_ended", accepted=True, processes=self.plan.counts)
        self.on_reloaded(faults)

    # -- the end -------------------------------------------------------------------------------

    def _stop_all(self) -> None:
        log.info("stopping", processes=len(self.children))
        self.notifier.stopping()
        # Intake first: no new mail while the workers finish what they hold.
        for child in sorted(self.children, key=lambda c: ROLES.index(c.role)):
            child.process.terminate()
        end = time.monotonic() + self.plan.grace
        for child in self.children:
            try:
                child.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._kill(child)
                child.process.wait()
                self._unfreed.append((child.name, False))
            self._forget(child)
        self.children.clear()
        for _ in range(2):  # what was being freed already, and what has come to it
            self._free_claims(seconds=_LAST_FREE)
        self.on_change((), ())
        log.info("stopped")

    def _kill(self, child: Child) -> None:
        log.error("process_killed", role=child.role, name=child.name)
        child.process.kill()
