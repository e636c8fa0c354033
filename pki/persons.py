"""Persons' signing keys, wrapped, and the consents without which none is used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from pki.models import Signer
from pki.trust import Connect


class KeyEncryptionKey:
    """256 bits that wrap persons' keys. Never shows them."""


def create_kek(path: Path) -> KeyEncryptionKey:
    """Make a new key file (mode 0600, never over an existing one). Raises PrivateKeyError."""
    ...


def load_kek(path: Path) -> KeyEncryptionKey:
    """Read a key file of 32 octets. Raises PrivateKeyError (size, readable by others)."""
    ...


@dataclass(frozen=True, slots=True)
class PersonKey:
    """A stored key, without the key."""

    address: str
    certificate_sha256: str
    certificate: bytes
    added_at: datetime
    added_by: str


@dataclass(frozen=True, slots=True)
class Consent:
    """Who agreed that the gateway signs as him, with which certificate, who recorded it."""

    address: str
    certificate_sha256: str
    person: str
    given_at: datetime
    given_by: str
    withdrawn_at: datetime | None


def import_p12(
    conn: sa.Connection,
    data: bytes,
    password: bytes,
    *,
    address: str,
    kek: KeyEncryptionKey,
    by: str,
    moment: datetime,
) -> PersonKey:
    """Store the key of a PKCS#12, wrapped. Raises PrivateKeyError, CertificateRefused."""
    ...


def give_consent(
    conn: sa.Connection,
    *,
    address: str,
    certificate_sha256: str,
    person: str,
    by: str,
    moment: datetime,
) -> Consent: ...


def withdraw_consent(conn: sa.Connection, *, address: str, by: str, moment: datetime) -> int:
    """Ends all live consents of an address. Returns how many."""
    ...


def list_consents(conn: sa.Connection, address: str = "") -> list[Consent]: ...


def list_keys(conn: sa.Connection, address: str = "") -> list[PersonKey]: ...


def signer_for(
    conn: sa.Connection, address: str, moment: datetime, kek: KeyEncryptionKey
) -> Signer | None:
    """The signer of a person with live consent, key, and a certificate fit to sign; else None."""
    ...


class PersonSigners:
    """`signer_for` with unwrapped keys kept in memory; consent is looked up every time."""

    def __init__(self, read: Connect, kek: KeyEncryptionKey, *, keep: int = 1000) -> None: ...

    def signer_for(self, address: str, moment: datetime) -> Signer | None: ...
