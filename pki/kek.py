"""Key-encryption keys, which wrap persons' keys: files of 32 octets. `pki.token` has the others."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pki.errors import KekTrouble, PrivateKeyError, problem, unreadable_file

_KEK_OCTETS = 32
CONTEXT = b"sceau/person-key/1\0"


class Kek(Protocol):
    """A key that wraps others by AES-256-GCM. Never shows itself.

    All methods raise KekTrouble when the key cannot be reached: that says nothing about a row.
    """

    @property
    def name(self) -> str:
        """32 hex digits that say which key wrapped a row, without saying anything about it."""
        ...

    def wrap(self, plain: bytes, bound_to: bytes) -> tuple[bytes, bytes]:
        """Nonce, and ciphertext with tag. bound_to: associated data."""
        ...

    def unwrap(self, nonce: bytes, wrapped: bytes, bound_to: bytes) -> bytes:
        """The plaintext. Raises cryptography's InvalidTag: another key, or changed octets."""
        ...


class KeyEncryptionKey:
    """256 bits in memory that wrap persons' keys. Never shows them.

    name: says which key wrapped a row, without saying anything about it.
    """

    def __init__(self, octets: bytes) -> None:
        if len(octets) != _KEK_OCTETS:
            raise ValueError("a key-encryption key has 32 octets")
        self._cipher = AESGCM(octets)
        self.name = hashlib.sha256(b"sceau/kek-name/1\0" + octets).hexdigest()[:32]

    def __repr__(self) -> str:
        return f"<KeyEncryptionKey {self.name}>"

    def __reduce__(self) -> str:
        raise TypeError("a key-encryption key is not pickled")

    def wrap(self, plain: bytes, bound_to: bytes) -> tuple[bytes, bytes]:
        """Nonce and ciphertext."""
        nonce = os.urandom(12)
        return nonce, self._cipher.encrypt(nonce, plain, CONTEXT + bound_to)

    def unwrap(self, nonce: bytes, wrapped: bytes, bound_to: bytes) -> bytes:
        """The plaintext. Raises cryptography's InvalidTag."""
        return self._cipher.decrypt(nonce, wrapped, CONTEXT + bound_to)


class KekRing:
    """The key-encryption key in force, and those before it while rows are still under them."""

    def __init__(self, current: Kek, former: Sequence[Kek] = ()) -> None:
        self.current = current
        self.former = tuple(former)

    def wrap(self, plain: bytes, bound_to: bytes) -> tuple[str, bytes, bytes]:
        """Name of the key in force, nonce, ciphertext."""
        nonce, wrapped = self.current.wrap(plain, bound_to)
        return self.current.name, nonce, wrapped

    def unwrap(self, name: str, nonce: bytes, wrapped: bytes, bound_to: bytes) -> bytes:
        """The plaintext of a row under the key `name`. Raises InvalidTag, KekTrouble."""
        for kek in (self.current, *self.former):
            if kek.name == name:
                return kek.unwrap(nonce, wrapped, bound_to)
        raise InvalidTag


def prove(kek: Kek) -> None:
    """Wrap and unwrap something. Raises KekTrouble if that does not give it back."""
    plain, bound_to = os.urandom(64), b"sceau/probe\0" + os.urandom(8)
    nonce, wrapped = kek.wrap(plain, bound_to)
    try:
        same = kek.unwrap(nonce, wrapped, bound_to) == plain
    except InvalidTag:
        same = False
    if not same:
        raise KekTrouble(
            problem(
                "kek.useless",
                "the key-encryption key {kek} does not give back what it wrapped",
                kek=kek.name,
            )
        )


def create_kek(path: Path) -> KeyEncryptionKey:
    """Make a new key file (mode 0600, never over an existing one). Raises PrivateKeyError."""
    octets = os.urandom(_KEK_OCTETS)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise PrivateKeyError(
            problem(
                "structure.file",
                "{file} cannot be written: {why}",
                file=str(path),
                why=error.strerror or type(error).__name__,
            )
        ) from error
    return KeyEncryptionKey(octets)


def load_kek(path: Path) -> KeyEncryptionKey:
    """Read a key file of 32 octets. Raises PrivateKeyError (size, readable by others)."""
    octets = read_private(path, _KEK_OCTETS + 1)
    if len(octets) != _KEK_OCTETS:
        raise PrivateKeyError(
            problem("structure.key", "{file} is not a key file of 32 octets", file=str(path))
        )
    return KeyEncryptionKey(octets)


def read_private(path: Path, size: int) -> bytes:
    """Up to `size` octets of a file that nobody else can read. Raises PrivateKeyError."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            octets = file.read(size)
    except OSError as error:
        raise unreadable_file(path, error) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise PrivateKeyError(
            problem(
                "structure.key",
                "{file} can be read by others; make it chmod 600",
                file=str(path),
            )
        )
    return octets
