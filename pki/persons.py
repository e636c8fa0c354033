"""Persons' signing keys, wrapped, and the consents without which none is used.

A key is a row, encrypted by AES-256-GCM under the key-encryption key. The associated data binds
address and certificate: whoever can write to the table cannot make one person's key sign for
another.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from pki.addresses import canonical
from pki.algorithms import Operation, judge_key
from pki.certificate import ParsedCertificate
from pki.der import element
from pki.errors import CertificateRefused, PrivateKeyError, problem
from pki.kek import KeyEncryptionKey, create_kek, load_kek
from pki.keys import KeySigner, PrivateKey, load_p12, make_signer, usable_key
from pki.models import Purpose, Signer
from pki.tables import consents, person_keys
from pki.trust import Connect
from pki.usage import check_usage

__all__ = [
    "Consent",
    "KeyEncryptionKey",
    "PersonKey",
    "PersonSigners",
    "create_kek",
    "give_consent",
    "import_p12",
    "list_consents",
    "list_keys",
    "load_kek",
    "signer_for",
    "withdraw_consent",
]


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
    """Who agreed that the gateway signs as him, with which certificate, and who recorded it."""

    address: str
    certificate_sha256: str
    person: str
    given_at: datetime
    given_by: str
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None


def import_p12(
    conn: sa.Connection,
    data: bytes,
    password: bytes | None,
    *,
    address: str,
    kek: KeyEncryptionKey,
    by: str,
    moment: datetime,
    name: str = "PKCS#12",
    org: str = "",
) -> PersonKey:
    """Store the key of a PKCS#12, wrapped. name: what to call the file in errors.

    Raises PrivateKeyError (password, no key, known already), CertificateRefused (another address,
    not for signing), AddressError.
    """
    address = canonical(address)
    key, certificates = load_p12(data, password, name)
    signer = make_signer(name, key, certificates)
    cert = ParsedCertificate(signer.certificate)
    _check_fit(cert, address, moment)
    bound_to = _bound_to(org, address, cert.sha256)
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    nonce, wrapped = kek.wrap(plain, bound_to)
    table = person_keys.c
    if conn.execute(
        sa.select(table.id).where(
            table.org == org, table.address == address, table.certificate_sha256 == cert.sha256
        )
    ).first():
        raise PrivateKeyError(
            problem(
                "structure.key-known",
                "the key for the certificate {sha256} of {address} is stored already",
                sha256=cert.sha256,
                address=address,
            )
        )
    conn.execute(
        person_keys.insert().values(
            org=org,
            address=address,
            certificate_sha256=cert.sha256,
            certificate=cert.der,
            chain=b"".join(signer.chain),
            kek=kek.name,
            nonce=nonce,
            wrapped=wrapped,
            added_at=moment,
            added_by=by,
        )
    )
    return PersonKey(address, cert.sha256, cert.der, moment, by)


def give_consent(
    conn: sa.Connection,
    *,
    address: str,
    certificate_sha256: str,
    person: str,
    by: str,
    moment: datetime,
    org: str = "",
) -> Consent:
    """Record that a person agrees. Raises PrivateKeyError if no such key is stored."""
    address = canonical(address)
    table = person_keys.c
    if not conn.execute(
        sa.select(table.id).where(
            table.org == org,
            table.address == address,
            table.certificate_sha256 == certificate_sha256,
        )
    ).first():
        raise PrivateKeyError(
            problem(
                "structure.key-unknown",
                "no key for the certificate {sha256} of {address} is stored",
                sha256=certificate_sha256,
                address=address,
            )
        )
    consent = Consent(address, certificate_sha256, person, moment, by)
    conn.execute(
        consents.insert().values(
            org=org,
            address=address,
            certificate_sha256=certificate_sha256,
            person=person,
            given_at=moment,
            given_by=by,
        )
    )
    return consent


def withdraw_consent(
    conn: sa.Connection, *, address: str, by: str, moment: datetime, org: str = ""
) -> int:
    """Ends all live consents of an address. Returns how many."""
    table = consents.c
    return conn.execute(
        consents.update()
        .where(
            table.org == org,
            table.address == canonical(address),
            table.withdrawn_at.is_(None),
        )
        .values(withdrawn_at=moment, withdrawn_by=by)
    ).rowcount


def list_consents(conn: sa.Connection, address: str = "", *, org: str = "") -> list[Consent]:
    """All consents, also withdrawn ones, of one address or of all."""
    table = consents.c
    query = sa.select(consents).where(table.org == org)
    if address:
        query = query.where(table.address == canonical(address))
    return [
        Consent(
            address=row.address,
            certificate_sha256=row.certificate_sha256,
            person=row.person,
            given_at=row.given_at,
            given_by=row.given_by,
            withdrawn_at=row.withdrawn_at,
            withdrawn_by=row.withdrawn_by,
        )
        for row in conn.execute(query.order_by(table.id))
    ]


def list_keys(
    conn: sa.Connection, address: str = "", *, certificate_sha256: str = "", org: str = ""
) -> list[PersonKey]:
    """Stored keys, without the keys, of one address or of all, for one certificate or for all."""
    table = person_keys.c
    query = sa.select(
        table.address, table.certificate_sha256, table.certificate, table.added_at, table.added_by
    ).where(table.org == org)
    if address:
        query = query.where(table.address == canonical(address))
    if certificate_sha256:
        query = query.where(table.certificate_sha256 == certificate_sha256)
    return [PersonKey(*row) for row in conn.execute(query.order_by(table.address, table.id))]


def signer_for(
    conn: sa.Connection,
    address: str,
    moment: datetime,
    kek: KeyEncryptionKey,
    *,
    org: str = "",
) -> Signer | None:
    """The signer of a person with live consent, key, and a certificate fit to sign; else None.

    Raises AddressError; PrivateKeyError if a stored key cannot be unwrapped (another
    key-encryption key, or the row was changed): that is trouble, not "no key".
    """
    address = canonical(address)
    for row in _fit_rows(conn, address, moment, org):
        return _unwrap(row, address, kek, org)
    return None


class PersonSigners:
    """`signer_for` with unwrapped keys kept in memory. Thread-safe.

    Consent and dates are looked up every time: a withdrawal counts at once.
    """

    def __init__(
        self, read: Connect, kek: KeyEncryptionKey, *, keep: int = 1000, org: str = ""
    ) -> None:
        self._read = read
        self._kek = kek
        self._size = keep
        self._org = org
        self._lock = threading.Lock()
        self._signers: OrderedDict[tuple[str, str], Signer] = OrderedDict()

    def signer_for(self, address: str, moment: datetime) -> Signer | None:
        """As `signer_for`."""
        address = canonical(address)
        with self._read() as conn:
            row = next(iter(_fit_rows(conn, address, moment, self._org)), None)
        if row is None:
            return None
        name = (address, str(row.certificate_sha256))
        with self._lock:
            signer = self._signers.get(name)
            if signer is not None:
                self._signers.move_to_end(name)
                return signer
        signer = _unwrap(row, address, self._kek, self._org)
        with self._lock:
            self._signers[name] = signer
            while len(self._signers) > self._size:
                self._signers.popitem(last=False)
        return signer


def _fit_rows(
    conn: sa.Connection, address: str, moment: datetime, org: str
) -> list[sa.Row[tuple[object, ...]]]:
    """Key rows with live consent whose certificate may sign for `address`, newest first."""
    keys, consent = person_keys.c, consents.c
    live = sa.exists().where(
        consent.org == org,
        consent.address == keys.address,
        consent.certificate_sha256 == keys.certificate_sha256,
        consent.given_at <= moment,
        sa.or_(consent.withdrawn_at.is_(None), consent.withdrawn_at > moment),
    )
    rows = conn.execute(
        sa.select(person_keys)
        .where(keys.org == org, keys.address == address, live)
        .order_by(keys.added_at.desc(), keys.id.desc())
    ).all()
    return [row for row in rows if _fits(row.certificate, address, moment)]


def _fits(der: bytes, address: str, moment: datetime) -> bool:
    try:
        _check_fit(ParsedCertificate(der), address, moment)
    except CertificateRefused:
        return False
    return True


def _check_fit(cert: ParsedCertificate, address: str, moment: datetime) -> None:
    """Address, usage, dates, and a key that we still sign with. Raises CertificateRefused."""
    check_usage(cert, address=address, purpose=Purpose.SIGN, moment=moment)
    weak = judge_key(Operation.SIGN_WITH, cert.public_key, moment)
    if weak is not None:
        raise CertificateRefused(weak)
    if not cert.not_before <= moment <= cert.not_after:
        raise CertificateRefused(
            problem(
                "path.expired",
                "the certificate of {subject} is valid from {start} to {end} only",
                subject=cert.subject_text,
                start=cert.not_before.strftime("%Y-%m-%d"),
                end=cert.not_after.strftime("%Y-%m-%d"),
            )
        )


def _unwrap(
    row: sa.Row[tuple[object, ...]], address: str, kek: KeyEncryptionKey, org: str
) -> Signer:
    bound_to = _bound_to(org, address, row.certificate_sha256)
    key: PrivateKey | None = None
    try:
        plain = kek.unwrap(row.nonce, row.wrapped, bound_to)
        # The key was checked when it was imported, and GCM says that it is the same.
        key = usable_key(
            address, load_der_private_key(plain, None, unsafe_skip_rsa_key_validation=True)
        )
    except (InvalidTag, ValueError):
        key = None
    cert = ParsedCertificate(row.certificate)
    if key is None or cert.sha256 != row.certificate_sha256 or cert.public_key != key.public_key():
        raise PrivateKeyError(
            problem(
                "decrypt.person-key",
                "the stored key of {address} cannot be opened: it was wrapped by another "
                "key-encryption key ({kek}), or the row was changed",
                address=address,
                kek=str(row.kek),
            )
        )
    return KeySigner(key, cert.der, _split(row.chain))


def _bound_to(org: str, address: str, certificate_sha256: str) -> bytes:
    """The associated data; lengths first, so that no two triples give the same bytes."""
    parts = [part.encode() for part in (org, address, certificate_sha256)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _split(chain: bytes) -> tuple[bytes, ...]:
    """Certificates that were stored one after the other."""
    ders: list[bytes] = []
    offset = 0
    while offset < len(chain):
        _, end = element(chain, offset)
        ders.append(chain[offset:end])
        offset = end
    return tuple(ders)
