"""Finds the certificate for an address: local store, then the directories of its domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pki.ldap import DirectoryClient
from pki.models import Finding, Purpose
from pki.trust import Connect, StoredTrust


class CertificateFinder:
    """`pki.models.Finder`. Thread-safe. `close()` gives back threads and connections."""

    def __init__(
        self,
        *,
        read: Connect,
        trust: StoredTrust,
        directories: Sequence[DirectoryClient],
        purpose: Purpose = Purpose.ENCRYPT,
        found_ttl: timedelta = timedelta(minutes=10),
        missing_ttl: timedelta = timedelta(minutes=1),
        threads: int = 8,
    ) -> None: ...

    def find(self, address: str, *, moment: datetime) -> Finding: ...

    def find_all(self, addresses: list[str], *, moment: datetime) -> Mapping[str, Finding]: ...

    def forget(self) -> None:
        """Empty the caches (after `sceau pki cert import`, for tests)."""

    def close(self) -> None: ...
