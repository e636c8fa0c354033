"""The archive of one process: its log, its keys, its search index."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import structlog

from archive.appender import Appender
from archive.attempts import note_skipped
from archive.index import Extracted, Indexer
from archive.recipients import ArchiveRecipient, load_recipient
from archive.working import WorkingKeys, WorkingUnwrapper
from gateway import clock, failpoint
from gateway.database.patience import BRIEF, LONG, patience
from gateway.installation import Installation
from gateway.metrics.tally import Tally, timed
from gateway.mime.text import extract
from gateway.neighbours import Neighbours
from gateway.node import node_name
from gateway.overrun import Limit
from gateway.queue.licence import Licence
from gateway.queue.note import Note
from gateway.queue.takeover import Watch
from gateway.storage_gate import StorageGate


@dataclass
class ArchiveParts(Installation):
    """The parts of one process. Each is made once, when first asked for.

    tally: what this process counts, None where nobody looks. neighbours: what it sees of others.
    works: it seals and delivers; set by `work_as`.
    """

    tally: Tally | None = None
    neighbours: Neighbours = field(default_factory=lambda: Neighbours(None, clock.now))
    works: bool = False

    licence: Licence | None = None
    _note: Note | None = None

    @cached_property
    def gate(self) -> StorageGate:
        """What clients are told while the database is in trouble."""
        return StorageGate()

    @cached_property
    def archive_recipients(self) -> tuple[ArchiveRecipient, ...]:
        """Who can open the archive (public keys)."""
        return tuple(load_recipient(path) for path in self.config.archive.recipients)

    @cached_property
    def working_keys(self) -> WorkingKeys:
        """The installation's own keys, one a day."""
        return WorkingKeys(self.config.archive.working_keys)

    @cached_property
    def unwrapper(self) -> WorkingUnwrapper:
        """Opens mail in flight with the working keys."""
        return WorkingUnwrapper(self.working_keys)

    @cached_property
    def appender(self) -> Appender:
        """The process's one way to the log."""
        origin, database = self.config.archive.origin, self.database
        if self.licence is not None:
            write, again = timed(self.licence.write, self.tally), patience(LONG, slow=5)
        else:
            write = timed(database.write_beside, self.tally)
            again = patience(BRIEF, for_room=self.works)
        write = failpoint.around(write)
        return Appender(
            write,
            origin=origin,
            now=clock.now,
            again=again,
            doubtful=database.doubtful,
            # Entries carry the wall clock as it is, and say so when it is not believed.
            marked=self.belief.marked,
        )

    def work_as(self, name: str, role: str) -> None:
        """Register this process where several machines share the database; before it works."""
        self.works = True
        if self.database.shared:
            self.database.patience = LONG
            self.licence = Licence(
                self.database,
                name,
                node=node_name(self.lock_file),
                role=role,
                now=clock.to_micros(clock.now()),
                takeover=self.config.database.takeover,
            )

    @cached_property
    def watch(self) -> Watch | None:
        """Looks after the processes of all machines, where several share the database."""
        if not self.database.shared:
            return None
        return Watch(
            self.database,
            origin=self.config.archive.origin,
            org=self.config.gateway.organisation,
            belief=self.belief,
        )

    @cached_property
    def indexer(self) -> Indexer:
        """Follows the log into the full-text index."""
        return Indexer(
            self.config.archive.index,
            extract=words_of,
            read=self.database.read,
            keys=self.unwrapper,
            blobs=self.blobs,
            skipped=self._index_skipped,
        )

    def _index_skipped(self, archive_id: str) -> None:
        structlog.get_logger().error("index_skipped", id=archive_id, code="limits.poison")
        note_skipped(self.config.archive.index, archive_id, clock.now())


def words_of(raw: bytes) -> Extracted:
    """What the index keeps of a mail."""
    with Limit(len(raw)):
        found = extract(raw)
    return Extracted(
        subject=found.subject,
        senders=found.senders,
        recipients=found.recipients,
        body=found.body,
        attachment_names=found.attachment_names,
        date=found.date,
    )
