"""The running service: which plan the supervisor follows, and what it is told of it.

Reading the configuration anew is starting up without the start: everything is tried out first,
and what was tried is what the processes get, to the octet (`gateway.accepted`).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from archive.errors import ArchiveError
from gateway import clock, maillog, running
from gateway.accepted import Accepted, Snapshot
from gateway.alarms import dying
from gateway.clockguard import ClockGuard
from gateway.clocklog import last_believed_entry
from gateway.config import Config, ConfigFaults, LogFormat
from gateway.errors import SceauError
from gateway.metrics.tally import Tally
from gateway.node import node_name
from gateway.queue.claims import free_claims
from gateway.queue.note import read_notes
from gateway.queue.processes import INDEX
from gateway.queue.store.deaths import Blame
from gateway.queue.takeover import take_over
from gateway.running import Process, Reload, Status
from gateway.serve import Child, Plan, ReloadRefused
from gateway.smtp.binding import bind, bind_to
from gateway.wiring import Wiring
from pki.errors import PkiError

log = structlog.get_logger()

_TRIES = 3
_ANSWER_WITHIN = 20.0  # seconds, of a database server

# What a process holds on to for life, or what two generations of processes must agree on.
_UNMOVABLE: tuple[tuple[str, Callable[[Config], object]], ...] = (
    ("database.url", lambda config: config.database.url),
    ("archive.origin", lambda config: config.archive.origin),
    ("archive.working_keys", lambda config: config.archive.working_keys),
    ("archive.index", lambda config: config.archive.index),
)

# Called with what is now in force; may write to its database, may raise to refuse it.
Hook = Callable[[Wiring], None]


@dataclass
class Service:
    """One run of `sceau serve`. roles: which to run; None for all.

    on_start: called once, before the first process starts; on_reload: before the first process
    of a newly accepted configuration starts, and with the old one again if that fails.
    """

    path: Path
    roles: Sequence[str] | None
    tally: Tally
    on_start: Sequence[Hook] = ()
    on_reload: Sequence[Hook] = ()
    status: Status = field(default_factory=Status)
    wiring: Wiring = field(init=False)
    watch_clock: Callable[[], object] = field(default=lambda: None, init=False)
    _before: tuple[Wiring, str, str] | None = field(default=None, init=False)

    def first_plan(self) -> Plan:
        """Read and try out everything. Raises ConfigFaults, SceauError, PkiError, ArchiveError."""
        snapshot, self.wiring = self._read()
        self.status.pid, self.status.started = running.own()
        self._in_force(snapshot.digest)
        return Plan(
            config=snapshot.path,
            counts=self._counts(self.wiring),
            listen=None,
            lock=self.wiring.lock_file,
            accepted=Accepted(snapshot),
            silence=self.wiring.config.database.takeover.total_seconds(),
        )

    def started(self, plan: Plan) -> None:
        """The lock is held: judge the clock, free what an earlier run had claimed, listen, tell."""
        guard = ClockGuard(self.wiring.belief.file)
        with self.wiring.database.read() as conn:
            last = last_believed_entry(conn)
        guard.begin(last)
        self.watch_clock = guard.tick
        self._free_left_behind()
        if "intake" in plan.counts:
            plan.listen = bind(self.wiring.listen_settings)
        plan.metrics = _metrics_socket(self.wiring.config)
        for hook in self.on_start:
            hook(self.wiring)
        self._tell_listening(plan)

    def next_plan(self, plan: Plan) -> Plan:
        """The configuration anew, tried out, and the sockets it wants. Raises ReloadRefused."""
        try:
            return self._next_plan(plan)
        except ConfigFaults as faults:
            raise ReloadRefused([str(fault) for fault in faults.faults]) from faults
        except SceauError as error:
            hint = f"; {error.hint}" if error.hint else ""
            raise ReloadRefused([f"{error}{hint}"]) from error
        except (PkiError, ArchiveError) as error:
            raise ReloadRefused([error.problem.text]) from error
        except Exception as error:
            # Whatever it is, the gateway runs on as it did.
            log.exception("reload_fault")
            raise ReloadRefused([f"{type(error).__name__}: {error}"]) from error

    def _next_plan(self, plan: Plan) -> Plan:
        snapshot, wiring = self._read()
        try:
            for key, value in _UNMOVABLE:
                if value(wiring.config) != value(self.wiring.config):
                    raise SceauError(
                        "{key} cannot change while the gateway runs",
                        hint="stop it and start it again",
                        facts={"key": key},
                    )
            new = Plan(snapshot.path, self._counts(wiring), None, plan.lock, plan.grace)
            new.silence = wiring.config.database.takeover.total_seconds()
            try:
                if "intake" in new.counts:
                    new.listen = self._listening(plan, wiring)
                if _metrics_place(wiring.config) == _metrics_place(self.wiring.config):
                    new.metrics = plan.metrics
                else:
                    new.metrics = _metrics_socket(wiring.config)
                for hook in self.on_reload:
                    hook(wiring)
            except BaseException:
                new.close(but=plan)
                raise
        except BaseException:
            wiring.close()
            raise
        new.accepted = Accepted(snapshot)
        self._before = (self.wiring, self.status.digest, self.status.accepted_at)
        self.wiring = wiring
        self._in_force(snapshot.digest)
        return new

    def reloaded(self, plan: Plan, faults: Sequence[str]) -> None:
        """How the reading anew ended; with faults, what was in force before is so again."""
        if self._before is not None:
            before, digest, accepted_at = self._before
            self._before = None
            if faults:
                before, self.wiring = self.wiring, before
                self.status.digest, self.status.accepted_at = digest, accepted_at
                self._log_as_configured()
                self._record_again()
            before.close()
        number = self.status.reload.number + 1
        now = clock.rfc3339(clock.now())
        self.status.reload = Reload(number, now, not faults, list(faults))
        self._tell_listening(plan)

    def _record_again(self) -> None:
        """What was in force is so again, and somebody may want to write that down."""
        try:
            for hook in self.on_reload:
                hook(self.wiring)
        except Exception:
            log.exception("reload_fault")

    def changed(self, children: Sequence[Child], dead: Sequence[Child]) -> None:
        """Processes came, went or changed."""
        for child in dead:
            self.status.died(child.role, self.wiring.belief.now())
            if child.role == "keeper":
                self._keeper_died()
        self.status.processes = [
            Process(c.role, c.name, c.process.pid, c.ready, c.retiring) for c in children
        ]
        self.status.write(self.wiring.run_folder)

    def _keeper_died(self) -> None:
        """Nobody else raises the alarm for the one who raises alarms."""
        for alarm in dying(self.status, self.wiring.belief.now()):
            if alarm.subject == "keeper":
                log.error("alarm", code=alarm.code, subject=alarm.subject, text=alarm.text)

    def free(self, worker: str | None, *, blame: Blame) -> None:
        """Hand out again what a worker held; None: what anybody held."""
        free_claims(
            self.wiring.database,
            origin=self.wiring.config.archive.origin,
            org=self.wiring.config.gateway.organisation,
            worker=worker,
            belief=self.wiring.belief,
            blame=blame,
            in_hand=read_notes(self.wiring.run_folder, worker),
        )

    def _free_left_behind(self) -> None:
        """What an earlier run on this machine held; nothing of what others hold just now.

        It ended with all its processes, so no mail of theirs is to blame but one that was being
        sealed: power cuts, one after the other, must not hold a mail for a person.
        """
        wiring = self.wiring
        if not wiring.database.shared:
            self.free(None, blame=Blame.IN_HAND)
            return
        node = node_name(wiring.lock_file)
        take_over(
            wiring.database,
            lambda one: one.node == node and one.role != INDEX,
            origin=wiring.config.archive.origin,
            org=wiring.config.gateway.organisation,
            belief=wiring.belief,
            blame=Blame.IN_HAND,
            in_hand=read_notes(wiring.run_folder, None),
        )

    def _read(self) -> tuple[Snapshot, Wiring]:
        """What is on disk, tried out, and the same octets. Raises as `first_plan`."""
        for _ in range(_TRIES):
            snapshot = Snapshot.read(self.path)
            wiring = Wiring(snapshot.config)
            try:
                wiring.try_out()
                # Tried out was what the names lead to; frozen is what was read before. They are
                # the same if nobody wrote in between.
                if Snapshot.read(self.path).digest == snapshot.digest:
                    wiring.database.answer_within = _ANSWER_WITHIN
                    return snapshot, wiring
            except BaseException:
                wiring.close()
                raise
            wiring.close()
        raise SceauError(
            "{path} changes all the time", hint="try again", facts={"path": str(self.path)}
        )

    def _counts(self, wiring: Wiring) -> dict[str, int]:
        counts = wiring.process_counts
        return {role: n for role, n in counts.items() if self.roles is None or role in self.roles}

    def _listening(self, plan: Plan, wiring: Wiring) -> socket.socket:
        """The socket in use, so that no client is refused; another one for another place."""
        before, after = self.wiring.listen_settings, wiring.listen_settings
        if plan.listen is not None and (before.address, before.port) == (after.address, after.port):
            return plan.listen
        try:
            return bind(after)
        except SceauError as error:
            taken = getattr(error.__cause__, "errno", None) == errno.EADDRINUSE
            if taken and before.port == after.port:
                raise SceauError(
                    "listen.address cannot change while the gateway holds the same port",
                    hint="stop it and start it again",
                ) from error
            raise

    def _in_force(self, digest: str) -> None:
        self.status.config = str(self.path)
        self.status.digest = digest
        self.status.accepted_at = clock.rfc3339(clock.now())
        self._log_as_configured()

    def _log_as_configured(self) -> None:
        config = self.wiring.config.log
        maillog.configure(
            json=config.format is LogFormat.JSON,
            level=config.level.value,
            tally=self.tally,
            again=True,
        )

    def _tell_listening(self, plan: Plan) -> None:
        self.status.listen = None if plan.listen is None else list(plan.listen.getsockname()[:2])
        self.status.write(self.wiring.run_folder)


def _metrics_place(config: Config) -> tuple[str, int] | None:
    return (
        None if config.metrics.port is None else (str(config.metrics.address), config.metrics.port)
    )


def _metrics_socket(config: Config) -> socket.socket | None:
    place = _metrics_place(config)
    return None if place is None else bind_to(*place)
