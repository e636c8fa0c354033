"""Keys and passwords that sender and reader share (RFC 5652 §6.2.3, §6.2.4, RFC 3211). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from gateway.smime.cms import Algorithm, algorithm, integer, octets, refused
from gateway.smime.key_agreement import wrap_uses
from gateway.smime.key_wrap import (
    PASSWORD_CIPHERS,
    TRIPLE_DES_CBC,
    WRAPS,
    unwrap,
    unwrap_by_password,
)
from gateway.smime.recipients import Password, SharedKey
from gateway.smime.ways import Unsupported, Use, Way
from pki import ber
from pki.algorithms import Operation
from pki.decrypter import CannotDecrypt

# The sender chooses how often our machine hashes: about a second at the most, in all the
# RecipientInfos of a message together (L11).
MAX_ITERATIONS = 1_000_000

_PWRI_KEK = "1.2.840.113549.1.9.16.3.9"
_PBKDF2 = "1.2.840.113549.1.5.12"
_HMACS: dict[str, hashes.HashAlgorithm] = {  # RFC 8018 appendix B.1.2
    "1.2.840.113549.2.7": hashes.SHA1(),  # noqa: S303 - HMAC does not rest on collisions
    "1.2.840.113549.2.8": hashes.SHA224(),
    "1.2.840.113549.2.9": hashes.SHA256(),
    "1.2.840.113549.2.10": hashes.SHA384(),
    "1.2.840.113549.2.11": hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key-encryption key that was agreed. identifier: its name in messages."""

    identifier: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KnownPassword:
    """A password that was agreed."""

    password: bytes = field(repr=False)


def shared_key_way(info: SharedKey, known: KnownKey) -> Way:
    """The way through an agreed key. Raises Unsupported."""
    oid = info.algorithm.oid
    if oid not in WRAPS:
        raise Unsupported(oid)

    def take(size: int) -> bytes:
        if len(known.key) != WRAPS[oid]:
            raise CannotDecrypt
        return unwrap(oid, known.key, info.encrypted_key, size)

    uses = ((Operation.UNWRAP, "kek", 0), *wrap_uses(oid))
    return Way("kek", info.encrypted_key, None, uses, take)


def password_way(info: Password, known: KnownPassword) -> Way:
    """The way through an agreed password. Raises Unsupported, ValueError."""
    if info.algorithm.oid != _PWRI_KEK or info.algorithm.parameters is None:
        raise Unsupported(info.algorithm.oid)
    if info.derivation is None or info.derivation.oid != _PBKDF2:
        raise Unsupported("none" if info.derivation is None else info.derivation.oid)
    cipher = algorithm(info.algorithm.parameters)
    if cipher.oid not in PASSWORD_CIPHERS or cipher.parameters is None:
        raise Unsupported(cipher.oid)
    size = PASSWORD_CIPHERS[cipher.oid]
    iv = octets(cipher.parameters)
    hashing, salt, iterations = _pbkdf2(info.derivation, size)

    def take(key_size: int) -> bytes:
        kek = PBKDF2HMAC(hashing, size, salt, iterations).derive(known.password)
        return unwrap_by_password(cipher.oid, kek, iv, info.encrypted_key, key_size)

    uses: tuple[Use, ...] = ((Operation.UNWRAP, "password", 0),)
    if cipher.oid == TRIPLE_DES_CBC:
        uses += ((Operation.DECRYPT, "3des-cbc", 168),)
    return Way("password", info.encrypted_key, None, uses, take, iterations=iterations)


def _pbkdf2(derivation: Algorithm, size: int) -> tuple[hashes.HashAlgorithm, bytes, int]:
    """PBKDF2-params (RFC 8018 appendix A.2): hash of its HMAC, salt, iterations."""
    if derivation.parameters is None:
        raise refused("PBKDF2 without parameters")
    parts = derivation.parameters.expect(ber.SEQUENCE).children
    if not 2 <= len(parts) <= 4:
        raise refused("PBKDF2 without parameters")
    salt, iterations, *rest = parts
    if rest and rest[0].tag == ber.INTEGER and integer(rest.pop(0)) != size:
        raise refused("PBKDF2 of another length than the key that it gives")
    count = integer(iterations)
    if not 1 <= count <= MAX_ITERATIONS:
        raise Unsupported(f"PBKDF2 with {count} iterations")
    oid = algorithm(rest[0]).oid if rest else "1.2.840.113549.2.7"
    if oid not in _HMACS:
        raise Unsupported(oid)
    return _HMACS[oid], octets(salt), count
