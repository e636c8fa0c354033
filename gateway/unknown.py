"""Authorities that nobody knows, met while certificates are looked up: parked as questions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

import sqlalchemy as sa
import structlog

from pki.questions import Met, park

log = structlog.get_logger()

# A mailing to a thousand people of one unknown authority is one write, not a thousand.
_AGAIN = 600.0
_REMEMBERED = 1000


class Unknown:
    """Writes what was met, each authority once in ten minutes. Thread-safe; never raises.

    write: begins a transaction. now: the time that is recorded.
    """

    def __init__(
        self,
        write: Callable[[], AbstractContextManager[sa.Connection]],
        now: Callable[[], datetime],
    ) -> None:
        self._write = write
        self._now = now
        self._lock = threading.Lock()
        self._told: dict[str, float] = {}
        self._more: dict[str, int] = {}

    def __call__(self, met: Sequence[Met]) -> None:
        """Park these, or count them for the next time."""
        due: list[tuple[Met, int]] = []
        with self._lock:
            if len(self._told) >= _REMEMBERED:
                self._told, self._more = {}, {}
            clock = time.monotonic()
            for one in met:
                name = one.authority
                if clock - self._told.get(name, -_AGAIN) < _AGAIN:
                    self._more[name] = self._more.get(name, 0) + 1
                    continue
                self._told[name] = clock
                due.append((one, 1 + self._more.pop(name, 0)))
        if not due:
            return
        try:
            with self._write() as conn:
                for one, times in due:
                    if not park(conn, one, moment=self._now(), times=times):
                        log.warning("authority_question_left_out", place=one.place.value)
        except sa.exc.SQLAlchemyError as error:
            # A database in trouble has others to tell of it; it is met again.
            log.warning("authority_question_not_written", reason=type(error).__name__)
            with self._lock:
                for one, _ in due:
                    self._told.pop(one.authority, None)
