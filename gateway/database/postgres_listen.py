"""LISTEN: a thread that hears of newly queued mail, and connects anew when it is cut off."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import structlog

from gateway.database.base import Listening

log = structlog.get_logger()

CHANNEL = "sceau_messages"  # as the trigger of migration 0002 names it

_TURN = 1.0  # seconds until `close` is noticed
_PAUSES = (0.1, 0.5, 2.0, 5.0)


class PostgresListening(Listening):
    """Listens on a connection of its own, so that no query waits behind it."""

    def __init__(
        self, connect: Callable[[], psycopg.Connection[Any]], heard: Callable[[], None]
    ) -> None:
        self._connect = connect
        self._heard = heard
        self._closing = threading.Event()
        self._healthy = False
        self._thread = threading.Thread(target=self._run, name="listen", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """False while cut off."""
        return self._healthy

    def close(self) -> None:
        """Stop, within a second."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        failed = 0
        while not self._closing.is_set():
            try:
                with self._connect() as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    failed, self._healthy = 0, True
                    # What was announced while nobody listened is not told again.
                    self._heard()
                    self._hear(connection)
            except psycopg.Error as error:
                if self._healthy:
                    log.warning("listening_lost", reason=type(error).__name__)
            self._healthy = False
            self._closing.wait(_PAUSES[min(failed, len(_PAUSES) - 1)])
            failed += 1

    def _hear(self, connection: psycopg.Connection[Any]) -> None:
        while not self._closing.is_set():
            for _ in connection.notifies(timeout=_TURN, stop_after=1):
                self._heard()
