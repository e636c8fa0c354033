"""Which algorithm may be used for what, from when until when: one dated table. Pure.

The only place with such rules. A row says from which moment until which moment its verdict
holds; what has no row at a moment is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from pki.errors import Problem, problem


class Operation(Enum):
    """What an algorithm is used for."""

    ENCRYPT_TO = "encrypt-to"  # a recipient's public key
    SIGN_WITH = "sign-with"  # our own key
    VERIFY_KEY = "verify-key"  # the key of a signer or CA, for signatures of others
    VERIFY_DIGEST = "verify-digest"  # the digest in a signature of others


class Standing(Enum):
    """What the table says."""

    ALLOWED = "allowed"
    REMARK = "remark"  # allowed, and the record says that it will end
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Row:
    """One rule: algorithm from `minimum` bits (inclusive), from ≤ moment < until."""

    operation: Operation
    algorithm: str
    minimum: int
    start: datetime
    end: datetime
    standing: Standing
    source: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The row that decides, if any, in words."""

    standing: Standing
    text: str
    source: str
    until: datetime | None = None

    @property
    def allowed(self) -> bool:
        """Allowed, perhaps with a remark."""
        return self.standing is not Standing.REFUSED


_EVER = datetime(1990, 1, 1, tzinfo=UTC)
_END_2027 = datetime(2028, 1, 1, tzinfo=UTC)
_END_2035 = datetime(2036, 1, 1, tzinfo=UTC)

_SOG = "SOG-IS ACM 1.3: RSA below 3000 bits ends 2025-12-31; house rule: remark until 2027-12-31"
_NIST = "NIST IR 8547 (draft): RSA and elliptic curves end 2035"
_SMIME = "RFC 8551 §2.1–2.3"

_E, _S, _K, _D = (
    Operation.ENCRYPT_TO,
    Operation.SIGN_WITH,
    Operation.VERIFY_KEY,
    Operation.VERIFY_DIGEST,
)

TABLE: tuple[Row, ...] = (
    Row(_E, "rsa", 3072, _EVER, _END_2035, Standing.ALLOWED, _NIST),
    Row(_E, "rsa", 2048, _EVER, _END_2027, Standing.REMARK, _SOG),
    Row(_E, "ec-p256", 256, _EVER, _END_2035, Standing.ALLOWED, _NIST),
    Row(_E, "ec-p384", 384, _EVER, _END_2035, Standing.ALLOWED, _NIST),
    Row(_E, "ec-p521", 521, _EVER, _END_2035, Standing.ALLOWED, _NIST),
    Row(_S, "rsa", 3072, _EVER, _END_2035, Standing.ALLOWED, _NIST),
    Row(_S, "rsa", 2048, _EVER, _END_2027, Standing.REMARK, _SOG),
    Row(_S, "ec-p256", 256, _EVER, _END_2035, Standing.ALLOWED, _NIST),
    Row(_S, "ec-p384", 384, _EVER, _END_2035, Standing.ALLOWED, _NIST),
    Row(_S, "ec-p521", 521, _EVER, _END_2035, Standing.ALLOWED, _NIST),
    # What others signed must stay readable longer than what we make.
    Row(_K, "rsa", 2048, _EVER, _END_2035, Standing.ALLOWED, _SMIME),
    Row(_K, "ec-p256", 256, _EVER, _END_2035, Standing.ALLOWED, _SMIME),
    Row(_K, "ec-p384", 384, _EVER, _END_2035, Standing.ALLOWED, _SMIME),
    Row(_K, "ec-p521", 521, _EVER, _END_2035, Standing.ALLOWED, _SMIME),
    Row(_K, "ed25519", 256, _EVER, _END_2035, Standing.ALLOWED, _SMIME),
    Row(_K, "ed448", 456, _EVER, _END_2035, Standing.ALLOWED, _SMIME),
    Row(_D, "sha256", 256, _EVER, _END_2035, Standing.ALLOWED, _SMIME),
    Row(_D, "sha384", 384, _EVER, _END_2035, Standing.ALLOWED, _SMIME),
    Row(_D, "sha512", 512, _EVER, _END_2035, Standing.ALLOWED, _SMIME),
)


def judge(operation: Operation, algorithm: str, bits: int, moment: datetime) -> Verdict:
    """The verdict of the table. algorithm: as in the table; bits: key or digest size."""
    usable = [
        row
        for row in TABLE
        if row.operation is operation
        and row.algorithm == algorithm
        and row.minimum <= bits
        and row.start <= moment < row.end
    ]
    text = f"{algorithm} {bits}"
    if not usable:
        return Verdict(Standing.REFUSED, text, "pki/algorithms.py: no row allows it")
    best = max(usable, key=lambda row: row.minimum)
    return Verdict(best.standing, text, best.source, best.end)


def describe_key(key: object) -> tuple[str, int]:
    """Name and size of a public key, in the words of the table."""
    if isinstance(key, rsa.RSAPublicKey):
        return "rsa", key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        name = {"secp256r1": "p256", "secp384r1": "p384", "secp521r1": "p521"}
        return f"ec-{name.get(key.curve.name, key.curve.name)}", key.key_size
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519", 256
    if isinstance(key, ed448.Ed448PublicKey):
        return "ed448", 456
    return type(key).__name__.lower(), 0


def judge_key(operation: Operation, key: object, moment: datetime) -> Problem | None:
    """Why a public key must not be used for `operation`, or None.

    Beside the table: RSA exponents that are even or below 65537. Textbook attacks (e = 1 encrypts
    nothing, e = 3 with broken padding forges signatures) cost nothing to rule out (threat K4).
    """
    algorithm, bits = describe_key(key)
    verdict = judge(operation, algorithm, bits, moment)
    if not verdict.allowed:
        return problem(
            "algorithm.key",
            "the key ({key}) is not allowed at this time ({source})",
            key=verdict.text,
            source=verdict.source,
        )
    if bits > 8192:  # each check would cost as much as hundreds of ordinary ones
        return problem("limits.key", "the key ({key}) is larger than 8192 bits", key=verdict.text)
    if isinstance(key, rsa.RSAPublicKey):
        exponent = key.public_numbers().e
        if exponent < 65537 or exponent % 2 == 0:
            return problem(
                "algorithm.weak-key",
                "the RSA key has the public exponent {exponent}, which is weak",
                exponent=str(exponent),
            )
    return None


def judge_signature(
    signed: x509.Certificate | x509.CertificateRevocationList, moment: datetime
) -> Problem | None:
    """Why the signature on a certificate or CRL must not be believed, or None."""
    try:
        digest = signed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        digest = None
        known = False
    else:
        known = True
    oid = signed.signature_algorithm_oid
    if known and digest is None:
        return None  # Ed25519 and Ed448 carry their own digest; the key row decides
    if digest is not None:
        verdict = judge(Operation.VERIFY_DIGEST, digest.name, digest.digest_size * 8, moment)
        if verdict.allowed:
            return None
    return problem(
        "algorithm.signature",
        "it is signed with {algorithm}, which is not allowed at this time",
        algorithm=getattr(oid, "_name", "") or oid.dotted_string,
    )
