"""Which algorithm may be used for what, from when until when: one dated table. Pure.

The only place with such rules; the rows stand in `pki.algorithm_rows`. A row says from which moment
until which moment its verdict holds; what has no row at a moment is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    mldsa,
    mlkem,
    padding,
    rsa,
    x448,
    x25519,
)

from pki.algorithm_rows import NEVER, NO_ROW, TABLE, Operation, Row, Standing
from pki.errors import Problem, problem
from pki.weak_keys import weakness

__all__ = [
    "TABLE",
    "Operation",
    "Row",
    "SignedStructure",
    "Standing",
    "Verdict",
    "describe_key",
    "judge",
    "judge_key",
    "judge_signature",
    "judge_size",
    "too_large",
]

# Keys of one size each, with the size that the table has for them.
_KEYS: tuple[tuple[type, str, int], ...] = (
    (ed25519.Ed25519PublicKey, "ed25519", 256),
    (ed448.Ed448PublicKey, "ed448", 456),
    (x25519.X25519PublicKey, "x25519", 256),
    (x448.X448PublicKey, "x448", 448),
    (mldsa.MLDSA44PublicKey, "ml-dsa-44", 0),
    (mldsa.MLDSA65PublicKey, "ml-dsa-65", 0),
    (mldsa.MLDSA87PublicKey, "ml-dsa-87", 0),
    (mlkem.MLKEM768PublicKey, "ml-kem-768", 0),
    (mlkem.MLKEM1024PublicKey, "ml-kem-1024", 0),
)

# Keys that each have their own size; with a curve, its name tells more.
_SIZED: tuple[tuple[type, str, None], ...] = (
    (rsa.RSAPublicKey, "rsa", None),
    (ec.EllipticCurvePublicKey, "ec", None),
    (dsa.DSAPublicKey, "dsa", None),
)
# What classes of keys are, once one was met: the interfaces above are abstract, and asking each in
# turn costs more than all else that is asked of a key.
_CLASSES: dict[type, tuple[str, int | None]] = {}
_CURVES = {"secp256r1": "p256", "secp384r1": "p384", "secp521r1": "p521"}

_ROWS: dict[tuple[Operation, str], list[Row]] = {}
for _row in TABLE:
    _ROWS.setdefault((_row.operation, _row.algorithm), []).append(_row)


class SignedStructure(Protocol):
    """What certificates, CRLs and OCSP responses say of their signature."""

    @property
    def signature(self) -> bytes:
        """Its octets."""
        ...

    @property
    def signature_algorithm_oid(self) -> x509.ObjectIdentifier:
        """signatureAlgorithm."""
        ...

    @property
    def signature_hash_algorithm(self) -> hashes.HashAlgorithm | None:
        """The digest; None where the algorithm names none. May raise UnsupportedAlgorithm."""
        ...

    @property
    def signature_algorithm_parameters(self) -> padding.PSS | padding.PKCS1v15 | ec.ECDSA | None:
        """What the key needs to know beside the digest."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """The row that decides, if any, in words. until: when that row ends; None without an end."""

    standing: Standing
    text: str
    source: str
    until: datetime | None = None

    @property
    def allowed(self) -> bool:
        """Allowed, perhaps with a remark."""
        return self.standing in (Standing.ALLOWED, Standing.REMARK)

    def readable(self, allow_legacy: bool) -> bool:
        """Allowed; or legacy, and the caller reads old evidence and will say that it is legacy."""
        return self.allowed or (allow_legacy and self.standing is Standing.LEGACY)


def judge(operation: Operation, algorithm: str, bits: int, moment: datetime) -> Verdict:
    """The verdict of the table. algorithm: as in the table.

    bits: of a key, cipher or digest; 0 for what has none (schemes, ways of unwrapping).
    """
    for row, verdict in _rows(operation, algorithm, bits):
        if row.start <= moment < row.end:
            return verdict
    return Verdict(Standing.REFUSED, _named(algorithm, bits), NO_ROW)


# A mail asks a dozen times, mostly the same; the moment alone is always another one.
@lru_cache(maxsize=1024)
def _rows(operation: Operation, algorithm: str, bits: int) -> tuple[tuple[Row, Verdict], ...]:
    """The rows that are for such a size, the one for the largest minimum first."""
    text = _named(algorithm, bits)
    rows = [row for row in _ROWS.get((operation, algorithm), ()) if row.minimum <= bits]
    rows.sort(key=lambda row: -row.minimum)
    return tuple(
        (row, Verdict(row.standing, text, row.source, None if row.end == NEVER else row.end))
        for row in rows
    )


def _named(algorithm: str, bits: int) -> str:
    return f"{algorithm} {bits}" if bits else algorithm


def describe_key(key: object) -> tuple[str, int]:
    """Name and size of a public key, in the words of the table."""
    algorithm, bits = _CLASSES.get(type(key)) or _kind(type(key))
    if bits is not None:
        return algorithm, bits
    assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | dsa.DSAPublicKey)
    if isinstance(key, ec.EllipticCurvePublicKey):
        name = key.curve.name
        algorithm = f"ec-{_CURVES.get(name, name)}"
    return algorithm, key.key_size


def _kind(kind: type) -> tuple[str, int | None]:
    """Name and size by the class of a key; no size where each key has its own."""
    found: tuple[str, int | None] = kind.__name__.lower(), 0
    for known, algorithm, bits in (*_SIZED, *_KEYS):
        if issubclass(kind, known):
            found = algorithm, bits
    _CLASSES[kind] = found
    return found


def judge_key(
    operation: Operation, key: object, moment: datetime, *, allow_legacy: bool = False
) -> Problem | None:
    """Why a public key must not be used for `operation`, or None.

    Beside the table: keys that are weak whatever their size (`pki.weak_keys`). Textbook attacks
    (e = 1 encrypts nothing, e = 3 with broken padding forges signatures) cost nothing to rule out.
    allow_legacy: for old evidence; what the table calls legacy passes, weak keys do not.
    """
    algorithm, bits = describe_key(key)
    return (
        judge_size(operation, algorithm, bits, moment, allow_legacy=allow_legacy)
        or too_large(key)
        or weakness(key)
    )


def judge_size(
    operation: Operation, algorithm: str, bits: int, moment: datetime, *, allow_legacy: bool = False
) -> Problem | None:
    """What the table alone says of a public key for `operation`: why not, or None."""
    verdict = judge(operation, algorithm, bits, moment)
    if verdict.readable(allow_legacy):
        return None
    return problem(
        "algorithm.key",
        "the key ({key}) is not allowed at this time ({source})",
        key=verdict.text,
        source=verdict.source,
    )


# Whoever sends a key chooses what it costs to use it. FIPS 186-5 §A.1.1 ends exponents at 256
# bits, FIPS 186-4 §4.2 DSA at 3072; OpenSSL alone would let RSA of 16384 bits, and exponents as
# long as a modulus of 3072, take a hundred times the time of ordinary ones.
MAX_BITS = {"rsa": 8192, "dsa": 3072}
MAX_EXPONENT = 256


def too_large(key: object) -> Problem | None:
    """Why a public key costs too much to be used even once, or None."""
    algorithm, bits = describe_key(key)
    limit = MAX_BITS.get(algorithm, bits)
    if bits > limit:
        return problem(
            "limits.key",
            "the key ({key}) is larger than {limit} bits",
            key=_named(algorithm, bits),
            limit=str(limit),
        )
    if algorithm == "rsa":
        assert isinstance(key, rsa.RSAPublicKey)
        length = key.public_numbers().e.bit_length()
        if length > MAX_EXPONENT:
            return problem(
                "limits.key",
                "the RSA key has a public exponent of {bits} bits, and {limit} are the most",
                bits=str(length),
                limit=str(MAX_EXPONENT),
            )
    return None


def judge_signature(
    signed: SignedStructure, moment: datetime, *, allow_legacy: bool = False
) -> Problem | None:
    """Why the signature on a certificate, CRL or OCSP response must not be believed, or None.

    allow_legacy: for old evidence; digests that the table calls legacy pass.
    """
    try:
        digest = signed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        digest = None
        known = False
    else:
        known = True
    oid = signed.signature_algorithm_oid
    if known and digest is None:
        return None  # Ed25519, Ed448, ML-DSA carry their own digest; the key row decides
    if digest is not None:
        verdict = judge(Operation.VERIFY_DIGEST, digest.name, digest.digest_size * 8, moment)
        if verdict.readable(allow_legacy):
            return None
    return problem(
        "algorithm.signature",
        "it is signed with {algorithm}, which is not allowed at this time",
        algorithm=getattr(oid, "_name", "") or oid.dotted_string,
    )
