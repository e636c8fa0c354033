"""What is trusted and known at one time: a snapshot, replaced whole, never changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import sqlalchemy as sa

from pki import crl_store, refused_keys, store
from pki.anchors import Anchor
from pki.certificate import ParsedCertificate
from pki.crl_folder import CrlFolder
from pki.ocsp_known import NO_RESPONSES, KnownResponses
from pki.path import Material

Connect = Callable[[], AbstractContextManager[sa.Connection]]  # Database.read or Database.write
Version = tuple[int, int, str, int]


class DecidedAnchors(Protocol):
    """Anchors that people decided on, kept elsewhere than in the configuration."""

    def version(self, conn: sa.Connection) -> Hashable:
        """Changes with every decision, and with every change that somebody made beside them."""
        ...

    def anchors(self, conn: sa.Connection) -> Sequence[Anchor]:
        """Those in force. What cannot be believed is left out and told of elsewhere."""
        ...

    def suspended(self) -> Sequence[Anchor]:
        """Those that were suspended when `anchors` was asked last."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """Anchors, intermediates and CRLs that checks use.

    version changes with the stored CRLs and certificates, and with the anchors people decided on;
    `crls` with the CRLs and those anchors alone.
    """

    material: Material
    version: Version

    @property
    def crls(self) -> int:
        """Version of the CRLs and anchors: a verdict holds as long as it does not change.

        Both numbers only grow in one process, so their sum changes with either.
        """
        return self.version[0] + self.version[3]


class StoredTrust:
    """Trust whose CRLs come from the database; looks for news every `poll`. Thread-safe.

    anchors: of the configuration. decided: the others, which are asked anew with every change.
    folder: of the indexes of large CRLs; without one they stand in memory whole. any_usage: as of
    `Material`.
    Raises CertificateRefused if an anchor or intermediate cannot be read.
    """

    def __init__(
        self,
        read: Connect,
        *,
        anchors: Sequence[Anchor],
        intermediates: Iterable[bytes] = (),
        decided: DecidedAnchors | None = None,
        poll: timedelta = timedelta(seconds=1),
        folder: CrlFolder | None = None,
        org: str = "",
        ocsp: KnownResponses = NO_RESPONSES,
        any_usage: bool = True,
    ) -> None:
        self._read = read
        self._ocsp = ocsp
        self._any_usage = any_usage
        self._anchors = tuple(anchors)
        self._intermediates = tuple(ParsedCertificate(der) for der in intermediates)
        self._decided = decided
        self._decided_version: Hashable = None
        self._decided_now: tuple[Anchor, ...] = ()
        self._ended_now: tuple[Anchor, ...] = ()
        self._changes = 0  # how often the decided anchors changed since this process began
        self._poll = poll.total_seconds()
        self._folder = folder
        self._org = org
        self._lock = threading.Lock()
        self._trust: Trust | None = None
        self._look_again = 0.0
        Material(self._anchors, self._intermediates)  # a bad anchor shall stop the start

    def current(self) -> Trust:
        """The newest snapshot; costs a query only when `poll` has passed."""
        trust = self._trust
        if trust is not None and time.monotonic() < self._look_again:
            return trust
        with self._lock:
            trust = self._trust
            if trust is None or time.monotonic() >= self._look_again:
                trust = self._trust = self._load(trust)
                self._look_again = time.monotonic() + self._poll
            return trust

    def refresh(self) -> Trust:
        """The newest snapshot, looked up now."""
        with self._lock:
            self._look_again = 0.0
        return self.current()

    def _load(self, old: Trust | None) -> Trust:
        with self._read() as conn:
            self._ask_decided(conn)
            version = (*store.version(conn, org=self._org), self._changes)
            if old is not None and old.version == version:
                return old
            refused = refused_keys.load(conn, org=self._org)
            if old is not None and (old.version[0], old.version[3]) == (version[0], version[3]):
                return Trust(old.material.refusing(refused), version)
            # CRL objects are kept: they know which signatures were checked already.
            known = (
                {crl.sha256: crl for crls in old.material.crls.values() for crl in crls}
                if old is not None
                else {}
            )
            anchors = (*self._anchors, *self._decided_now)
            signers = Material(
                anchors, self._intermediates, ocsp=self._ocsp, ended=self._ended_now,
                any_usage=self._any_usage,
            )  # fmt: skip
            crls = crl_store.current_crls(
                conn, known, folder=self._folder, material=signers, org=self._org
            )
        return Trust(signers.with_crls(crls).refusing(refused), version)

    def _ask_decided(self, conn: sa.Connection) -> None:
        if self._decided is None:
            return
        version = self._decided.version(conn)
        if self._changes and version == self._decided_version:
            return
        self._decided_now = tuple(self._decided.anchors(conn))
        self._ended_now = tuple(self._decided.suspended())
        self._decided_version = version
        self._changes += 1
