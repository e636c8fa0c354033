"""Certificates of others in LDAP directories (RFC 4511, RFC 4523)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from pki.models import Refusal


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory as the admin described it.

    domains: address domains it is asked for (S20: no other look-up leaves); see
    `pki.addresses.in_domain`. ca_file: needed for ldaps:// and StartTLS. unsafe_plain: allow
    ldap:// without StartTLS to another machine.
    """

    name: str
    url: str
    base: str
    domains: tuple[str, ...]
    starttls: bool = False
    ca_file: Path | None = None
    bind_dn: str = ""
    password: str = field(default="", repr=False)
    network_timeout: timedelta = timedelta(seconds=2)
    operation_timeout: timedelta = timedelta(seconds=4)
    attributes: tuple[str, ...] = ("userCertificate;binary", "userCertificate")
    mail_attributes: tuple[str, ...] = ("mail",)
    unsafe_plain: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """Certificate bytes that were found somewhere; nothing about them has been checked."""

    der: bytes
    source: str


@dataclass(frozen=True, slots=True)
class DirectoryAnswer:
    """What one search gave: candidates, and values that are not certificates."""

    candidates: tuple[Candidate, ...]
    refused: tuple[Refusal, ...]


class DirectoryClient:
    """A small pool of connections to one directory, with a circuit breaker. Thread-safe."""

    def __init__(
        self,
        directory: Directory,
        *,
        pool: int = 4,
        retry_after: timedelta = timedelta(seconds=30),
    ) -> None: ...

    def search(self, address: str) -> DirectoryAnswer:
        """Certificates of the entries with this canonical mail address.

        Raises DirectoryTrouble (at once while the breaker is open).
        """
        ...

    def close(self) -> None: ...
