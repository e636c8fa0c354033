"""Copies that rules want: recipients whom the sender did not name."""

from __future__ import annotations

from dataclasses import replace

import structlog

from archive.store import Draft
from gateway.accept import recipient_fields
from gateway.outbound.candidate import Candidate, address_of
from gateway.outbound.work import Work
from gateway.queue.jobs import Recipient

log = structlog.get_logger()


def add_copies(work: Work, source: Candidate) -> list[Recipient]:
    """New recipients for the copies that the decision for one wants.

    A copy is never copied, and nobody gets the mail twice: no rules can make a loop.
    """
    if source.recipient.copied_by or not source.decision.copies:
        return []
    job = work.job
    known = {address_of(recipient) for recipient in job.recipients}
    made = []
    for copy in source.decision.copies:
        if copy.address in known:
            continue
        known.add(copy.address)
        recipient = replace(
            source.recipient,
            position=max(one.position for one in job.recipients) + 1,
            address=copy.address,
            group_id=None,
            reason="",
            decision="",
            stored_decision="",
            copied_by=copy.rule,
            released="",
            # What the sender wants to hear of the one says nothing of the other.
            notify="",
            orcpt="",
            told="",
        )
        job.recipients.append(recipient)
        work.copies.append(recipient)
        made.append(recipient)
        fields = {
            "rule": copy.rule.encode(),
            "of": source.recipient.address.encode(),
            **recipient_fields("recipient", [copy.address]),
        }
        work.drafts.append(Draft("copied", job.org, job.archive_id, fields))
        log.info("copied", id=job.archive_id, recipient=copy.address, rule=copy.rule)
    return made
