"""One worker: claims due messages, has them sealed, delivers them, records the outcome.

The commits of one message, in order, and what a crash after each leaves behind:
1. claim (attempt number and next attempt stored; `next_jobs`): the supervisor frees it, it is
   sealed again;
2. sealed octets and `sealed` entries (`commit_sealed`): it is delivered from the stored octets,
   byte-identical;
3. outcome (`outcomes`): done. A crash between the peer's reply and this commit sends the same
   octets again: the one place where a duplicate can arise (RFC 5321 §4.5.4.1 accepts that, losing
   mail not).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog

from archive.appender import Appender
from archive.blobs import Blobs
from archive.errors import AppenderBroken
from archive.seal import Unwrapper
from gateway.belief import Belief
from gateway.clocklog import LastEntryWatch
from gateway.database import Database
from gateway.database.room import reason_of
from gateway.database.trouble import TROUBLE
from gateway.failpoint import failpoint
from gateway.neighbours import Neighbours
from gateway.notices import Notices
from gateway.outbound.steps import Outbound
from gateway.queue.caution import Caution
from gateway.queue.commit_sealed import SealedCommits
from gateway.queue.contents import Contents
from gateway.queue.delivery import Delivery
from gateway.queue.hand import Hand
from gateway.queue.jobs import Job
from gateway.queue.next_jobs import NextJobs
from gateway.queue.outcomes import outcomes
from gateway.queue.sealing import Sealing
from gateway.queue.steps import Steps
from gateway.queue.tasks import Tasks, first_of
from gateway.queue.wake import FIRST, Wake
from gateway.routes import Routes
from gateway.smtp.client import Deliverer
from gateway.steady import SteadyClock
from pki.evidence import Evidence
from pki.models import Finder

log = structlog.get_logger()

# Messages on their way at the same time: a next hop that stalls holds up this many, no more.
_IN_FLIGHT = 128
# Claims that are looked up and sealed side by side.
_ROUNDS = 4
# Seconds between two looks at a database that is away.
_AWAY = 1.0
# Between two looks at the queue while the clock is not believed.
_DOUBTFUL = 1.0
# Seconds to wait for other mail before one that killed a worker is tried again. Not longer: a next
# hop that stalls would keep the rest waiting; what is not done by then may come twice at worst.
_ALONE = 1.0


@dataclass(slots=True)
class Worker:
    """Everything a worker needs; `run` is its life, and makes of it what does the work.

    watched: around each step of opening and sealing a mail, which may break the process: entered
        again for each.
    """

    name: str
    read: Callable[[], AbstractContextManager[sa.Connection]]
    appender: Appender
    unwrapper: Unwrapper
    finder: Finder
    outbound: Outbound
    routes: Routes
    deliverer: Deliverer
    notices: Notices
    evidence: Evidence
    waits: Sequence[timedelta]
    now: Callable[[], datetime]
    database: Database | None = None  # that can tell of new mail
    belief: Belief | None = None  # None: the clock is believed
    steady: SteadyClock = field(default_factory=SteadyClock)
    blobs: Blobs | None = None
    neighbours: Neighbours | None = None
    watched: Callable[[Job], AbstractContextManager[None]] = lambda _job: nullcontext()
    _hand: Hand = field(default_factory=Hand, init=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; then finish what is claimed. Raises AppenderBroken."""
        caution = Caution(self.now, self.steady, self.belief)
        next_jobs = self._next_jobs(caution)
        steps = self._steps(caution)
        rounds = Tasks()
        deliveries = Tasks()
        wake = Wake(self.database)
        # Looking up may wait for a slow directory: it has threads of its own, so that other
        # rounds are sealed meanwhile.
        with (
            ThreadPoolExecutor(_ROUNDS, thread_name_prefix="look-up") as looking,
            ThreadPoolExecutor(1, thread_name_prefix="seal") as sealing,
        ):
            idle = FIRST
            waiting = False
            while not stop.is_set():
                rounds.raise_fault()
                deliveries.raise_fault()
                if len(rounds) >= _ROUNDS or len(deliveries) >= _IN_FLIGHT or self._hand.full:
                    await first_of(rounds, deliveries)
                    continue
                try:
                    jobs = await next_jobs.claim()
                except TROUBLE as error:
                    if isinstance(error, AppenderBroken):
                        raise
                    # What is on its way goes on: what became of it must be written down, or it
                    # is sent once more. Nothing was claimed, or it is freed with our licence.
                    if not waiting:
                        log.error("storage_fault", role="worker", reason=reason_of(error))
                    waiting = True
                    await wake.pause(stop, _AWAY)
                    continue
                waiting = False
                if not jobs:
                    await wake.pause(stop, _DOUBTFUL if caution.doubted() else idle)
                    idle = wake.later(idle)
                    continue
                idle = FIRST
                failpoint("claim.committed")
                if jobs[0].suspect:
                    # It may kill again: what else is in hand is brought to an end first, so that
                    # no other mail is blamed for it.
                    await rounds.wait(_ALONE)
                    await deliveries.wait(_ALONE)
                    await steps.take(jobs, looking, sealing, deliveries)
                else:
                    rounds.start(steps.take(jobs, looking, sealing, deliveries))
            await rounds.wait()
            await deliveries.wait()
        wake.close()
        await self.deliverer.close()
        rounds.raise_fault()
        deliveries.raise_fault()

    def _next_jobs(self, caution: Caution) -> NextJobs:
        return NextJobs(
            glance=self.read if self.database is None else self.database.glance,
            appender=self.appender,
            name=self.name,
            waits=self.waits,
            warn=self.notices.warn,
            last_entry=None if self.belief is None else LastEntryWatch(self.belief),
            hand=self._hand,
            caution=caution,
            now=self.now,
        )

    def _steps(self, caution: Caution) -> Steps:
        contents = Contents(self.read, self.unwrapper, self.blobs)
        return Steps(
            finder=self.finder,
            outbound=self.outbound,
            contents=contents,
            sealing=Sealing(self.outbound, contents, self._hand, self.watched),
            sealed=SealedCommits(self.appender, self.evidence, self.notices, contents, self.now),
            delivery=Delivery(
                read=self.read,
                routes=self.routes,
                deliverer=self.deliverer,
                outcomes=outcomes(self.appender, self.now),
                notices=self.notices,
                contents=contents,
                neighbours=self.neighbours,
                hand=self._hand,
                caution=caution,
                now=self.now,
            ),
            appender=self.appender,
            caution=caution,
            now=self.now,
        )
