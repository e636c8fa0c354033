"""Freeing what a dead worker had claimed, with a log entry for what is taken out as poison."""

from __future__ import annotations

import structlog

from archive.store import Draft, append
from gateway import clock
from gateway.clock import to_micros
from gateway.database import Database
from gateway.queue import store
from gateway.queue.jobs import problem_to_json

log = structlog.get_logger()


def free_claims(
    database: Database, *, origin: str, org: str, worker: str | None, blame: bool = True
) -> None:
    """Hand out again what `worker` held (None: what anybody held, at the start of a run).

    blame: see `store.release_claims`.
    """
    now = clock.now()
    with database.write() as conn:
        freed, poisoned = store.release_claims(conn, worker=worker, now=to_micros(now), blame=blame)
        drafts = [
            Draft("held", org, archive_id, {"reason": problem_to_json(store.POISON).encode()})
            for archive_id in poisoned
        ]
        append(conn, drafts, origin=origin, now=now)
    if freed:
        log.warning("claims_freed", worker=worker, messages=len(freed))
    for archive_id in poisoned:
        log.error("quarantined", id=archive_id, reason=store.POISON.text)
