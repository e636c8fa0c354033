"""The steps of mails claimed together, from look-up to the start of their deliveries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from archive.appender import Appender
from gateway.clock import to_micros
from gateway.failpoint import failpoint
from gateway.outbound.steps import Outbound
from gateway.queue.caution import Caution
from gateway.queue.commit_sealed import SealedCommits
from gateway.queue.contents import Contents, Fetched, to_open
from gateway.queue.delivery import Delivery
from gateway.queue.jobs import NOTICE, Job
from gateway.queue.sealing import Sealing
from gateway.queue.store.give_back import put_back
from gateway.queue.tasks import Tasks
from pki.models import Finder, Finding

# Octets that sealing adds to a mail that cannot be compressed, and some.
_SEAL = 32


@dataclass(frozen=True, slots=True)
class Steps:
    """Numbered as in docs/flow.md; one object for all that a worker claims."""

    finder: Finder
    outbound: Outbound
    contents: Contents
    sealing: Sealing
    sealed: SealedCommits
    delivery: Delivery
    appender: Appender
    caution: Caution
    now: Callable[[], datetime]

    async def take(
        self,
        jobs: Sequence[Job],
        looking: ThreadPoolExecutor,
        sealing: ThreadPoolExecutor,
        deliveries: Tasks,
    ) -> None:
        """Steps 4 to 6 for mails claimed together; step 7 begins for each."""
        loop = asyncio.get_running_loop()
        moment = self.now()
        if self.caution.doubted() and (mails := [job for job in jobs if job.kind != NOTICE]):
            jobs = [job for job in jobs if job.kind == NOTICE]
            undone = partial(put_back, jobs=mails, now=to_micros(moment))
            await asyncio.wrap_future(self.appender.submit([], undone))
        findings: Mapping[str, Finding] = {}
        if self.outbound.policy.asks_groups:
            await loop.run_in_executor(looking, self.outbound.learn_groups, jobs)
        if wanted := self.outbound.addresses_to_find(jobs):
            look_up = partial(self.finder.find_all, wanted, moment=moment)
            findings = await loop.run_in_executor(looking, look_up)
        fetched: dict[str, Fetched] = {}
        if self.contents.blobs is not None:
            least = self.contents.blobs.above - _SEAL
            large = [job for job in to_open(jobs) if job.size > least]
            if large:  # a blob store may keep us waiting as a directory may
                fetched = await loop.run_in_executor(looking, self.contents.fetch, large)
        failpoint("find.done")
        works = await loop.run_in_executor(
            sealing, self.sealing.seal_all, jobs, findings, moment, fetched
        )
        await self.sealed.commit(works)
        failpoint("seal.committed")
        for work in works:
            deliveries.start(self.delivery.deliver(work))
