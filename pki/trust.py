"""What is trusted and known at one time: a snapshot, replaced whole, never changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from pki import refused_keys, store
from pki.anchors import Anchor
from pki.certificate import ParsedCertificate
from pki.path import Material

Connect = Callable[[], AbstractContextManager[sa.Connection]]  # Database.read or Database.write


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """Anchors, intermediates and CRLs that checks use.

    version changes with the stored CRLs and certificates; `crls` with the CRLs alone.
    """

    material: Material
    version: tuple[int, int, str]

    @property
    def crls(self) -> int:
        """Version of the CRLs: a verdict on a certificate holds as long as it does not change."""
        return self.version[0]


class StoredTrust:
    """Trust whose CRLs come from the database; looks for news every `poll`. Thread-safe.

    Raises CertificateRefused if an anchor or intermediate cannot be read.
    """

    def __init__(
        self,
        read: Connect,
        *,
        anchors: Sequence[Anchor],
        intermediates: Iterable[bytes] = (),
        poll: timedelta = timedelta(seconds=1),
        org: str = "",
    ) -> None:
        self._read = read
        self._anchors = tuple(anchors)
        self._intermediates = tuple(ParsedCertificate(der) for der in intermediates)
        self._poll = poll.total_seconds()
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
            version = store.version(conn, org=self._org)
            if old is not None and old.version == version:
                return old
            refused = refused_keys.load(conn, org=self._org)
            if old is not None and old.version[0] == version[0]:
                return Trust(old.material.refusing(refused), version)
            # CRL objects are kept: they know which signatures were checked already.
            known = (
                {crl.sha256: crl for crls in old.material.crls.values() for crl in crls}
                if old is not None
                else {}
            )
            crls = store.current_crls(conn, known, org=self._org)
        return Trust(Material(self._anchors, self._intermediates, crls, refused), version)
