"""Sealing what was claimed, in the sealing thread: a fault of one mail stops no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from archive.errors import BlobTrouble, Damaged
from gateway.outbound.steps import Outbound
from gateway.outbound.unserved import note_fault, put_off
from gateway.outbound.work import Work
from gateway.queue.contents import Contents, Fetched, to_open
from gateway.queue.hand import Hand
from gateway.queue.jobs import Job
from gateway.queue.poison import FATAL, note_fatal
from gateway.unreadable import note_unreadable
from pki.models import Finding

# Up to so many octets mails are sealed side by side; beyond, what is done with the octets is most.
_SIDE_BY_SIDE = 100_000
# And only if they cannot become more than that by being sealed for each recipient.
_MULTIPLIED = 1_000_000
# Seconds until a mail for many is tried again that found no room.
_CROWDED = 1.0

_DONE = object()  # what no step gives


@dataclass(frozen=True, slots=True)
class Sealing:
    """watched: around each step of opening and sealing a mail, which may break the process:
    entered again for each.
    """

    outbound: Outbound
    contents: Contents
    hand: Hand
    watched: Callable[[Job], AbstractContextManager[None]]

    def seal_all(
        self,
        jobs: Sequence[Job],
        findings: Mapping[str, Finding],
        moment: datetime,
        fetched: dict[str, Fetched],
    ) -> list[Work]:
        """The work of each. fetched: contents that need not be loaded; it is emptied."""
        contents: dict[str, Fetched] = {
            **self.contents.load([job for job in to_open(jobs) if job.archive_id not in fetched]),
            **fetched,
        }
        fetched.clear()  # each ciphertext goes as soon as it is opened: they may be large
        alone = {job.archive_id for job in jobs if job.size > _SIDE_BY_SIDE or _multiplies(job)}
        small = [job for job in jobs if job.archive_id not in alone]
        works = self._seal_side_by_side(small, contents, findings, moment)
        for job in jobs:
            if job.archive_id not in alone:
                continue
            if self.hand.crowded and _multiplies(job):
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
                self.hand.keep(job, sum(group.size for group in work.groups))
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
            raw = self.contents.opened(contents.pop(work.job.archive_id))
            yield
        yield from self.outbound.sealing(work, raw, findings, moment=moment)


def _multiplies(job: Job) -> bool:
    """Whether a mail may become very much more than it is: sealed for each blind recipient."""
    return job.size * sum(r.group_id is None for r in job.due) > _MULTIPLIED
