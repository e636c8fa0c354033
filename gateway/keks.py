"""The key-encryption keys that the configuration names: files, or keys in PKCS#11 tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.pki_sections import Pki, TokenKey
from pki.kek import Kek, KekRing, load_kek

if TYPE_CHECKING:
    from pki.token_sessions import Tokens


def open_keks(section: Pki, tokens: Callable[[], Tokens] | None = None) -> KekRing:
    """The key in force and the former one. Files are read now, tokens are opened when first used.

    tokens: those that this process uses; asked for only where a key is in one. Without, new ones:
    for a command that uses no other key of them. Raises PrivateKeyError.
    """
    given = tokens or new_tokens()
    former = section.former_key_encryption_key
    return KekRing(
        _open(section.key_encryption_key, given), () if former is None else (_open(former, given),)
    )


def new_tokens() -> Callable[[], Tokens]:
    """Gives the same tokens each time, made when first asked for: PKCS#11 is loaded only then."""
    made: list[Tokens] = []

    def tokens() -> Tokens:
        if not made:
            from pki.token_sessions import Tokens  # loads PKCS#11, which files never need

            made.append(Tokens())
        return made[0]

    return tokens


def place_of(where: Path | TokenKey) -> str:
    """Where a key-encryption key is, for people."""
    if isinstance(where, TokenKey):
        return f"{where.module}, {where.token}, {where.key}"
    return str(where)


def _open(where: Path | TokenKey, tokens: Callable[[], Tokens]) -> Kek:
    if not isinstance(where, TokenKey):
        return load_kek(where)
    from pki.token import TokenKek
    from pki.token_access import TokenAccess

    access = TokenAccess(where.module, where.token, where.pin_file)
    return TokenKek(tokens().at(access), where.key)
