"""Batch keys: one encapsulation for the mails that are sealed side by side.

HPKE to two recipients costs more than all the rest of taking a mail. So a random batch key is
wrapped to each recipient by HPKE, and it wraps the content keys of a few mails; each mail keeps
the wrapped batch key beside its own wrap, so that it can be opened, and erased, without the others.

A batch key lives no longer than the mails it is for: whoever takes over the gateway later finds
none in memory that opens the archive (docs/decisions/0009).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from archive.errors import Problem, RecipientRefused
from archive.recipients import NONCE_SIZE, ArchiveRecipient
from archive.wrap import KEY_SIZE, Wrap, bound

# Mails under one batch key. Nonces are random: far from where two could be alike.
_MOST = 256


@dataclass(frozen=True, slots=True)
class BatchKey:
    """A batch key and, for each recipient, its HPKE wrap. Make it with `batch_key`."""

    encapsulated: tuple[tuple[str, bytes], ...] = field(repr=False)
    _aead: AESGCM = field(repr=False, compare=False)

    def wrap(self, archive_id: str, key: bytes) -> tuple[Wrap, ...]:
        """The content key of a mail, for each recipient: readable for this archive id only."""
        wraps = []
        for holder, encapsulated in self.encapsulated:
            nonce = os.urandom(NONCE_SIZE)
            about = bound("archive", archive_id, holder)
            wraps.append(Wrap(holder, encapsulated + nonce + self._aead.encrypt(nonce, key, about)))
        return tuple(wraps)


def batch_key(recipients: Sequence[ArchiveRecipient]) -> BatchKey:
    """A fresh batch key for these recipients.

    Raises RecipientRefused unless there are at least two, all with different keys: with one key,
    its loss is the loss of the archive.
    """
    if len({one.id for one in recipients}) < max(2, len(recipients)):
        raise RecipientRefused(
            Problem(
                "keys.too-few-recipients",
                "content is sealed to at least two archive recipients with different keys "
                "(authority and escrow); there are {names}",
                {"names": ", ".join(one.name for one in recipients) or "none"},
            )
        )
    key = os.urandom(KEY_SIZE)
    return BatchKey(tuple((one.id, one.encapsulate(key)) for one in recipients), AESGCM(key))


class BatchKeys:
    """Hands the same batch key to mails that are being accepted at the same time."""

    def __init__(self, recipients: Sequence[ArchiveRecipient]) -> None:
        self._recipients = recipients
        self._key: BatchKey | None = None
        self._left = 0
        self._holders = 0

    @contextmanager
    def lease(self) -> Iterator[BatchKey]:
        """A batch key for one mail. It is forgotten when nobody holds it, and after 256 mails."""
        if self._key is None or not self._left:
            self._key, self._left = batch_key(self._recipients), _MOST
        self._left -= 1
        self._holders += 1
        try:
            yield self._key
        finally:
            self._holders -= 1
            if not self._holders:
                self._key = None
