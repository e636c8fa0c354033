"""Committing what was sealed, and what sealing found to be held or failed: before it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import sqlalchemy as sa

from archive.appender import Appender
from archive.store import Draft
from gateway.deliver import failed_drafts
from gateway.failpoint import failpoint
from gateway.notices import Notice, Notices
from gateway.outbound.work import Work
from gateway.queue.contents import Contents
from gateway.queue.lines import log_notice, log_sealed
from gateway.queue.store.enqueue import enqueue
from gateway.queue.store.groups import add_groups
from gateway.queue.store.recipients import add_copies, save_recipients
from pki.evidence import Evidence


@dataclass(frozen=True, slots=True)
class SealedCommits:
    """contents: for notices, which may return the mail they are about."""

    appender: Appender
    evidence: Evidence
    notices: Notices
    contents: Contents
    now: Callable[[], datetime]

    async def commit(self, works: Sequence[Work]) -> None:
        """Octets, entries, states of recipients and notices of these mails, in one commit."""
        now = self.now()
        drafts: list[Draft] = []
        notices: list[Notice] = []
        for work in works:
            told = []
            if work.failures:
                drafts += failed_drafts(work.job, work.failures)
                told += self.notices.of_failures(work.job, work.failures, attempted=None)
            drafts += work.drafts
            told += self.notices.of_held(work.job, work.job.worked_on, now=now)
            if told:
                content = partial(self.contents.of, work.job)
                notices += await asyncio.to_thread(
                    self.notices.write, work.job, told, original=content, now=now
                )
        drafts += [draft for notice in notices for draft in notice.drafts]
        if not drafts and not any(work.groups for work in works):
            return
        changed = [(work.job.archive_id, r) for work in works for r in work.job.worked_on]

        used = [der for work in works for der in work.certificates]

        def rows(conn: sa.Connection) -> list[bytes]:
            kept = self.evidence.keep(conn, used)
            add_groups(conn, [group for work in works for group in work.groups])
            add_copies(conn, [(w.job.archive_id, r) for w in works for r in w.copies])
            save_recipients(conn, changed)
            enqueue(conn, [notice.message for notice in notices])
            failpoint("seal.rows-written")
            return kept

        self.evidence.committed(await asyncio.wrap_future(self.appender.submit(drafts, rows)))
        for _, recipient in changed:
            recipient.stored_decision = recipient.decision
        for work in works:
            log_sealed(work)
        for notice in notices:
            log_notice(notice)
