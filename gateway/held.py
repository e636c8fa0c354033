"""Held mail over time: its sender is told, the postmaster is warned, and it ends.

Most senders hear of it from the worker that holds their mail, in the same transaction. What is left
is done here, by the keeper: mail that a dying process left behind, and mail nobody decides about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog

from archive.seal import Unwrapper, open_content
from archive.store import append, load_sealed
from gateway.clock import from_micros, to_micros
from gateway.database import Database
from gateway.deliver import failed_drafts
from gateway.dsn.digest import held_warning
from gateway.notices import Notices, Telling
from gateway.outbound.work import Failure
from gateway.private import for_sender
from gateway.queue import held
from gateway.queue.jobs import Job, problem_from_json, problem_to_json
from gateway.queue.states import State
from gateway.queue.store.deaths import POISON
from gateway.queue.store.enqueue import enqueue
from gateway.queue.store.give_back import give_back
from gateway.queue.store.recipients import save_recipients
from gateway.queue.store.take import Busy, take
from gateway.smtp.notify import wants
from gateway.statuses import status_for
from gateway.steady import SteadyClock
from pki.errors import Problem

log = structlog.get_logger()

# How long before its end held mail is named to the postmaster, and how often.
_LEAD = timedelta(days=7)
_EVERY = timedelta(days=1)
_WARNING = {"about": "held-mail"}


@dataclass(slots=True)
class HeldMail:
    """`once` does what is due. Each message is a transaction of its own.

    steady: a clock that has just jumped ends nothing. doubted: nor does one that is not believed.
    """

    database: Database
    origin: str
    notices: Notices
    unwrapper: Unwrapper
    steady: SteadyClock = field(default_factory=SteadyClock)
    doubted: Callable[[], bool] = lambda: False
    _warned: datetime | None = field(default=None, init=False)

    def once(self, moment: datetime) -> None:
        """Tell, warn, give up."""
        if self.doubted():
            return
        self.tell(moment)
        expire = self.notices.held_expire
        if self.steady.believed(moment) and expire is not None:
            self.warn(moment, expire)
            self.give_up(moment, expire)

    def tell(self, moment: datetime) -> None:
        """Senders of mail that was taken out because it killed what worked on it."""
        with self.database.read() as conn:
            found = held.untold_poison(conn)
        for archive_id in {one for one, notify in found if wants(notify, "DELAY")}:
            self._each(archive_id, moment, self._tell)

    def _tell(self, conn: sa.Connection, job: Job, moment: datetime) -> list[Telling]:
        told = self.notices.of_held(job, job.recipients, now=moment)
        save_recipients(conn, [(job.archive_id, r) for r in job.recipients])
        return told

    def give_up(self, moment: datetime, expire: timedelta) -> None:
        """Fail what nobody has decided about for so long."""
        with self.database.read() as conn:
            late = held.held_since(conn, to_micros(moment - expire))
        for archive_id in dict.fromkeys(line.archive_id for line in late):
            self._each(archive_id, moment, self._fail)

    def _fail(self, conn: sa.Connection, job: Job, moment: datetime) -> list[Telling]:
        expire = self.notices.held_expire
        assert expire is not None
        members = [
            r
            for r in job.recipients
            if r.state is State.HELD
            and r.held_at is not None
            and r.held_at <= to_micros(moment - expire)
        ]
        failures = []
        for member in members:
            problem = _nobody_decided(for_sender(problem_from_json(member.reason)), expire)
            status = status_for(problem_from_json(member.reason) or problem, "5")
            failures.append(Failure(member, problem, status, encrypted=True))
            log.warning("held_given_up", id=job.archive_id, recipient=member.address)
        drafts = failed_drafts(job, failures)
        save_recipients(conn, [(job.archive_id, member) for member in members])
        give_back(conn, [job], now=to_micros(moment))
        append(conn, drafts, origin=self.origin, now=moment)
        return self.notices.of_failures(job, failures, attempted=None)

    def warn(self, moment: datetime, expire: timedelta) -> None:
        """Name to the postmaster, once a day, what will soon be given up."""
        if self._warned is not None and abs(moment - self._warned) < _EVERY:
            return
        lead = min(_LEAD, expire / 2)
        with self.database.read() as conn:
            soon = held.held_since(conn, to_micros(moment - expire + lead))
            if not soon:
                return
            last = held.last_warning(conn, _WARNING)
        self._warned = moment if last is None else from_micros(last)
        if last is not None and abs(moment - self._warned) < _EVERY:
            return
        self._warned = moment
        notices = self.notices
        content = held_warning(
            soon,
            expire=expire,
            reporting_mta=notices.hostname,
            postmaster=notices.postmaster,
            language=notices.languages.default,
            moment=moment,
        )
        message, draft = notices.message(
            content, notices.postmaster, about="", now=moment, parameters=_WARNING
        )
        with self.database.write() as conn:
            append(conn, [draft], origin=self.origin, now=moment)
            enqueue(conn, [message])
        log.warning("held_soon_given_up", recipients=len(soon), notice=message.archive_id)

    def _each(
        self,
        archive_id: str,
        moment: datetime,
        act: Callable[[sa.Connection, Job, datetime], list[Telling]],
    ) -> None:
        try:
            with self.database.write() as conn:
                job = take(conn, archive_id)
                # What has killed three processes is not opened in the next one.
                poison = any(r.reason == problem_to_json(POISON) for r in job.recipients)
                told = act(conn, job, moment)
                notices = self.notices.write(
                    job,
                    told,
                    original=lambda: b"" if poison else self._content(conn, archive_id),
                    now=moment,
                )
                enqueue(conn, [notice.message for notice in notices])
                drafts = [draft for notice in notices for draft in notice.drafts]
                append(conn, drafts, origin=self.origin, now=moment)
        except Busy:
            return  # a worker has its other recipients in hand: at the next round

    def _content(self, conn: sa.Connection, archive_id: str) -> bytes:
        return open_content(load_sealed(conn, archive_id), self.unwrapper)


def _nobody_decided(before: Problem | None, expire: timedelta) -> Problem:
    days = {"days": f"{expire / timedelta(days=1):g}"}
    code = "policy.held-too-long"
    if before is None:
        return Problem(code, "held for {days} days, and nobody decided about it", days)
    return Problem(
        code,
        "held for {days} days, and nobody decided about it; it was held because: "
        + before.template,
        {**before.facts, **days},
    )
