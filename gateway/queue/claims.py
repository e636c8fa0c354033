"""Freeing what a dead worker had claimed, with a log entry for what is taken out as poison."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlalchemy as sa
import structlog

from archive.store import Draft, append
from gateway import clock
from gateway.belief import Belief
from gateway.clock import to_micros
from gateway.database import Database
from gateway.queue import processes
from gateway.queue.jobs import problem_to_json
from gateway.queue.store.deaths import POISON, Blame, release_claims

log = structlog.get_logger()


def free_claims(
    database: Database,
    *,
    origin: str,
    org: str,
    worker: str | None,
    belief: Belief,
    blame: Blame = Blame.ANYBODY,
    in_hand: Sequence[str] = (),
) -> None:
    """Hand out again what `worker` held (None: what anybody held, at the start of a run).

    belief: knows the time by which the queue goes. blame, in_hand: see `release_claims`.
    """
    with database.write() as conn:
        if worker is not None:
            processes.dismiss(conn, worker)
        tell = release(
            conn, origin=origin, org=org, worker=worker, belief=belief, blame=blame, in_hand=in_hand
        )
    tell()


def release(
    conn: sa.Connection,
    *,
    origin: str,
    org: str,
    worker: str | None,
    belief: Belief,
    blame: Blame,
    in_hand: Sequence[str] = (),
) -> Callable[[], None]:
    """As `free_claims`, in the caller's transaction; what to call once it has committed."""
    now = belief.now()
    freed, poisoned = release_claims(
        conn, worker=worker, now=to_micros(now), blame=blame, in_hand=in_hand
    )
    drafts = [
        Draft("held", org, archive_id, {"reason": problem_to_json(POISON).encode()})
        for archive_id in poisoned
    ]
    append(conn, belief.marked(drafts), origin=origin, now=clock.now())

    def tell() -> None:
        if freed:
            log.warning("claims_freed", worker=worker, messages=len(freed))
        for archive_id in poisoned:
            log.error("quarantined", id=archive_id, reason=POISON.text)

    return tell
