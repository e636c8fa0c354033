"""How things stand: what is not a sum but a state, asked of the database and the disks.

One look serves the metrics and the alarms.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from archive.attempts import skipped_since
from archive.errors import ArchiveError
from archive.lag import Lag, Onlooker
from gateway import running
from gateway.belief import Doubt
from gateway.expiry_watch import Ends, ExpiryWatch
from gateway.known import KnownCertificate
from gateway.neighbours import Absence, absent
from gateway.queue.backlog import Backlog, backlog
from gateway.running import Status
from gateway.signing_watch import People, SigningWatch
from pki.crl_standing import CrlStanding, crl_standings
from pki.crl_store import LastFetch, last_fetches
from pki.errors import Problem
from pki.path import Material
from pki.questions import count_open
from pki.refused_keys import count_since
from pki.suggestions import count_waiting
from pki.trust import Trust

# Seconds for which a look is good; after a slow one (a long queue) as many times as long.
_FRESH = 2.0
_SHARE = 10
_SKIPPED_WITHIN = timedelta(days=1)
_REFUSED_WITHIN = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder's file system, in octets."""

    folder: Path
    free: int
    size: int


@dataclass(frozen=True, slots=True)
class Standing:
    """One look. crls, crls_begun: nextUpdate and thisUpdate of what counts of each issuer's CRLs (a
    complete one, or the delta that keeps it current), of several scopes the first to end.
    late_deltas: by issuer, nextUpdate of a delta that should have been replaced while the complete
    CRL still counts. index: None if unreadable.

    refusing: folders in which nothing can be written, and why, where that was tried
        (`gateway.diskprobe`). absent: neighbours that do not answer.
    people: who may sign. refused_seals: by domain, why a seal signs nothing now.
    skipped: mails that the index has left out within the last day. ends: of recipients'
        certificates and OCSP responses, and what grace CRLs have. fetches: of CRLs, by source.
    """

    moment: datetime
    backlog: Backlog
    index: Lag | None
    crls: dict[str, datetime]
    certificates: tuple[KnownCertificate, ...]
    disks: tuple[Disk, ...]
    status: Status | None
    refusing: tuple[tuple[Path, str], ...] = ()
    absent: tuple[Absence, ...] = ()
    people: People = field(default_factory=People)
    refused_seals: Mapping[str, Problem] = field(default_factory=dict)
    skipped: int = 0
    doubt: Doubt | None = None  # of this machine's clock
    ends: Ends = field(default_factory=Ends)
    crls_begun: Mapping[str, datetime] = field(default_factory=dict)
    late_deltas: Mapping[str, datetime] = field(default_factory=dict)
    fetches: Mapping[str, LastFetch] = field(default_factory=dict)
    unbelieved: tuple[Problem, ...] = ()  # decisions in the log that do not count
    questions: int = 0  # authorities that nobody knows
    changed_keys: int = 0  # of recipients, that wait for a person
    refused_keys: int = 0  # found weak by an audit, lately


@dataclass
class Gauges:
    """Looks, and remembers for a moment what it saw: a curious client costs nothing."""

    read: Callable[[], AbstractContextManager[sa.Connection]]
    index: Path
    certificates: Callable[[], tuple[KnownCertificate, ...]]
    folders: Sequence[Path]
    run_folder: Path
    now: Callable[[], datetime]
    signing: SigningWatch | None = None
    expiry: ExpiryWatch | None = None
    crl_sources: Collection[str] = ()
    unbelieved: Callable[[], tuple[Problem, ...]] = tuple
    trust: Callable[[], Trust] | None = None
    _material: Material | None = field(default=None, init=False)
    _crls: Sequence[CrlStanding] = field(default=(), init=False)
    _seen: Standing | None = field(default=None, init=False)
    _good_until: float = field(default=0.0, init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False)
    _onlooker: Onlooker = field(init=False)

    def __post_init__(self) -> None:
        self._onlooker = Onlooker(self.index)

    def look(self) -> Standing:
        """How things stand, at most a few seconds ago."""
        with self._turn:
            begun = time.monotonic()
            if self._seen is None or begun >= self._good_until:
                self._seen = self._look()
                took = time.monotonic() - begun
                self._good_until = begun + max(_FRESH, _SHARE * took)
            return self._seen

    def _look(self) -> Standing:
        moment = self.now()
        behind: Lag | None = None
        crls: dict[str, datetime] = {}
        begun: dict[str, datetime] = {}
        late: dict[str, datetime] = {}
        for one in self._crl_standings(moment):  # the first to end comes first
            if one.complete is not None:
                crls.setdefault(one.issuer, one.until)
                begun.setdefault(one.issuer, one.current.this_update)
            if one.delta is not None and one.delta_is_late(moment):
                late.setdefault(one.issuer, one.delta.next_update)
        with self.read() as conn:
            queue = backlog(conn)
            asked = count_open(conn)
            changed = count_waiting(conn)
            refused = count_since(conn, moment - _REFUSED_WITHIN)
            fetches = last_fetches(conn)
            with suppress(ArchiveError):
                behind = self._onlooker.lag(conn, moment=moment)
        return Standing(
            moment=moment,
            backlog=queue,
            index=behind,
            crls=crls,
            crls_begun=begun,
            late_deltas=late,
            fetches={name: fetches[name] for name in self.crl_sources if name in fetches},
            certificates=self.certificates(),
            disks=tuple(disks(self.folders)),
            status=running.read(self.run_folder),
            absent=tuple(absent(self.run_folder)),
            people=People() if self.signing is None else self.signing.people,
            refused_seals={} if self.signing is None else self.signing.refused_seals,
            ends=Ends() if self.expiry is None else self.expiry.ends,
            skipped=len(skipped_since(self.index, moment - _SKIPPED_WITHIN)),
            unbelieved=self.unbelieved(),
            questions=asked,
            changed_keys=changed,
            refused_keys=refused,
        )

    def _crl_standings(self, moment: datetime) -> Sequence[CrlStanding]:
        """Put together anew only when something was stored."""
        if self.trust is not None and (material := self.trust().material) is not self._material:
            self._crls, self._material = crl_standings(material, moment), material
        return self._crls


def disks(folders: Sequence[Path]) -> list[Disk]:
    """The file systems of these folders, each once, by the first folder on it."""
    found: dict[int, Disk] = {}
    for folder in folders:
        there = next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
        device = there.stat().st_dev
        if device not in found:
            usage = shutil.disk_usage(there)
            found[device] = Disk(folder, usage.free, usage.total)
    return list(found.values())


def least_free(disk: Disk, room: int) -> int:
    """Below this many free octets a disk is nearly full: 5 %, and room for a large mail.

    room: octets for that one (`gateway.growth`).
    """
    return max(disk.size // 20, room)
