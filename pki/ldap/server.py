"""One server of a directory: its connections, and whether it is asked at all. Thread-safe."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from pki.directory import Directory
from pki.errors import DirectoryTrouble, Problem
from pki.health import ServerHealth, ServerState, ServerTrial
from pki.ldap import faults, wire
from pki.ldap.breaker import Breaker
from pki.ldap.faults import ServerFault
from pki.ldap.session import Search, Session

T = TypeVar("T")

# Seconds after which an unused connection is given up: servers and firewalls do so unsaid.
IDLE = 60.0

Changed = Callable[[str, ServerHealth], None]


class Server:
    """Keeps at most `directory.connections`; who comes when all are busy waits for one.

    changed: hears of it when the server goes away or comes back.
    """

    def __init__(
        self, directory: Directory, url: str, breaker: Breaker, changed: Changed | None
    ) -> None:
        self.url = url
        self._directory = directory
        self._breaker = breaker
        self._changed = changed
        self._places = threading.BoundedSemaphore(directory.connections)
        self._lock = threading.Lock()
        self._idle: list[Session] = []
        self._busy = self._answered = self._failed = 0
        self._probing = False

    @property
    def state(self) -> ServerState:
        """Whether it would be asked now."""
        return self._breaker.state(time.monotonic())

    def run(
        self, act: Callable[[Session, float], T], deadline: float, *, at_once: bool = False
    ) -> T:
        """`act(session, deadline)` on a connection. deadline: monotonic seconds.

        Raises DirectoryTrouble at once, with the last failure, while the server is not asked
        (unless `at_once`); ServerFault.
        """
        ticket = self._breaker.enter(time.monotonic(), self._directory.time_limit, at_once=at_once)
        if isinstance(ticket, Problem):
            raise DirectoryTrouble(ticket)
        if not self._places.acquire(timeout=max(deadline - time.monotonic(), 0.0)):
            # Not the server's fault as far as anybody knows: those before us will say.
            fault = faults.timeout(self._directory)
            raise ServerFault(fault.problem, away=False)
        try:
            with self._lock:
                self._busy += 1
            done = self._on_session(act, deadline)
        except ServerFault as fault:
            self._count(failed=True)
            if fault.away:
                self._went_away(ticket, fault.problem)
            else:
                self._came_back()
            raise
        finally:
            with self._lock:
                self._busy -= 1
            self._places.release()
        self._count(failed=False)
        self._came_back()
        return done

    def probe(self) -> None:
        """Try it beside all look-ups, so that none of them pays if it is still frozen."""
        with self._lock:
            if self._probing:
                return
            self._probing = True
        threading.Thread(target=self._probe, name="ldap-probe", daemon=True).start()

    def _probe(self) -> None:
        try:
            self.trial(at_once=False)
        finally:
            with self._lock:
                self._probing = False

    def trial(self, *, at_once: bool) -> ServerTrial:
        """Read the base. What comes of it counts for its health. at_once: also in a pause."""
        base = Search(self._directory.base, wire.present("objectClass"), ("1.1",), 1, 0)
        start = time.monotonic()
        reason: Problem | None = None
        try:
            self.run(
                lambda session, deadline: session.search(base, deadline),
                start + self._directory.time_limit,
                at_once=at_once,
            )
        except (ServerFault, DirectoryTrouble) as error:
            reason = error.problem
        return ServerTrial(self.url, reason, time.monotonic() - start)

    def health(self) -> ServerHealth:
        """As of now."""
        state, failures, pause, reason = self._breaker.snapshot(time.monotonic())
        with self._lock:
            return ServerHealth(
                self.url,
                state,
                failures,
                pause,
                reason,
                self._answered,
                self._failed,
                len(self._idle),
                self._busy,
            )

    def close(self) -> None:
        """Give back all idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()

    # Health

    def _count(self, *, failed: bool) -> None:
        with self._lock:
            if failed:
                self._failed += 1
            else:
                self._answered += 1

    def _went_away(self, ticket: int, reason: Problem) -> None:
        news = self._breaker.failed(ticket, reason, time.monotonic())
        self.close()
        if news and self._changed is not None:
            self._changed(self._directory.name, self.health())

    def _came_back(self) -> None:
        if self._breaker.worked() and self._changed is not None:
            self._changed(self._directory.name, self.health())

    # Connections

    def _on_session(self, act: Callable[[Session, float], T], deadline: float) -> T:
        session = self._kept()
        if session is not None:
            try:
                return self._use(session, act, deadline)
            except ServerFault as fault:
                if not fault.lost:
                    raise
            # It closed an idle connection as we began to use it: nothing wrong with the server.
            self.close()
        now = time.monotonic()
        up_by = min(deadline, now + self._directory.network_timeout.total_seconds())
        return self._use(Session.open(self._directory, self.url, up_by), act, deadline)

    def _use(self, session: Session, act: Callable[[Session, float], T], deadline: float) -> T:
        limit = self._directory.operation_timeout.total_seconds()
        try:
            done = act(session, min(deadline, time.monotonic() + limit))
        except BaseException:
            session.close()
            raise
        session.idle_since = time.monotonic()
        with self._lock:
            self._idle.append(session)
        return done

    def _kept(self) -> Session | None:
        """The connection used last, if it still stands; those that do not are given back."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                session = self._idle.pop()
            if time.monotonic() - session.idle_since < IDLE and session.usable():
                return session
            session.close()
