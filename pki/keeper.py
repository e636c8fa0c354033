"""Keeps CRLs fresh: fetched ahead of need, checked, stored; the old one is never dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pki.errors import Problem
from pki.fetch import FetchRules
from pki.trust import Connect, StoredTrust


@dataclass(frozen=True, slots=True)
class CrlSource:
    """Where a CRL comes from. location: http(s):// URL or the path of a file (PEM or DER)."""

    name: str
    location: str
    every: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What happened with one source. state: stored, unchanged, not-due, failed."""

    source: str
    state: str
    issuer: str = ""
    number: int | None = None
    next_update: datetime | None = None
    problem: Problem | None = None


def refresh_crls(
    read: Connect,
    write: Connect,
    sources: Sequence[CrlSource],
    *,
    trust: StoredTrust,
    rules: FetchRules,
    moment: datetime,
    force: bool = False,
) -> list[SourceReport]:
    """Fetch what is due (every `every`, or half of the time to nextUpdate is over), check, store.

    No transaction is open while the network is used. Never raises for one bad source.
    """
    ...
