"""One act of a person on one queued message, in one transaction with its log entry."""

from __future__ import annotations

from collections.abc import Callable

from archive.blobs import filled
from archive.errors import ArchiveError
from archive.seal import open_content
from archive.store import load_sealed
from gateway.errors import NotFound
from gateway.notices import Telling
from gateway.queue import acts
from gateway.queue.store.enqueue import enqueue
from gateway.queue.store.recipients import save_recipients
from gateway.queue.store.take import take
from gateway.wiring import Wiring


def perform(
    wiring: Wiring, verb: str, archive_id: str, *, by: str, reason: str, tell: bool = False
) -> None:
    """Do `verb` (retry, hold, release, bounce). Raises NotFound, Busy, SceauError.

    tell: the sender of held mail gets a notice.
    """
    now = wiring.belief.now()
    original = _original(wiring, archive_id) if verb == "bounce" or tell else _nothing
    with wiring.database.write() as conn:
        try:
            job = take(conn, archive_id)
        except KeyError:
            raise NotFound(
                "there is no message {id} in the queue", facts={"id": archive_id}
            ) from None
        told: list[Telling] = []
        if verb == "bounce":
            drafts, failures = acts.bounce(conn, job, by=by, reason=reason, now=now)
            told = wiring.notices.of_failures(job, failures, attempted=None)
        elif verb == "release":
            expire = wiring.config.queue.expire
            drafts = acts.release(conn, job, by=by, reason=reason, now=now, expire=expire)
        else:
            act = {"retry": acts.retry, "hold": acts.hold}[verb]
            drafts = act(conn, job, by=by, reason=reason, now=now)
            if tell:
                told = wiring.notices.of_held(job, job.recipients, now=now, asked=True)
                save_recipients(conn, [(archive_id, r) for r in job.recipients])
        notices = wiring.notices.write(job, told, original=original, now=now)
        enqueue(conn, [notice.message for notice in notices])
        drafts += [draft for notice in notices for draft in notice.drafts]
        wiring.append_with(conn, drafts)


def _original(wiring: Wiring, archive_id: str) -> Callable[[], bytes]:
    """The mail, read before the write transaction begins: a blob store may take its time."""
    try:
        with wiring.database.read() as conn:
            sealed = load_sealed(conn, archive_id)
        content = open_content(filled(sealed, wiring.blobs), wiring.unwrapper)
    except ArchiveError as error:
        fault = error

        def refuse() -> bytes:
            raise fault

        return refuse
    return lambda: content


def _nothing() -> bytes:
    return b""
