"""The licence under which a process works on a shared database, renewed by its signs of life.

Who takes over waits until the signs stand still for `takeover`, by his own clock, from the moment
he saw the last one. The process itself counts from before it gave that one, and ends after two
thirds of that time. So it has ended before anybody takes over, whatever the clocks of the
machines say, as long as they run equally fast.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import sqlalchemy as sa
import structlog

from gateway.clock import boot_clock
from gateway.database import Database
from gateway.queue import processes
from gateway.serve import STORAGE_FAILED

log = structlog.get_logger()


def _end(reason: str) -> None:
    # Not in order: whatever this process would still finish is somebody else's now.
    log.error("licence_lost", reason=reason)
    os._exit(STORAGE_FAILED)  # no mail is to blame


class Licence:
    """Registered when made; `write` is then the process's way to write.

    lost: called, from any thread, when the licence is gone; must end the process.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        *,
        node: str,
        role: str,
        now: int,
        takeover: timedelta,
        lost: Callable[[str], None] = _end,
    ) -> None:
        self._database = database
        self._name = name
        self._lost = lost
        self._lifetime = takeover.total_seconds() * 2 / 3
        self._every = takeover.total_seconds() / 12
        self._given = boot_clock()
        with database.write_beside() as conn:
            processes.register(
                conn,
                name,
                node=node,
                role=role,
                now=now,
                takeover=takeover // timedelta(microseconds=1),
            )
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._beat, name="licence-beat", daemon=True),
            threading.Thread(target=self._guard, name="licence-guard", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """`Database.write_beside` under the licence; without it nothing is written, and `lost`."""
        with self._database.write_beside() as conn:
            if not processes.hold(conn, self._name):
                self._lost("it was taken away")
                raise sa.exc.OperationalError("licence", None, RuntimeError("it was taken away"))
            yield conn

    def check(self) -> None:
        """`lost` if it has run out, by this process's own clock: asks nobody. For the moment
        before a mail leaves: who was stopped meanwhile must not send what others have sent.
        """
        if boot_clock() - self._given > self._lifetime:
            self._lost("it has run out")

    def close(self) -> None:
        """Give it back: nothing is claimed any more."""
        self._closing.set()
        for thread in self._threads:
            thread.join()
        with self._database.write_beside() as conn:
            processes.dismiss(conn, self._name)

    def _beat(self) -> None:
        while not self._closing.wait(self._every):
            given = boot_clock()
            try:
                with self._database.write_beside() as conn:
                    held = processes.beat(conn, self._name)
            except Exception as error:  # noqa: BLE001 - the guard sees how long it has been
                log.warning("no_sign_of_life", reason=type(error).__name__)
                continue
            if not held:
                self._lost("it was taken away")
                return
            self._given = given

    def _guard(self) -> None:
        """Apart from the beats: those may hang in the database."""
        while not self._closing.wait(min(1.0, self._every / 2)):
            if boot_clock() - self._given > self._lifetime:
                self._lost("it could not be renewed in time")
                return
