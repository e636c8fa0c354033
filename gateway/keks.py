"""The key-encryption keys that the configuration names: files, or keys in PKCS#11 tokens."""

from __future__ import annotations

from pathlib import Path

from gateway.config.sections import Pki, TokenKey
from pki.kek import Kek, KekRing, load_kek


def open_keks(section: Pki) -> KekRing:
    """The key in force and the former one. Files are read now, tokens are opened when first used.

    Raises PrivateKeyError.
    """
    former = section.former_key_encryption_key
    return KekRing(_open(section.key_encryption_key), () if former is None else (_open(former),))


def place_of(where: Path | TokenKey) -> str:
    """Where a key-encryption key is, for people."""
    if isinstance(where, TokenKey):
        return f"{where.module}, {where.token}, {where.key}"
    return str(where)


def _open(where: Path | TokenKey) -> Kek:
    if not isinstance(where, TokenKey):
        return load_kek(where)
    from pki.token import TokenKek, TokenPlace  # loads PKCS#11, which a key in a file never needs

    return TokenKek(TokenPlace(where.module, where.token, where.key, where.pin_file))
