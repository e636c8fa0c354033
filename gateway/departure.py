"""Somebody leaves: nothing is signed as him any more, and his decryption keys go into escrow.

Sealed as the archive seals (HPKE to its recipients, at least two), so that the gateway itself can
not open them: who takes it over reads no mail of people who have left. Taking a key out needs the
private key of an archive recipient, which lies on no gateway; where decisions take two people
(`pki.four_eyes`) those of two recipients, which two people keep.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from archive.batch import batch_key
from archive.entry import new_archive_id
from archive.recipients import ArchiveRecipient, PrivateKeyUnwrapper
from archive.store import Draft
from archive.wrap import KEY_SIZE, Wrap, does_not_open
from gateway import consents, key_removal
from pki.addresses import canonical
from pki.escrow import EscrowedKey, Seal, put_in_escrow
from pki.kek import KekRing
from pki.persons import Consent, Ground, PersonKey, list_keys

_NONCE = (1).to_bytes(12, "big")  # a key encrypts one thing


@dataclass(frozen=True, slots=True)
class Departed:
    """entry_id: archive id of the entry `departed`. escrowed: fingerprints of the certificates
    whose keys are in escrow now. removed: keys that signed. drafts: for the log, in the same
    transaction.
    """

    entry_id: str
    escrowed: tuple[str, ...]
    removed: tuple[PersonKey, ...]
    ended: tuple[Consent, ...]
    drafts: list[Draft]


def depart(
    conn: sa.Connection,
    address: str,
    keks: KekRing,
    recipients: Sequence[ArchiveRecipient],
    *,
    by: str,
    moment: datetime,
    ground: Ground,
    org: str,
) -> Departed:
    """End an address's signing, put its decryption keys into escrow, in the caller's transaction.

    org: of the log entries. Raises PrivateKeyError, KekTrouble, RecipientRefused; then nothing may
    be committed.
    """
    address = canonical(address)
    entry_id = new_archive_id()
    escrowed = put_in_escrow(
        conn, address, keks, sealer(recipients), entry_id=entry_id, by=by, moment=moment
    )
    keys = tuple(list_keys(conn, address))
    drafts: list[Draft] = []
    ended: list[Consent] = []
    for key in keys:
        removed = key_removal.remove(conn, key, by=by, moment=moment, ground=ground, org=org)
        drafts += removed.drafts
        ended += removed.ended
    fields = {
        "address": address,
        "departed.by": by,
        "escrowed": ",".join(escrowed),
        "escrow.recipients": ",".join(one.id for one in recipients),
        "removed": ",".join(key.certificate_sha256 for key in keys),
        **consents.ground_fields(ground),
    }
    drafts.append(Draft("departed", org, entry_id, _encoded(fields)))
    return Departed(entry_id, escrowed, keys, tuple(ended), drafts)


def sealer(recipients: Sequence[ArchiveRecipient]) -> Seal:
    """Seals keys for these recipients. Raises RecipientRefused for fewer than two."""
    batch = batch_key(recipients)

    def seal(entry_id: str, certificate_sha256: str, plain: bytes) -> tuple[bytes, str]:
        key = os.urandom(KEY_SIZE)
        sealed = AESGCM(key).encrypt(_NONCE, plain, _about(entry_id, certificate_sha256))
        wraps = {
            wrap.holder: b64encode(wrap.wrapped).decode("ascii")
            for wrap in batch.wrap(entry_id, key)
        }
        return sealed, json.dumps(wraps, sort_keys=True)

    return seal


def taking_out(
    key: EscrowedKey, holders: Sequence[str], *, by: str, ground: Ground, org: str
) -> Draft:
    """The entry that must stand in the log before a key leaves (I7). holders: ids of the archive
    recipients whose private keys opened it.
    """
    fields = {
        "address": key.address,
        "certificate.sha256": key.certificate_sha256,
        "opened.by": by,
        "opened.with": ",".join(holders),
        **consents.ground_fields(ground),
    }
    return Draft("escrow-opened", org, key.entry_id, _encoded(fields))


def open_escrow(key: EscrowedKey, unwrappers: Sequence[PrivateKeyUnwrapper]) -> bytes:
    """PKCS#8 of a key in escrow, which each of them opens. Raises NotMine, Damaged."""
    opened = [_open(key, each) for each in unwrappers]
    return opened[0]


def _open(key: EscrowedKey, unwrapper: PrivateKeyUnwrapper) -> bytes:
    holder = unwrapper.recipient.id
    wraps = json.loads(key.wraps)
    # A holder that is not among them gets the error that names him.
    wrapped = b64decode(wraps[holder]) if holder in wraps else b""
    opened = unwrapper.unwrap(key.entry_id, Wrap(holder if wrapped else "", wrapped))
    try:
        about = _about(key.entry_id, key.certificate_sha256)
        return AESGCM(opened).decrypt(_NONCE, key.sealed, about)
    except InvalidTag:
        raise does_not_open("the key in escrow", key.entry_id) from None


def _about(entry_id: str, certificate_sha256: str) -> bytes:
    return f"sceau/escrow/1\0{entry_id}\0{certificate_sha256}".encode("ascii")


def _encoded(fields: dict[str, str]) -> dict[str, bytes]:
    return {name: value.encode() for name, value in fields.items()}
