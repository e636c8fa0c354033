"""Keys of ours, created: in a file (PKCS#8, RFC 5958), for signing or for being written to."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from pki.errors import PrivateKeyError, problem

OwnKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | x25519.X25519PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
    | mlkem.MLKEM768PrivateKey
    | mlkem.MLKEM1024PrivateKey
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of key that is created here. make: a new one. experimental: hardly any mail program
    knows it yet.
    """

    name: str
    make: Callable[[], OwnKey]
    signs: bool
    opens: bool
    experimental: bool = False


def _rsa(bits: int) -> Callable[[], OwnKey]:
    return lambda: rsa.generate_private_key(public_exponent=65537, key_size=bits)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("rsa-3072", _rsa(3072), signs=True, opens=True),
        Kind("rsa-4096", _rsa(4096), signs=True, opens=True),
        Kind("p-256", lambda: ec.generate_private_key(ec.SECP256R1()), signs=True, opens=True),
        Kind("p-384", lambda: ec.generate_private_key(ec.SECP384R1()), signs=True, opens=True),
        Kind("ed25519", ed25519.Ed25519PrivateKey.generate, signs=True, opens=False),
        Kind("x25519", x25519.X25519PrivateKey.generate, signs=False, opens=True),
        Kind("ml-dsa-44", mldsa.MLDSA44PrivateKey.generate, True, False, experimental=True),
        Kind("ml-dsa-65", mldsa.MLDSA65PrivateKey.generate, True, False, experimental=True),
        Kind("ml-dsa-87", mldsa.MLDSA87PrivateKey.generate, True, False, experimental=True),
        Kind("ml-kem-768", mlkem.MLKEM768PrivateKey.generate, False, True, experimental=True),
        Kind("ml-kem-1024", mlkem.MLKEM1024PrivateKey.generate, False, True, experimental=True),
    )
}


def write_key(path: Path, key: OwnKey, password: bytes | None) -> None:
    """Write a key as PKCS#8 in PEM, mode 0600, never over an existing file.

    password: None for a key in clear. Raises PrivateKeyError (an empty password), OSError.
    """
    if password == b"":
        raise PrivateKeyError(problem("structure.key", "the password file is empty"))
    protection: KeySerializationEncryption = (
        NoEncryption() if password is None else BestAvailableEncryption(password)
    )
    octets = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
