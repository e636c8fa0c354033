"""A way to the key of a content: one RecipientInfo and one of our keys that fits it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pki.algorithms import Operation
from pki.decrypter import Decrypter

Use = tuple[Operation, str, int]
"""What the dated table is asked: operation, algorithm, bits."""


class Unsupported(ValueError):
    """An algorithm that is not implemented here, or not by this library. name: OID or name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not supported")
        self.name = name


@dataclass(frozen=True, slots=True)
class Way:
    """How to get at the content key; nothing has been tried yet.

    transport: name as in `pki.algorithms`. wrapped: what came. owner: the key of ours, None for
    shared keys and passwords. uses: all that the dated table must allow. take: gives the key,
    given the octets it must have; raises CannotDecrypt. tells: whether `take` knows a wrong key
    from the right one. RSA PKCS#1 v1.5 does not (`pki.decrypter`): it gives octets of any number.
    iterations: of a password, which the sender chooses.
    """

    transport: str
    wrapped: bytes
    owner: Decrypter | None
    uses: tuple[Use, ...]
    take: Callable[[int], bytes]
    tells: bool = True
    iterations: int = 0


def own_uses(transport: str, owner: Decrypter) -> tuple[Use, ...]:
    """What is asked of the table for a way through a key of ours."""
    return (
        (Operation.UNWRAP, transport, 0),
        (Operation.DECRYPT_KEY, *owner.kind),
    )
