"""Log lines for what sealing has committed. Written after the commit: a line is a fact."""

from __future__ import annotations

import structlog

from gateway.notices import Notice
from gateway.outbound.work import Work
from gateway.queue.jobs import problem_from_json
from gateway.queue.states import State

log = structlog.get_logger()

_EVENTS = {State.HELD: "held", State.FAILED: "failed"}


def log_sealed(work: Work) -> None:
    """A line for each sealed group, and for each recipient who gets nothing now."""
    archive_id = work.job.archive_id
    for group in work.groups:
        log.info(
            "sealed",
            id=archive_id,
            treatment=group.treatment,
            route=group.route,
            size=group.size,
        )
    statuses = {id(failure.recipient): failure.status for failure in work.failures}
    for recipient in work.job.worked_on:
        if recipient.state is State.QUEUED and recipient.group_id is not None:
            continue  # on its way now; its reason is of an earlier attempt
        if (reason := problem_from_json(recipient.reason)) is not None:
            log.warning(
                _EVENTS.get(recipient.state, "deferred"),
                id=archive_id,
                recipient=recipient.address,
                code=reason.code,
                status=statuses.get(id(recipient), ""),
                reason=reason.text,
            )


def log_notice(notice: Notice) -> None:
    """A notice to a sender is in the archive and in the queue, under an id of its own."""
    for draft in notice.drafts:
        if draft.archive_id == notice.message.archive_id:
            log.info(
                "notice",
                id=draft.archive_id,
                about=draft.fields.get("about", b"").decode(),
                recipients=len(notice.message.recipients),
            )
