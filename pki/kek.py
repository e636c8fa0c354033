"""The key-encryption key that wraps persons' keys: a file of 32 octets."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pki.errors import PrivateKeyError, problem

_KEK_OCTETS = 32
_CONTEXT = b"sceau/person-key/1\0"


class KeyEncryptionKey:
    """256 bits that wrap persons' keys. Never shows them.

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
        return nonce, self._cipher.encrypt(nonce, plain, _CONTEXT + bound_to)

    def unwrap(self, nonce: bytes, wrapped: bytes, bound_to: bytes) -> bytes:
        """The plaintext. Raises cryptography's InvalidTag."""
        return self._cipher.decrypt(nonce, wrapped, _CONTEXT + bound_to)


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
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            octets = file.read(_KEK_OCTETS + 1)
    except OSError as error:
        raise PrivateKeyError(
            problem(
                "structure.file",
                "{file} cannot be read: {why}",
                file=str(path),
                why=error.strerror or type(error).__name__,
            )
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise PrivateKeyError(
            problem(
                "structure.key",
                "{file} can be read by others; make it chmod 600",
                file=str(path),
            )
        )
    if len(octets) != _KEK_OCTETS:
        raise PrivateKeyError(
            problem("structure.key", "{file} is not a key file of 32 octets", file=str(path))
        )
    return KeyEncryptionKey(octets)
