"""What one process is made of, whole."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from archive.store import head
from archive.sweep import Sweeper
from gateway import clock
from gateway.alarms import NEIGHBOUR, judge_absences
from gateway.blob_stores import greet
from gateway.consents import log_old_consents
from gateway.errors import SceauError
from gateway.floors import refuse_old_libraries
from gateway.keeper import Keeper
from gateway.node import node_name
from gateway.queue.processes import report_index
from gateway.recovery import Recovery
from gateway.wiring.seeing import SeeingParts
from pki.persons import prove

# So long mail is kept readable for a machine's full-text index that is away.
_INDEX_MISSED = timedelta(days=1)


@dataclass
class Wiring(SeeingParts):
    """All parts of one process."""

    def close(self) -> None:
        """Give back connections and threads of the parts that were made: for commands."""
        if "finder" in self.__dict__:
            self.finder.close()
        if "directories" in self.__dict__:
            for directory in self.directories:
                directory.close()
        super().close()

    def stop_working(self) -> None:
        """Nothing is claimed any more: give back what `work_as` took."""
        if self.licence is not None:
            self.licence.close()
        if self._note is not None:
            self._note.close()

    def report_index(self) -> None:
        """Tell the keepers of other machines how far the full-text index of this one is."""
        if self.database.shared:
            with self.database.write() as conn:
                report_index(
                    conn,
                    node=node_name(self.lock_file),
                    indexed=self.keeper.indexed_here(),
                    now=clock.to_micros(clock.now()),
                    takeover=_INDEX_MISSED // timedelta(microseconds=1),
                )

    def try_out(self) -> None:
        """Make every part that a wrong file or value could keep from working, before any mail.

        Raises ConfigFaults, SceauError, PkiError, ArchiveError.
        """
        refuse_old_libraries()
        with self.database.read() as conn:
            origin = head(conn).origin
        if origin != self.config.archive.origin:
            raise SceauError(
                "archive.origin is {configured}, but the database holds the log {found}",
                hint="the origin never changes: write the one the log was begun with",
                facts={"configured": self.config.archive.origin, "found": origin},
            )
        _ = (
            self.archive_recipients,
            self.trust,
            self.directories,
            self.signers,
            self.routes,
            self.listen_settings,
            self.ocsp,
            self.rights,
            self.clients,
            self.login_groups,
        )
        for kek in (self.keks.current, *self.keks.former):
            prove(kek)  # a token is unlocked here, not by the first mail
        if self.blobs is not None:
            greet(self.blobs)

    @cached_property
    def keeper(self) -> Keeper:
        """Everything that must be done from time to time."""
        return Keeper(
            database=self.database,
            sources=self.crl_sources,
            trust=self.trust,
            rules=self.fetch_rules,
            working_keys=self.working_keys,
            index=self.config.archive.index,
            waits=self.config.queue.retry,
            now=self.belief.now,
            doubted=lambda: self.belief.doubt() is not None,
            note_clock=self.clock_notes.write,
            tasks=(
                self.held_mail.once,
                self.signing_watch.once,
                self.expiry_watch.once,
                self.raise_alarms,
            ),
            log_consents=lambda: log_old_consents(self),
            sweeper=self._sweeper,
            ocsp=self.ocsp_rounds,
            neighbours=self.neighbours,
            crl_folder=self.crl_folder,
        )

    @cached_property
    def recovery(self) -> Recovery:
        """Looks after neighbours that are away."""
        return Recovery(
            database=self.database,
            neighbours=self.neighbours,
            run_folder=self.run_folder,
            routes=self.routes,
            directories=self.directories,
            now=clock.now,
            tell=lambda found, moment: self.alarms.tell(
                list(judge_absences(found, moment)), moment, codes=(NEIGHBOUR,), by_mail=False
            ),
        )

    @property
    def _sweeper(self) -> Sweeper | None:
        blobs, found = self.blobs, self.config.archive.blobs
        if blobs is None or found is None:
            return None
        database = self.database
        return Sweeper(blobs, database.read, database.write, after=found.sweep_after)

    @property
    def process_counts(self) -> dict[str, int]:
        """How many processes of each role this configuration asks for."""
        # Taking a mail costs less than half of sealing and delivering it, and a worker is bound
        # to one core but for its signatures: a worker for each core, an intake for two.
        cores = os.cpu_count() or 1
        intake, seal = self.config.workers.intake, self.config.workers.seal
        return {
            "intake": max(1, cores // 2) if intake == "auto" else intake,
            "worker": cores if seal == "auto" else seal,
            "keeper": 1,
            "index": 1,
        }
