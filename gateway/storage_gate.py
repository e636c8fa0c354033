"""Between a client and a database in trouble: 451 in plain words, soon, and no stack trace.

While the database is away every look at it costs a time-out, on the event loop that all clients
share. So after one that failed nobody asks again for a moment: whoever comes is told at once.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog

from gateway.database.room import is_full, reason_of
from gateway.database.trouble import TROUBLE
from gateway.errors import Refusal

log = structlog.get_logger()

T = TypeVar("T")

AWAY = (451, "4.3.0", "storage cannot be reached, try again later")

# Seconds for which nobody asks after a failure.
_SHUT = 1.0


def about(refusal: tuple[int, str, str], incident: str) -> Refusal:
    """With the id under which the log says why."""
    code, status, text = refusal
    return Refusal(code, status, f"{text} (id {incident})")


class StorageGate:
    """Of one process; all that asks the database for a client goes through it.

    One outage is one incident: each client is told the id under which the log names its cause.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shut_until = 0.0
        self._since: float | None = None
        self._incident = ""

    def check(self) -> None:
        """Raise Refusal while it is known that the database is in trouble."""
        if self._clock() < self._shut_until:
            raise self._away()

    @contextmanager
    def guard(self, *, commits: bool = False) -> Iterator[None]:
        """Trouble of the database leaves the block as Refusal (451); all else as it is, a full
        disk among it: that is another answer (452), and may be over with the next mail.

        commits: when the block is left without fault something is durable, and trouble is over:
        that a database can be read tells nothing of that.
        """
        self.check()
        try:
            yield
        except TROUBLE as error:
            if is_full(error):
                raise
            now = self._clock()
            self._shut_until = now + _SHUT
            if self._since is None:
                self._since = now
                self._incident = secrets.token_hex(5)
                log.error(
                    "storage_fault",
                    role="intake",
                    incident=self._incident,
                    reason=reason_of(error),
                )
            raise self._away() from error
        if commits and self._since is not None:
            log.info("storage_back", seconds=round(self._clock() - self._since, 1))
            self._since, self._shut_until = None, 0.0

    def _away(self) -> Refusal:
        return about(AWAY, self._incident)

    def around(self, ask: Callable[[], T]) -> Callable[[], T]:
        """The same question, guarded."""

        def asked() -> T:
            with self.guard():
                return ask()

        return asked
