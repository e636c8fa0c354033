"""Delivering one mail that is sealed, and having what became of it committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import sqlalchemy as sa
import structlog

from gateway.deliver import log_outcomes, record_outcomes, send
from gateway.failpoint import failpoint
from gateway.neighbours import NEXT_HOP, Neighbours
from gateway.notices import Notice, Notices
from gateway.outbound.steps import AT_ONCE
from gateway.outbound.unserved import put_off
from gateway.outbound.work import Work
from gateway.queue.batches import Batches
from gateway.queue.caution import Caution
from gateway.queue.contents import Contents
from gateway.queue.hand import Hand
from gateway.queue.jobs import Recipient, SealedGroup
from gateway.queue.lines import log_notice
from gateway.queue.outcomes import Finished
from gateway.queue.store.groups import beyond, load_groups
from gateway.routes import Routes
from gateway.smtp.client import Deliverer, Outcome, Result

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Delivery:
    """contents: for notices, which may return the mail they are about. neighbours: None: nobody
    wants to know which next hops answer.
    """

    read: Callable[[], AbstractContextManager[sa.Connection]]
    routes: Routes
    deliverer: Deliverer
    outcomes: Batches[Finished]
    notices: Notices
    contents: Contents
    neighbours: Neighbours | None
    hand: Hand
    caution: Caution
    now: Callable[[], datetime]

    async def deliver(self, work: Work) -> None:
        """One attempt for all who are due; the mail is out of hand after it, come what may."""
        try:
            await self._deliver_groups(work)
        finally:
            self.hand.put(work.job)

    async def _deliver_groups(self, work: Work) -> None:
        job = work.job
        groups: dict[str, SealedGroup] = {group.id: group for group in work.groups}
        missing = {r.group_id for r in job.due if r.group_id is not None} - groups.keys()
        if missing:
            # Off the event loop: a database that is away keeps nobody else's delivery waiting.
            found, later = await asyncio.to_thread(self._load_groups, missing)
            groups |= found
            self.hand.keep(job, sum(group.size for group in groups.values()))
            put_off([r for r in job.due if r.group_id in later], self.now())
            # A route that is no longer configured: the mail goes where the policy says today.
            groups = {key: one for key, one in groups.items() if self.routes.get(one.route)}
            for recipient in job.due:
                known = recipient.group_id in groups or recipient.group_id in later
                if recipient.group_id is not None and not known:
                    # Nothing can leave for him from there: he is sealed anew at his next attempt.
                    log.error("sealed_octets_unusable", id=job.archive_id, group=recipient.group_id)
                    recipient.group_id = None
        results = await send(
            self.deliverer, self.routes, job, groups, postmaster=self.notices.postmaster
        )
        self._note_hops(results, groups)
        now = self.now()
        self.caution.mind_the_clock([job])
        drafts, failures = record_outcomes(job, results, groups, now=now)
        notices: Sequence[Notice] = ()
        if told := self.notices.of_attempt(job, results, failures, groups, now=now):
            content = partial(self.contents.of, job)
            notices = await asyncio.to_thread(
                self.notices.write, job, told, original=content, now=now
            )
        await self.outcomes.commit(Finished(job, drafts, notices))
        failpoint("outcome.committed")
        log_outcomes(job, results, groups)
        for notice in notices:
            log_notice(notice)

    def _load_groups(self, wanted: set[str]) -> tuple[dict[str, SealedGroup], set[str]]:
        """Those to be sent now, and the ids of those that are too large to be in memory beside
        them.
        """
        with self.read() as conn:
            room = 0 if self.hand.crowded else AT_ONCE
            later = beyond(conn, wanted, room) if len(wanted) > 1 else set()
            return load_groups(conn, wanted - later), later

    def _note_hops(
        self, results: Sequence[tuple[Recipient, Outcome]], groups: Mapping[str, SealedGroup]
    ) -> None:
        """Which next hops answer: any reply is one. Away is who did not even greet: a line that
        is cut later may be the fault of the mail, and a probe would not see it.
        """
        if self.neighbours is None:
            return
        for recipient, outcome in results:
            group = groups.get(recipient.group_id or "")
            if group is None or not outcome.host:
                continue
            if outcome.result is Result.TEMPORARY and not outcome.code and not outcome.reached:
                self.neighbours.away(NEXT_HOP, group.route, outcome.text)
            elif outcome.code:
                self.neighbours.well(NEXT_HOP, group.route)
