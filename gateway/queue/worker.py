"""One worker: claims due messages, has them sealed, delivers them, records the outcome.

The commits of one message, in order, and what a crash after each leaves behind:
1. claim (attempt number and next attempt stored): the supervisor frees it, it is sealed again;
2. sealed octets and `sealed` entries: it is delivered from the stored octets, byte-identical;
3. outcome: done. A crash between the peer's reply and this commit sends the same octets again:
   the one place where a duplicate can arise (RFC 5321 §4.5.4.1 accepts that, losing mail not).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa
import structlog

from archive.appender import Appender
from archive.reading import InFlight, load_in_flight
from archive.seal import Sealed, Unwrapper, open_content
from archive.store import Draft
from gateway.clock import to_micros
from gateway.deliver import Notices, failed_drafts, log_outcomes, record_outcomes, send
from gateway.failpoints import hit
from gateway.outbound import Failure, Outbound, Work
from gateway.queue import store
from gateway.queue.batches import Batches
from gateway.queue.jobs import Job, SealedGroup, problem_from_json, problem_to_json
from gateway.queue.outcomes import Finished, outcomes
from gateway.queue.states import State
from gateway.routes import Routes
from gateway.smtp.client import Deliverer
from pki.errors import Problem
from pki.evidence import Evidence
from pki.models import Finder

log = structlog.get_logger()

# How many messages, and octets of them, one claim takes; their commits are shared.
_CLAIM = 16
_CLAIM_BYTES = 8_000_000
# Messages on their way at the same time: a next hop that stalls holds up this many, no more.
_IN_FLIGHT = 128
_IDLE = 0.05


@dataclass(slots=True)
class Worker:
    """Everything a worker needs; `run` is its life."""

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
    _outcomes: Batches[Finished] = field(init=False)

    def __post_init__(self) -> None:
        self._outcomes = outcomes(self.appender, self.now)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; then finish what is claimed. Raises AppenderBroken."""
        in_flight: set[asyncio.Task[None]] = set()
        faults: list[BaseException] = []

        def ended(task: asyncio.Task[None]) -> None:
            in_flight.discard(task)
            fault = task.exception()
            if fault is not None:
                faults.append(fault)

        with ThreadPoolExecutor(1, thread_name_prefix="seal") as sealing:
            while not stop.is_set():
                if faults:
                    raise faults[0]
                if len(in_flight) >= _IN_FLIGHT:
                    await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
                    continue
                jobs = await self._claim()
                if not jobs:
                    await _pause(stop)
                    continue
                hit("claim.committed")
                works = await asyncio.get_running_loop().run_in_executor(
                    sealing, self._seal_all, jobs
                )
                await self._commit_sealed(works)
                hit("seal.committed")
                for work in works:
                    task = asyncio.create_task(self._deliver(work))
                    in_flight.add(task)
                    task.add_done_callback(ended)
            if in_flight:
                await asyncio.wait(in_flight)
        await self.deliverer.close()
        if faults:
            raise faults[0]

    async def _claim(self) -> list[Job]:
        now = to_micros(self.now())
        with self.read() as conn:
            if not store.something_due(conn, now):
                return []
        return await asyncio.wrap_future(
            self.appender.submit(
                [],
                lambda conn: store.claim(
                    conn,
                    worker=self.name,
                    now=now,
                    limit=_CLAIM,
                    max_bytes=_CLAIM_BYTES,
                    waits=self.waits,
                ),
            )
        )

    # -- seal (in the sealing thread) ----------------------------------------------------------

    def _seal_all(self, jobs: Sequence[Job]) -> list[Work]:
        moment = self.now()
        findings = self.finder.find_all(self.outbound.addresses_to_find(jobs), moment=moment)
        hit("seal.looked-up")
        contents = self._load([job for job in jobs if any(r.group_id is None for r in job.due)])
        works = []
        for job in jobs:
            before = [replace(recipient) for recipient in job.recipients]
            try:
                raw = b""
                if any(r.group_id is None for r in job.due):
                    raw = open_content(contents[job.archive_id], self.unwrapper)
                works.append(self.outbound.seal(job, raw, findings, moment=moment))
            except Exception:  # noqa: BLE001 - any fault in sealing: the mail stays, is tried again
                # What was half made is not kept: a group whose octets are lost with the fault, a
                # state that no entry explains. Stored, they would break the commit of all others.
                job.recipients = before
                works.append(_faulty(job, moment))
        return works

    def _load(self, jobs: Sequence[Job]) -> dict[str, Sealed]:
        mails = [InFlight(job.archive_id, job.sha256, job.size) for job in jobs]
        with self.read() as conn:
            return load_in_flight(conn, mails)

    def _content(self, job: Job) -> bytes:
        return open_content(self._load([job])[job.archive_id], self.unwrapper)

    # -- commits -------------------------------------------------------------------------------

    async def _commit_sealed(self, works: Sequence[Work]) -> None:
        now = self.now()
        drafts: list[Draft] = []
        notices = []
        for work in works:
            if work.failures:
                drafts += failed_drafts(work.job, work.failures)
                notice = self.notices.write(
                    work.job,
                    work.failures,
                    original=partial(self._content, work.job),
                    now=now,
                )
                if notice is not None:
                    notices.append(notice)
                    drafts.append(notice.draft)
            drafts += work.drafts
        if not drafts and not any(work.groups for work in works):
            return
        changed = [(work.job.archive_id, r) for work in works for r in work.job.worked_on]

        used = [der for work in works for der in work.certificates]

        def rows(conn: sa.Connection) -> list[bytes]:
            kept = self.evidence.keep(conn, used)
            store.add_groups(conn, [group for work in works for group in work.groups])
            store.save_recipients(conn, changed)
            store.enqueue(conn, [notice.message for notice in notices])
            hit("seal.rows-written")
            return kept

        self.evidence.committed(await asyncio.wrap_future(self.appender.submit(drafts, rows)))
        for work in works:
            for group in work.groups:
                log.info(
                    "sealed",
                    id=work.job.archive_id,
                    treatment=group.treatment,
                    route=group.route,
                    size=group.size,
                )
            for recipient in work.job.worked_on:
                if (reason := problem_from_json(recipient.reason)) is not None:
                    log.warning(
                        "held" if recipient.state is State.HELD else "deferred",
                        id=work.job.archive_id,
                        recipient=recipient.address,
                        code=reason.code,
                        reason=reason.text,
                    )

    async def _deliver(self, work: Work) -> None:
        job = work.job
        groups: dict[str, SealedGroup] = {group.id: group for group in work.groups}
        missing = {r.group_id for r in job.due if r.group_id is not None} - groups.keys()
        if missing:
            with self.read() as conn:
                groups |= store.load_groups(conn, missing)
        results = await send(self.deliverer, self.routes, job, groups)
        now = self.now()
        drafts, failures = record_outcomes(job, results, groups, now=now)
        notice = None
        if failures:
            content = partial(self._content, job)
            notice = await asyncio.to_thread(
                self.notices.write, job, failures, original=content, now=now
            )
        await self._outcomes.commit(Finished(job, drafts, notice))
        hit("outcome.committed")
        log_outcomes(job, results)


def _faulty(job: Job, moment: datetime) -> Work:
    """A fault of ours while sealing: nothing leaves, the log says where.

    Recipients stay queued until the mail expires: then the sender hears of it as of any other
    failure.
    """
    incident = secrets.token_hex(6)
    log.exception("seal_fault", id=job.archive_id, incident=incident)
    problem = Problem(
        "limits.internal",
        "an internal fault kept the message from being sealed (incident {incident})",
        {"incident": incident},
    )
    work = Work(job)
    for recipient in job.due:
        if recipient.group_id is not None:
            continue  # sealed by an earlier attempt: it goes out from the stored octets
        recipient.reason = problem_to_json(problem)
        if to_micros(moment) >= recipient.expires_at:
            work.failures.append(Failure(recipient, problem, "5.4.7", encrypted=True))
    return work


async def _pause(stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), _IDLE)
