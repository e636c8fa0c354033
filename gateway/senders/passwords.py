"""Passwords as Argon2id hashes (RFC 9106)."""

from __future__ import annotations

from dataclasses import dataclass

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type


@dataclass(frozen=True, slots=True)
class Cost:
    """time: passes; memory: KiB; lanes: threads of one hash. RFC 9106 §4, second choice."""

    time: int = 3
    memory: int = 65_536
    lanes: int = 4


class Passwords:
    """Makes and checks hashes. Blocking: a hash takes tens of milliseconds and 64 MiB."""

    def __init__(self, cost: Cost | None = None) -> None:
        cost = cost or Cost()
        self._hasher = PasswordHasher(
            time_cost=cost.time, memory_cost=cost.memory, parallelism=cost.lanes, type=Type.ID
        )
        # Of a password nobody has: for logins that do not exist, which must cost as much.
        self._nobody = self._hasher.hash("\0 no password has a NUL")

    def hash(self, password: str) -> str:
        """A hash of a new password, as the PHC string that the users file has."""
        return self._hasher.hash(password)

    def matches(self, stored: str | None, password: str) -> bool:
        """Whether it is the password. None: there is no such login; takes as long, and is False.

        Raises ValueError for a stored text that is no Argon2 hash.
        """
        try:
            self._hasher.verify(stored or self._nobody, password)
        except InvalidHashError as error:
            raise ValueError("not an Argon2 hash") from error
        except VerificationError:
            return False
        return stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether the parameters were raised since it was made."""
        return self._hasher.check_needs_rehash(stored)


def is_hash(text: str) -> bool:
    """Whether `text` is a hash that `Passwords` can check, of Argon2id and not absurdly dear."""
    try:
        found = extract_parameters(text)
    except InvalidHashError:
        return False
    # A file with a hash of 60 GiB would stop the gateway at the first login.
    return found.type is Type.ID and found.memory_cost <= 1 << 20 and found.time_cost <= 64
