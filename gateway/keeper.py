"""What must be done from time to time, in a process of its own: the keeper."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from archive.errors import BlobTrouble, IndexUnusable
from archive.lag import Onlooker
from archive.sweep import Sweeper
from archive.working import WorkingKeys, erase_wraps, settled_days
from gateway import clock
from gateway.clock import to_micros
from gateway.database import Database
from gateway.database.room import is_full, reason_of
from gateway.database.trouble import TROUBLE
from gateway.failpoint import failpoint
from gateway.neighbours import CRL, Neighbours
from gateway.ocsp import OcspRounds
from gateway.queue import processes
from gateway.queue.store.replan import plan_now, planned_too_late
from gateway.queue.store.settled import settled_with_wraps
from pki.crl_folder import CrlFolder
from pki.fetch import FetchRules
from pki.keeper import CrlSource, keep_indexed, refresh_crls
from pki.trust import StoredTrust

log = structlog.get_logger()

_TICK = 1.0
_CRLS = timedelta(seconds=10)  # how often to ask which CRLs are due (not: to fetch them)
_SETTLE = timedelta(seconds=30)
_SWEEP = timedelta(hours=1)
_SAY_AGAIN = timedelta(minutes=1)
_BATCH = 500


@dataclass(slots=True)
class Keeper:
    """CRLs ahead of need, the write-ahead log moved into the database, working keys ended, blobs
    without a row swept.

    waits: between attempts, as the workers have them. tasks: what else is to be done every half
        minute; each takes the moment. doubted: whether the clock is not believed: then nothing is
        ended, removed or destroyed. note_clock: tells the log of that. log_consents: writes what an
        older version did not write into the log; asked once. sweeper: None without a blob store.
        neighbours: who does not answer. ocsp: asks responders; None where nobody is to be asked.
        crl_folder: for indexes of large CRLs.
    """

    database: Database
    sources: Sequence[CrlSource]
    trust: StoredTrust
    rules: FetchRules
    working_keys: WorkingKeys
    index: Path
    waits: Sequence[timedelta]
    now: Callable[[], datetime]
    tasks: Sequence[Callable[[datetime], None]] = ()
    doubted: Callable[[], bool] = lambda: False
    note_clock: Callable[[], None] = lambda: None
    log_consents: Callable[[], None] = lambda: None
    sweeper: Sweeper | None = None
    ocsp: OcspRounds | None = None
    neighbours: Neighbours = field(default_factory=lambda: Neighbours(None, clock.now))
    crl_folder: CrlFolder | None = None
    _not_indexed: set[str] = field(default_factory=set, init=False)
    _doubted: bool = field(default=False, init=False)
    _crls_due: datetime | None = field(default=None, init=False)
    _settle_due: datetime | None = field(default=None, init=False)
    _consents_logged: bool = field(default=False, init=False)
    _onlooker: Onlooker = field(init=False)
    _sweep_due: datetime | None = field(default=None, init=False)
    _full_said: datetime | None = field(default=None, init=False)
    _troubled: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._onlooker = Onlooker(self.index)

    def run(self, stop: threading.Event) -> None:
        """Until `stop`."""
        while not stop.wait(_TICK):
            self.once()
            self.ask_when_due(self.now())
            self.sweep_when_due(self.now())

    def once(self) -> None:
        """One round. What fails is logged and tried again, and stops nothing else."""
        moment = self.now()
        self._attempt(self.database.checkpoint)
        self._attempt(self.note_clock)
        doubted = self.doubted()
        if doubted is not self._doubted:
            self._doubted, self._settle_due = doubted, None  # the alarm comes at once
        if not self._consents_logged:
            self._attempt(self._log_consents)
        if _is_due(self._crls_due, moment, _CRLS):
            self._crls_due = moment + _CRLS
            self._attempt(lambda: self.refresh_crls(moment))
            self._attempt(self.index_crls)
        if _is_due(self._settle_due, moment, _SETTLE):
            self._settle_due = moment + _SETTLE
            self._troubled = False  # what lasts is said once in a round
            self._attempt(lambda: self.mend_plans(moment))
            if not doubted:
                self._attempt(lambda: self.end_working_keys(moment))
            for task in self.tasks:
                self._attempt(partial(task, moment))

    def _attempt(self, task: Callable[[], None]) -> None:
        """Raises OperationalError where the disk is sick: this process must begin anew."""
        try:
            task()
        except Exception as error:
            if self.database.doubtful(error, False):
                # A sync that failed is not tried again here: it would be called a success.
                raise
            if is_full(error):
                if self._full_said is None or self.now() - self._full_said >= _SAY_AGAIN:
                    self._full_said = self.now()
                    log.error("storage_full", reason=reason_of(error))
            elif isinstance(error, TROUBLE):
                if not self._troubled:
                    log.error("storage_fault", role="keeper", reason=reason_of(error))
                self._troubled = True
            else:
                log.exception("keeper_fault")

    def _log_consents(self) -> None:
        self.log_consents()
        self._consents_logged = True

    def refresh_crls(self, moment: datetime, *, force: bool = False) -> None:
        """Fetch the CRLs that are due and say what came of it."""
        reports = refresh_crls(
            self.database.read,
            self.database.write,
            self.sources,
            trust=self.trust,
            rules=self.rules,
            moment=moment,
            force=force,
            folder=self.crl_folder,
        )
        for report in reports:
            if report.state == "failed" and report.problem is not None:
                until = report.next_update
                log.error(
                    "crl_failed",
                    source=report.source,
                    reason=report.problem.text,
                    next_update=None if until is None else str(until),
                )
                self.neighbours.away(CRL, report.source, report.problem.sentence)
            elif report.state == "unchanged":
                self.neighbours.well(CRL, report.source)
            elif report.state == "stored":
                self.neighbours.well(CRL, report.source)
                log.info(
                    "crl_stored",
                    source=report.source,
                    issuer=report.issuer,
                    number=report.number,
                    next_update=str(report.next_update),
                )

    def index_crls(self) -> None:
        """Make the indexes of large CRLs that this machine lacks, so that no mail waits for one."""
        if self.crl_folder is None:
            return
        for sha256 in keep_indexed(
            self.database.read,
            self.database.write,
            trust=self.trust,
            folder=self.crl_folder,
            given_up=self._not_indexed,
        ):
            log.info("crl_indexed", crl=sha256)

    def mend_plans(self, moment: datetime) -> None:
        """Try mail now that a clock which ran ahead has planned for a time that is far off."""
        now = to_micros(moment)
        with self.database.read() as conn:
            if not planned_too_late(conn, now=now, waits=self.waits):
                return
        with self.database.write() as conn:
            late = planned_too_late(conn, now=now, waits=self.waits)
            plan_now(conn, late, now=now)
        log.warning("clock_was_put_back", recipients=len(late))

    def end_working_keys(self, moment: datetime) -> None:
        """Erase the working wraps of mail that is settled and indexed; destroy emptied day keys.

        From then on only the archive's recipients can open that mail: who takes over the gateway
        reads mail in flight, not the archive (design §4).
        """
        with self.database.read() as conn:
            indexed = processes.indexed(conn)
        if indexed is None:
            indexed = self.indexed_here()
        while True:
            with self.database.read() as conn:
                done = settled_with_wraps(conn, indexed=indexed, limit=_BATCH)
            if not done:
                break
            with self.database.write() as conn:
                erase_wraps(conn, done)
        with self.database.read() as conn:
            days = settled_days(conn, self.working_keys, moment)
        for key_id in days:
            self.working_keys.destroy(key_id)
            log.info("working_key_destroyed", key=key_id)

    def ask_when_due(self, moment: datetime) -> None:
        """Ask OCSP responders ahead of need. Not in `once`: see `sweep_when_due`."""
        if (ocsp := self.ocsp) is not None:
            self._attempt(lambda: ocsp.when_due(moment))

    def sweep_when_due(self, moment: datetime) -> None:
        """Remove blobs whose row was never committed. Not in `once`: a store that does not answer
        must not keep the gateway from starting.
        """
        if self.sweeper is None or self.doubted() or not _is_due(self._sweep_due, moment, _SWEEP):
            return
        self._sweep_due = moment + _SWEEP
        self._attempt(self.sweep)

    def sweep(self) -> None:
        """One round."""
        if self.sweeper is None:
            return
        try:
            for one in self.sweeper.step(lambda: failpoint("sweep.marked")):
                age = int(one.age.total_seconds())
                log.info("blob_swept", blob=one.name, size=one.size, age_seconds=age)
        except BlobTrouble as error:
            log.error("blob_store_fault", reason=error.problem.text)

    def indexed_here(self) -> int:
        """How many entries are in this machine's full-text index; 0 while there is none."""
        try:
            found = self._onlooker.position()
        except IndexUnusable:
            return 0
        return 0 if found is None else found.size


def _is_due(due: datetime | None, moment: datetime, every: timedelta) -> bool:
    """Whether its time has come, or lies further ahead than it can: then the clock was put back."""
    return due is None or not due - every <= moment < due
