"""Sealing: content and header fields encrypted once, the key wrapped to those who may read.

    key            32 random bytes, one for each archived mail
    content        00 ‖ bytes as they came, or 01 ‖ Zstandard frame (RFC 8878) if that is shorter
    sealed         AES-256-GCM(key, nonce 0…01, content, "sceau/seal/1" 00 "content" 00 archive-id)
    sealed fields  AES-256-GCM(key, nonce 0…02, payload, "sceau/seal/1" 00 "fields" 00 archive-id)

The nonces are fixed because no key ever encrypts a second content: a key is born in `seal` and
used for exactly these two plaintexts. The fields have a ciphertext of their own, so that the
subject can be opened for an index or a proof without the content.

The tag of AES-GCM does not commit to the key; what was sealed is fixed by the SHA-256 of the
plaintext in the log, and every opening compares with it.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from archive.batch import BatchKey, batch_key
from archive.errors import BlobTrouble, Damaged, NotMine, PayloadMalformed, Problem
from archive.fields import (
    Open,
    Withheld,
    decode_payload,
    digest_of,
    encode_payload,
    salted,
)
from archive.recipients import (
    ArchiveRecipient,
    PrivateKeyUnwrapper,
    generate_recipient,
    load_private_key,
    load_recipient,
)
from archive.working import WorkingKey, WorkingUnwrapper
from archive.wrap import KEY_SIZE, Unwrapper, Wrap, bound, does_not_open

__all__ = [
    "ArchiveRecipient",
    "PrivateKeyUnwrapper",
    "Sealed",
    "Unwrapper",
    "WorkingKey",
    "WorkingUnwrapper",
    "Wrap",
    "generate_recipient",
    "load_private_key",
    "load_recipient",
    "open_content",
    "open_fields",
    "seal",
]

_CONTENT_NONCE = (1).to_bytes(12, "big")
_FIELDS_NONCE = (2).to_bytes(12, "big")
_PLAIN, _ZSTD = b"\x00", b"\x01"
_LEVEL = 1
_WINDOW = 1 << 27  # 128 MiB: what a Zstandard frame may ask for at most
# Content above this is encrypted piece by piece: of a mail of 50 MB each copy counts.
_LARGE = 1 << 20
_PIECE = 1 << 18


T = TypeVar("T")


class _PerThread(threading.local, Generic[T]):
    """One object a thread: these must not be shared, and making one costs more than its use."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._object: T | None = None

    def mine(self) -> T:
        if self._object is None:
            self._object = self._make()
        return self._object


_COMPRESSORS = _PerThread(lambda: zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True))
_DECOMPRESSORS = _PerThread(lambda: zstandard.ZstdDecompressor(max_window_size=_WINDOW))


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed mail: what is stored of it, and what the log commits to.

    content, fields: ciphertexts. wraps: one for each archive recipient. working: the wrap to the
    day's working key, None once erased. content_sha256 (hex), content_size: of the bytes as they
    came. withheld: digests of the sealed header fields by name (`archive.fields`).
    blob: name of the blob that holds the content, where it lies outside the database; `content` is
    empty until `archive.blobs.filled`.
    """

    archive_id: str
    content: bytes = field(repr=False)
    fields: bytes = field(repr=False)
    wraps: tuple[Wrap, ...]
    working: Wrap | None
    content_sha256: str
    content_size: int
    withheld: Mapping[str, Withheld]
    blob: str | None = None


def seal(
    content: bytes,
    sealed_fields: Mapping[str, bytes],
    recipients: Sequence[ArchiveRecipient] | BatchKey,
    working: WorkingKey,
    archive_id: str,
) -> Sealed:
    """Seal the bytes of a mail and the header fields that must not stand in clear.

    recipients: or the batch key for them that mails sealed at the same time share.
    Raises RecipientRefused (fewer than two), PayloadMalformed (name of a field).
    """
    batch = recipients if isinstance(recipients, BatchKey) else batch_key(recipients)
    key = os.urandom(KEY_SIZE)
    aead = AESGCM(key)
    packed = _COMPRESSORS.mine().compress(content)
    kind = _ZSTD if len(packed) < len(content) else _PLAIN
    if kind == _PLAIN:
        packed = content
    about = bound("content", archive_id)
    if len(packed) > _LARGE:
        sealed = _encrypt_large(key, kind, packed, about)
    else:
        sealed = aead.encrypt(_CONTENT_NONCE, kind + packed, about)
    opened = salted(sealed_fields)
    return Sealed(
        archive_id=archive_id,
        content=sealed,
        fields=aead.encrypt(_FIELDS_NONCE, encode_payload(opened), bound("fields", archive_id)),
        wraps=batch.wrap(archive_id, key),
        working=working.wrap(archive_id, key),
        content_sha256=hashlib.sha256(content).hexdigest(),
        content_size=len(content),
        withheld={name: Withheld(digest_of(name, one)) for name, one in opened.items()},
    )


def _encrypt_large(key: bytes, kind: bytes, packed: bytes, about: bytes) -> bytes:
    """As AESGCM.encrypt of both together, without a copy of them."""
    encryptor = Cipher(AES(key), GCM(_CONTENT_NONCE)).encryptor()
    encryptor.authenticate_additional_data(about)
    out = io.BytesIO()
    out.write(encryptor.update(kind))
    with memoryview(packed) as view:
        for at in range(0, len(view), _PIECE):
            out.write(encryptor.update(view[at : at + _PIECE]))
    out.write(encryptor.finalize())
    out.write(encryptor.tag)
    return out.getvalue()


def open_content(sealed: Sealed, *unwrappers: Unwrapper) -> bytes:
    """The bytes as they came, compared with the hash in the log.

    Raises NotMine if none of the keys is for this mail, Damaged if anything is not as it was,
    BlobTrouble if the content lies in a blob and was not fetched (`archive.blobs.filled`).
    """
    if sealed.blob is not None and not sealed.content:
        raise BlobTrouble(
            Problem(
                "blobs.not-configured",
                "the content of {id} lies in a blob store, and none is configured",
                {"id": sealed.archive_id},
            )
        )
    aead = AESGCM(_unwrap(sealed, unwrappers))
    try:
        plain = aead.decrypt(_CONTENT_NONCE, sealed.content, bound("content", sealed.archive_id))
    except InvalidTag:
        raise does_not_open("the content", sealed.archive_id) from None
    content = _unpack(plain, sealed)
    if hashlib.sha256(content).hexdigest() != sealed.content_sha256:
        raise _other_content(sealed)
    return content


def open_fields(sealed: Sealed, *unwrappers: Unwrapper) -> dict[str, Open]:
    """The sealed header fields, compared with the digests in the log. Errors: `open_content`."""
    aead = AESGCM(_unwrap(sealed, unwrappers))
    try:
        plain = aead.decrypt(_FIELDS_NONCE, sealed.fields, bound("fields", sealed.archive_id))
    except InvalidTag:
        raise does_not_open("the header fields", sealed.archive_id) from None
    try:
        payload = decode_payload(plain)
    except PayloadMalformed as error:
        raise Damaged(error.problem) from error
    if any(
        sealed.withheld.get(name) != Withheld(digest_of(name, one)) for name, one in payload.items()
    ):
        raise Damaged(
            Problem(
                "seal.other-fields",
                "the sealed header fields of {id} are not those the log committed to",
                {"id": sealed.archive_id},
            )
        )
    return {name: one for name, one in payload.items() if isinstance(one, Open)}


def _unwrap(sealed: Sealed, unwrappers: Sequence[Unwrapper]) -> bytes:
    refusal: NotMine | None = None
    # The working wrap first: nearly all opening is the gateway's own, of mail in flight.
    wraps = (*((sealed.working,) if sealed.working is not None else ()), *sealed.wraps)
    for unwrapper in unwrappers:
        for wrap in wraps:
            try:
                return unwrapper.unwrap(sealed.archive_id, wrap)
            except NotMine as error:
                refusal = error
    raise refusal or NotMine(
        Problem("seal.no-key", "no key was given that could open {id}", {"id": sealed.archive_id})
    )


def _unpack(plain: bytes, sealed: Sealed) -> bytes:
    kind, body = plain[:1], memoryview(plain)[1:]
    if kind == _PLAIN:
        content = bytes(body)
    elif kind == _ZSTD:
        # Never more than the log says, whatever the frame claims: a few kilobytes can ask for
        # gigabytes, and what is asked for is allocated before the first byte is looked at.
        try:
            if zstandard.frame_content_size(body) != sealed.content_size:
                raise _other_content(sealed)
            content = _DECOMPRESSORS.mine().decompress(body)
        except zstandard.ZstdError:
            raise _other_content(sealed) from None
    else:
        raise _other_content(sealed)
    if len(content) != sealed.content_size:
        raise _other_content(sealed)
    return content


def _other_content(sealed: Sealed) -> Damaged:
    return Damaged(
        Problem(
            "seal.other-content",
            "what was sealed as {id} is not what the log committed to",
            {"id": sealed.archive_id},
        )
    )
