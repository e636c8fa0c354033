"""Keys that this process met for the first time, remembered in the database and in the log.

The finder decides by what is remembered and does not wait for this: a held key is held because it
is not known, not because somebody wrote that down.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
import structlog

from archive.store import Draft
from gateway.key_changes import change_drafts
from pki.recipient_keys import FIRST_USE, POLICY, KeyChange, Sighting, familiar, remember
from pki.suggestions import Kind, is_suggested, suggest

log = structlog.get_logger()

_MAX_NOTED = 100_000
_GATEWAY = "gateway"


@dataclass(slots=True)
class KeyMemory:
    """Thread-safe. submit: has drafts and an act committed together, some time soon."""

    read: Callable[[], AbstractContextManager[sa.Connection]]
    submit: Callable[[Sequence[Draft], Callable[[sa.Connection], None]], Future[None]]
    rule: Callable[[str], KeyChange]
    now: Callable[[], datetime]
    org: str
    _noted: set[tuple[str, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, sightings: Sequence[Sighting]) -> None:
        """Remember them. Never raises: a look-up does not fail because nobody could take notes."""
        try:
            fresh = self._fresh(sightings)
            if fresh:
                self._write(fresh)
        except Exception as error:  # noqa: BLE001 - the next look-up notes them again
            log.warning("recipient_keys_not_noted", reason=str(error)[:200])
            self._forget(sightings)

    def _fresh(self, sightings: Sequence[Sighting]) -> list[Sighting]:
        with self._lock:
            if len(self._noted) > _MAX_NOTED:
                self._noted.clear()
            found = [each for each in sightings if _name(each) not in self._noted]
            self._noted.update(map(_name, found))
        if not any(each.change is not None for each in found):
            return found
        with self.read() as conn:
            known = familiar(conn, [each.address for each in found])
            return [
                each
                for each in found
                if not (each.address in known and known[each.address].knows(each.certificate))
                and not is_suggested(conn, Kind.DIRECTORY, each)
            ]

    def _write(self, fresh: list[Sighting]) -> None:
        held = [one for one in fresh if one.change and self.rule(one.address) is KeyChange.HOLD]
        changed = [one for one in fresh if one.change and one not in held]
        first = [one for one in fresh if one.change is None]
        moment = self.now()

        def act(conn: sa.Connection) -> None:
            remember(conn, first, by=FIRST_USE, moment=moment)
            remember(conn, changed, by=POLICY, moment=moment)
            for one in held:
                assert one.change is not None
                suggest(conn, Kind.DIRECTORY, one, code=one.change.code, moment=moment)

        for one in (*held, *changed):
            log.warning(
                "recipient_key_changed",
                code=one.change.code if one.change else "",
                outcome="held" if one in held else "used",
            )
        drafts = change_drafts(held, by=_GATEWAY, held=True, org=self.org)
        drafts += change_drafts(changed, by=_GATEWAY, held=False, org=self.org)
        future = self.submit(drafts, act)
        future.add_done_callback(lambda done: self._done(done, fresh))

    def _done(self, future: Future[None], fresh: Sequence[Sighting]) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            log.warning("recipient_keys_not_noted", reason=str(error)[:200])
            self._forget(fresh)

    def _forget(self, sightings: Sequence[Sighting]) -> None:
        with self._lock:
            self._noted.difference_update(map(_name, sightings))


def _name(sighting: Sighting) -> tuple[str, str]:
    return sighting.address, sighting.certificate.sha256
