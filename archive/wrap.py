"""A content key wrapped to one holder, and who can unwrap it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from archive.errors import Damaged, Problem

KEY_SIZE = 32
_DOMAIN = b"sceau/seal/1\x00"


@dataclass(frozen=True, slots=True)
class Wrap:
    """A wrapped content key. holder: id of the archive recipient or of the working key."""

    holder: str
    wrapped: bytes = field(repr=False)


class Unwrapper(Protocol):
    """Opens wraps made for one holder. The only thing a caller learns of a private key."""

    def unwrap(self, archive_id: str, wrap: Wrap) -> bytes:
        """The 32-byte content key.

        Raises NotMine if the wrap is for another holder (try the next wrap or key), Damaged if it
        is for this one and does not open.
        """
        ...


def bound(purpose: str, archive_id: str, holder: str = "") -> bytes:
    """What every ciphertext is bound to, as HPKE info or AEAD associated data.

    "sceau/seal/1" 00 purpose 00 archive-id [00 holder]: a ciphertext moved to another mail, part
    or holder does not open.
    """
    parts = [purpose, archive_id, holder] if holder else [purpose, archive_id]
    return _DOMAIN + "\x00".join(parts).encode("ascii")


def does_not_open(what: str, archive_id: str, holder: str = "") -> Damaged:
    """The error for a ciphertext whose authentication tag is wrong."""
    return Damaged(
        Problem(
            "seal.does-not-open",
            "{what} of {id} does not open with the key {holder} it is meant for",
            {"what": what, "id": archive_id, "holder": holder},
        )
    )


def wraps_hash(wraps: Sequence[Wrap]) -> str:
    """Hex SHA-256 over the wraps in order of holder: len32(holder) holder len32(wrap) wrap each."""
    hashed = sha256()
    for wrap in sorted(wraps, key=lambda one: one.holder):
        holder = wrap.holder.encode("ascii", "backslashreplace")
        hashed.update(len(holder).to_bytes(4, "big") + holder)
        hashed.update(len(wrap.wrapped).to_bytes(4, "big") + wrap.wrapped)
    return hashed.hexdigest()
