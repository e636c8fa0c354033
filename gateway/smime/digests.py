"""Message digests by their CMS names (RFC 5754, RFC 9688, RFC 8702, RFC 3370). Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives import hashes

from gateway.smime.cms import Algorithm, integer
from pki.errors import Problem, problem

Octets = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Digest:
    """One digest. name: as the dated table has it. size: octets."""

    name: str
    size: int
    hashing: hashes.HashAlgorithm

    def of(self, data: Octets) -> bytes:
        """The digest of some octets."""
        made = _begun(self.hashing.name).copy()
        made.update(data)
        return made.digest()


# OpenSSL looks an algorithm up by its name whenever one is begun, which takes longer than to hash
# the attributes of a signer; a copy of one that was begun has it.
@cache
def _begun(name: str) -> hashlib._Hash:
    # Nothing is protected by the weak ones unless the dated table allows them.
    return hashlib.new(name.replace("sha3-", "sha3_"), usedforsecurity=False)


class _Shake256(Digest):
    """With 512 bits of output (RFC 8702 §3.1)."""

    __slots__ = ()

    def of(self, data: Octets) -> bytes:
        return hashlib.shake_256(data).digest(self.size)


def _digest(name: str, hashing: hashes.HashAlgorithm) -> Digest:
    return Digest(name, hashing.digest_size, hashing)


_SHAKE256 = _Shake256("shake256", 64, hashes.SHAKE256(64))
_NIST = "2.16.840.1.101.3.4.2."
_SHAKE256_LEN = _NIST + "18"

DIGESTS: dict[str, Digest] = {
    "1.2.840.113549.2.5": _digest("md5", hashes.MD5()),  # noqa: S303 - the dated table decides
    "1.3.14.3.2.26": _digest("sha1", hashes.SHA1()),  # noqa: S303 - the dated table decides
    _NIST + "4": _digest("sha224", hashes.SHA224()),
    _NIST + "1": _digest("sha256", hashes.SHA256()),
    _NIST + "2": _digest("sha384", hashes.SHA384()),
    _NIST + "3": _digest("sha512", hashes.SHA512()),
    _NIST + "7": _digest("sha3-224", hashes.SHA3_224()),
    _NIST + "8": _digest("sha3-256", hashes.SHA3_256()),
    _NIST + "9": _digest("sha3-384", hashes.SHA3_384()),
    _NIST + "10": _digest("sha3-512", hashes.SHA3_512()),
    _NIST + "12": _SHAKE256,
    _SHAKE256_LEN: _SHAKE256,
}
NAMED: dict[str, Digest] = {one.name: one for one in DIGESTS.values()}


def digest_of(algorithm: Algorithm) -> Digest | Problem:
    """The digest that an AlgorithmIdentifier names, or why there is none."""
    found = DIGESTS.get(algorithm.oid)
    if found is None:
        return problem(
            "algorithm.unsupported",
            "the digest {algorithm} is not known here",
            algorithm=algorithm.oid,
        )
    if algorithm.oid == _SHAKE256_LEN:  # RFC 8419 §2.3: its length is a parameter, and is 512
        try:
            fits = algorithm.parameters is not None and integer(algorithm.parameters) == 512
        except ValueError:
            fits = False
    else:
        fits = algorithm.plain
    if not fits:
        return problem(
            "algorithm.parameters",
            "the parameters of {algorithm} are not as they must be",
            algorithm=found.name,
        )
    return found
