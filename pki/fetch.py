"""Fetching of CRLs over HTTP: the network is hostile. Judging what came is `pki.crl`'s."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True)
class FetchRules:
    """Where fetches may go. hosts: "host:port", exact. private: networks inside that may be reached."""

    hosts: frozenset[str]
    private: tuple[IPv4Network | IPv6Network, ...] = ()
    max_bytes: int = 64 * 1024 * 1024
    time_limit: timedelta = timedelta(seconds=10)


def fetch(url: str, rules: FetchRules) -> bytes:
    """GET `url`, all of it within the limits. Raises FetchTrouble."""
    ...
