"""One worker: claims due messages, has them sealed, delivers them, records the outcome.

The commits of one message, in order, and what a crash after each leaves behind:
1. claim (attempt number and next attempt stored): the supervisor frees it, it is sealed again;
2. sealed octets and `sealed` entries: it is delivered from the stored octets, byte-identical;
3. outcome: done. A crash between the peer's reply and this commit sends the same octets again:
   the one place where a duplicate can arise (RFC 5321 §4.5.4.1 accepts that, losing mail not).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa
import structlog

from archive.appender import Appender
from archive.blobs import Blobs, filled
from archive.errors import AppenderBroken, BlobTrouble, Damaged
from archive.reading import InFlight, load_in_flight
from archive.seal import Sealed, Unwrapper, open_content
from archive.store import Draft
from gateway.belief import Belief
from gateway.clock import to_micros
from gateway.clocklog import LastEntryWatch
from gateway.database import Database
from gateway.database.room import reason_of
from gateway.database.trouble import TROUBLE
from gateway.deliver import failed_drafts, log_outcomes, record_outcomes, send
from gateway.failpoint import failpoint
from gateway.neighbours import NEXT_HOP, Neighbours
from gateway.notices import Notice, Notices
from gateway.outbound.steps import AT_ONCE, Outbound
from gateway.outbound.unserved import note_fault, put_off
from gateway.outbound.work import Work
from gateway.queue import store
from gateway.queue.batches import Batches
from gateway.queue.hand import LARGE, Hand
from gateway.queue.jobs import Job, Recipient, SealedGroup
from gateway.queue.lines import log_notice, log_sealed
from gateway.queue.outcomes import Finished, outcomes
from gateway.queue.poison import FATAL, note_fatal
from gateway.queue.wake import FIRST, Wake
from gateway.routes import Routes
from gateway.smtp.client import Deliverer, Outcome, Result
from gateway.steady import SteadyClock
from gateway.unreadable import note_unreadable
from pki.evidence import Evidence
from pki.models import Finder, Finding

log = structlog.get_logger()

# How many messages, and octets of them, one claim takes; their commits are shared.
_CLAIM = 32
_CLAIM_BYTES = LARGE
# Messages on their way at the same time: a next hop that stalls holds up this many, no more.
_IN_FLIGHT = 128
# Claims that are looked up and sealed side by side.
_ROUNDS = 4
# Up to so many octets mails are sealed side by side; beyond, what is done with the octets is most.
_SIDE_BY_SIDE = 100_000
# And only if they cannot become more than that by being sealed for each recipient.
_MULTIPLIED = 1_000_000
# Seconds until a mail for many is tried again that found no room.
_CROWDED = 1.0
# Octets that sealing adds to a mail that cannot be compressed, and some.
_SEAL = 32
# Seconds between two looks at a database that is away.
_AWAY = 1.0
# Between two looks at the queue while the clock is not believed.
_DOUBTFUL = 1.0
# Seconds to wait for other mail before one that killed a worker is tried again. Not longer: a next
# hop that stalls would keep the rest waiting; what is not done by then may come twice at worst.
_ALONE = 1.0


_DONE = object()  # what no step gives

# Sealed content with its ciphertext in memory, or why it is not there.
Fetched = Sealed | BlobTrouble | Damaged


@dataclass(slots=True)
class Worker:
    """Everything a worker needs; `run` is its life.

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
    _outcomes: Batches[Finished] = field(init=False)
    _hand: Hand = field(default_factory=Hand, init=False)
    _last_entry: LastEntryWatch | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._outcomes = outcomes(self.appender, self.now)
        self._last_entry = None if self.belief is None else LastEntryWatch(self.belief)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; then finish what is claimed. Raises AppenderBroken."""
        rounds = _Tasks()
        deliveries = _Tasks()
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
                    await _first_of(rounds, deliveries)
                    continue
                try:
                    jobs = await self._claim()
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
                    await wake.pause(stop, _DOUBTFUL if self._doubted() else idle)
                    idle = wake.later(idle)
                    continue
                idle = FIRST
                failpoint("claim.committed")
                if jobs[0].suspect:
                    # It may kill again: what else is in hand is brought to an end first, so that
                    # no other mail is blamed for it.
                    await rounds.wait(_ALONE)
                    await deliveries.wait(_ALONE)
                    await self._round(jobs, looking, sealing, deliveries)
                else:
                    rounds.start(self._round(jobs, looking, sealing, deliveries))
            await rounds.wait()
            await deliveries.wait()
        wake.close()
        await self.deliverer.close()
        rounds.raise_fault()
        deliveries.raise_fault()

    async def _round(
        self,
        jobs: Sequence[Job],
        looking: ThreadPoolExecutor,
        sealing: ThreadPoolExecutor,
        deliveries: _Tasks,
    ) -> None:
        """Steps 4 to 6 for mails claimed together; step 7 begins for each."""
        loop = asyncio.get_running_loop()
        moment = self.now()
        if self._doubted() and (mails := [job for job in jobs if job.kind != store.NOTICE]):
            jobs = [job for job in jobs if job.kind == store.NOTICE]
            put_back = partial(store.put_back, jobs=mails, now=to_micros(moment))
            await asyncio.wrap_future(self.appender.submit([], put_back))
        findings: Mapping[str, Finding] = {}
        if self.outbound.policy.asks_groups:
            await loop.run_in_executor(looking, self.outbound.learn_groups, jobs)
        if wanted := self.outbound.addresses_to_find(jobs):
            look_up = partial(self.finder.find_all, wanted, moment=moment)
            findings = await loop.run_in_executor(looking, look_up)
        fetched: dict[str, Fetched] = {}
        if self.blobs is not None:
            least = self.blobs.above - _SEAL
            large = [job for job in _to_open(jobs) if job.size > least]
            if large:  # a blob store may keep us waiting as a directory may
                fetched = await loop.run_in_executor(looking, self._fetch, large)
        failpoint("find.done")
        works = await loop.run_in_executor(sealing, self._seal_all, jobs, findings, moment, fetched)
        await self._commit_sealed(works)
        failpoint("seal.committed")
        for work in works:
            deliveries.start(self._deliver(work))

    async def _claim(self) -> list[Job]:
        now = to_micros(self.now())
        # On the event loop: it must not wait here for a database to come back.
        glance = self.read if self.database is None else self.database.glance
        with glance() as conn:
            if self._last_entry is not None and self._last_entry.due():
                self._last_entry.look(conn)
            doubted = self._doubted()
            if not store.something_due(conn, now, self._hand.largest, notices=doubted):
                return []
        jobs = await asyncio.wrap_future(
            self.appender.submit(
                [],
                lambda conn: store.claim(
                    conn,
                    worker=self.name,
                    now=now,
                    limit=_CLAIM,
                    max_bytes=_CLAIM_BYTES,
                    largest=self._hand.largest,
                    waits=self.waits,
                    warn=self.notices.warn,
                    notices=doubted,
                ),
            )
        )
        self._hand.take(jobs)
        self._mind_the_clock(jobs)
        return jobs

    def _doubted(self) -> bool:
        """Whether mail waits: nothing may be judged by this clock. What was sealed goes on, and
        so do notices: no certificate decides over them, and the alarm is one.
        """
        return self.belief is not None and self.belief.doubt() is not None

    def _mind_the_clock(self, jobs: Sequence[Job]) -> None:
        """Give nothing up while the clock may have jumped; what would be is tried again soon."""
        now = self.now()
        believed = self.steady.believed(now) and not self._doubted()
        for job in jobs:
            job.may_expire = believed
            for recipient in () if believed else job.due:
                if to_micros(now) >= recipient.expires_at and recipient.next_attempt_at is not None:
                    soon = to_micros(now + self.steady.need)
                    recipient.next_attempt_at = min(recipient.next_attempt_at, soon)

    # -- seal (in the sealing thread) ----------------------------------------------------------

    def _seal_all(
        self,
        jobs: Sequence[Job],
        findings: Mapping[str, Finding],
        moment: datetime,
        fetched: dict[str, Fetched],
    ) -> list[Work]:
        contents: dict[str, Fetched] = {
            **self._load([job for job in _to_open(jobs) if job.archive_id not in fetched]),
            **fetched,
        }
        fetched.clear()  # each ciphertext goes as soon as it is opened: they may be large
        alone = {job.archive_id for job in jobs if job.size > _SIDE_BY_SIDE or _multiplies(job)}
        small = [job for job in jobs if job.archive_id not in alone]
        works = self._seal_side_by_side(small, contents, findings, moment)
        for job in jobs:
            if job.archive_id not in alone:
                continue
            if self._hand.crowded and _multiplies(job):
                contents.pop(job.archive_id)
                soon = moment + timedelta(seconds=_CROWDED)
                put_off([r for r in job.due if r.group_id is None], soon)
                works.append(Work(job))
            else:
                works += self._seal_side_by_side([job], contents, findings, moment)
        return works

    def _seal_side_by_side(
        self,
        jobs: Sequence[Job],
        contents: dict[str, Fetched],
        findings: Mapping[str, Finding],
        moment: datetime,
    ) -> list[Work]:
        """A step of each mail, then the next step of each (see `Outbound.sealing`)."""
        works = []
        running = []
        for job in jobs:
            work = Work(job)
            steps = self._sealing(work, contents, findings, moment)
            running.append((work, [replace(r) for r in job.recipients], self.watched(job), steps))
        while running:
            going_on = []
            for one in running:
                work, before, watched, steps = one
                job = work.job
                try:
                    with watched:
                        done = next(steps, _DONE)
                    if done is not _DONE:
                        going_on.append(one)
                        continue
                except (BlobTrouble, Damaged) as error:
                    job.recipients = before
                    work = Work(job)
                    note_unreadable(work, job.due, error, moment)
                except FATAL as error:
                    job.recipients = before
                    work = Work(job)
                    note_fatal(work, error, moment)
                except Exception:  # noqa: BLE001 - any fault: the mail stays, is tried again
                    # What was half made is not kept: a group whose octets are lost with the fault,
                    # a state that no entry explains. Stored, they would break the commit of all.
                    job.recipients = before
                    work = Work(job)
                    note_fault(work, job.due, moment)
                works.append(work)
                self._hand.keep(job, sum(group.size for group in work.groups))
            running = going_on
        return works

    def _sealing(
        self,
        work: Work,
        contents: dict[str, Fetched],
        findings: Mapping[str, Finding],
        moment: datetime,
    ) -> Iterator[None]:
        raw = b""
        if any(r.group_id is None for r in work.job.due):
            raw = self._opened(contents.pop(work.job.archive_id))
            yield
        yield from self.outbound.sealing(work, raw, findings, moment=moment)

    def _load(self, jobs: Sequence[Job]) -> dict[str, Sealed]:
        mails = [InFlight(job.archive_id, job.sha256, job.size) for job in jobs]
        with self.read() as conn:
            return load_in_flight(conn, mails)

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

    def _load_groups(self, wanted: set[str]) -> tuple[dict[str, SealedGroup], set[str]]:
        """Those to be sent now, and the ids of those that are too large to be in memory beside
        them.
        """
        with self.read() as conn:
            room = 0 if self._hand.crowded else AT_ONCE
            later = store.beyond(conn, wanted, room) if len(wanted) > 1 else set()
            return store.load_groups(conn, wanted - later), later

    def _fetch(self, jobs: Sequence[Job]) -> dict[str, Fetched]:
        """Contents with what lies in the blob store; no transaction is open meanwhile."""
        found: dict[str, Fetched] = {}
        for archive_id, sealed in self._load(jobs).items():
            try:
                found[archive_id] = filled(sealed, self.blobs)
            except (BlobTrouble, Damaged) as error:
                found[archive_id] = error
        return found

    def _opened(self, content: Fetched) -> bytes:
        if not isinstance(content, Sealed):
            raise content
        return open_content(filled(content, self.blobs), self.unwrapper)

    def _content(self, job: Job) -> bytes:
        return self._opened(self._load([job])[job.archive_id])

    # -- commits -------------------------------------------------------------------------------

    async def _commit_sealed(self, works: Sequence[Work]) -> None:
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
                content = partial(self._content, work.job)
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
            store.add_groups(conn, [group for work in works for group in work.groups])
            store.add_copies(conn, [(w.job.archive_id, r) for w in works for r in w.copies])
            store.save_recipients(conn, changed)
            store.enqueue(conn, [notice.message for notice in notices])
            failpoint("seal.rows-written")
            return kept

        self.evidence.committed(await asyncio.wrap_future(self.appender.submit(drafts, rows)))
        for _, recipient in changed:
            recipient.stored_decision = recipient.decision
        for work in works:
            log_sealed(work)
        for notice in notices:
            log_notice(notice)

    async def _deliver(self, work: Work) -> None:
        try:
            await self._deliver_groups(work)
        finally:
            self._hand.put(work.job)

    async def _deliver_groups(self, work: Work) -> None:
        job = work.job
        groups: dict[str, SealedGroup] = {group.id: group for group in work.groups}
        missing = {r.group_id for r in job.due if r.group_id is not None} - groups.keys()
        if missing:
            # Off the event loop: a database that is away keeps nobody else's delivery waiting.
            found, later = await asyncio.to_thread(self._load_groups, missing)
            groups |= found
            self._hand.keep(job, sum(group.size for group in groups.values()))
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
        self._mind_the_clock([job])
        drafts, failures = record_outcomes(job, results, groups, now=now)
        notices: Sequence[Notice] = ()
        if told := self.notices.of_attempt(job, results, failures, groups, now=now):
            content = partial(self._content, job)
            notices = await asyncio.to_thread(
                self.notices.write, job, told, original=content, now=now
            )
        await self._outcomes.commit(Finished(job, drafts, notices))
        failpoint("outcome.committed")
        log_outcomes(job, results, groups)
        for notice in notices:
            log_notice(notice)


def _multiplies(job: Job) -> bool:
    """Whether a mail may become very much more than it is: sealed for each blind recipient."""
    return job.size * sum(r.group_id is None for r in job.due) > _MULTIPLIED


def _to_open(jobs: Sequence[Job]) -> list[Job]:
    """Those that have to be sealed for somebody."""
    return [job for job in jobs if any(r.group_id is None for r in job.due)]


class _Tasks:
    """Tasks on their way, and the first fault of one."""

    def __init__(self) -> None:
        self.running: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None

    def __len__(self) -> int:
        return len(self.running)

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Run it; what it raises comes out of `raise_fault`."""
        task = asyncio.create_task(work)
        self.running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        if task.cancelled():  # by the end of the process, which has a reason of its own
            return
        fault = task.exception()  # asked for in any case: asyncio prints what nobody asks for
        self._fault = self._fault or fault

    def raise_fault(self) -> None:
        """Raise the first fault, if there was one: the process gives up."""
        if self._fault is not None:
            raise self._fault

    async def wait(self, seconds: float | None = None) -> None:
        """Until all have ended, or the time is over."""
        if self.running:
            await asyncio.wait(self.running, timeout=seconds)


async def _first_of(*groups: _Tasks) -> None:
    running = [task for group in groups for task in group.running]
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
