"""The rows of the algorithm table: what may be used for what, from when until when. Data only.

`pki.algorithms` judges by them; nothing else may. Dates follow published ones; where a house rule
goes further, the source says so. What nobody put a date on has no end here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum


class Operation(Enum):
    """What an algorithm is used for. The value is the name in records and on the command line."""

    ENCRYPT_TO = "encrypt-to"  # a recipient's public key
    ENCAPSULATE_TO = "encapsulate-to"  # his ML-KEM key, beside one that mail is encrypted to
    SIGN_WITH = "sign-with"  # our own key
    VERIFY_SCHEME = "verify-scheme"  # kind of signature made by others; no bits
    VERIFY_KEY = "verify-key"  # the key of a signer or CA, for signatures of others
    VERIFY_DIGEST = "verify-digest"  # the digest in a signature of others
    DECRYPT = "decrypt"  # content cipher of mail that came
    UNWRAP = "unwrap"  # how its content key came; no bits
    DECRYPT_KEY = "decrypt-key"  # our own key that it came to


class Standing(Enum):
    """What a row says."""

    ALLOWED = "allowed"
    REMARK = "remark"  # allowed, and the record says that it will end
    LEGACY = "legacy"  # refused; old evidence stays readable for who asks for that (allow-legacy)
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Row:
    """One rule: algorithm from `minimum` bits (inclusive), from ≤ moment < until.

    minimum: 0 where the name says the size, or none counts. start, end: `EVER`, `NEVER` if open.
    """

    operation: Operation
    algorithm: str
    minimum: int
    start: datetime
    end: datetime
    standing: Standing
    source: str


EVER = datetime(1990, 1, 1, tzinfo=UTC)  # before all S/MIME
NEVER = datetime.max.replace(tzinfo=UTC)

_END_2025 = datetime(2026, 1, 1, tzinfo=UTC)
_END_2027 = datetime(2028, 1, 1, tzinfo=UTC)
_END_2030 = datetime(2031, 1, 1, tzinfo=UTC)
_END_2035 = datetime(2036, 1, 1, tzinfo=UTC)


def _words(template: str) -> str:
    """A source that is more than numbers of standards: it has a French text."""
    return template


_SOG = _words(
    "SOG-IS ACM 1.3: RSA below 3000 bits ends 2025-12-31; house rule: remark until 2027-12-31"
)
_SOG_READING = _words(
    "SOG-IS ACM 1.3: RSA below 3000 bits ends 2025-12-31; what came stays readable"
)
_NIST = _words("NIST IR 8547 (draft): RSA and elliptic curves end 2035")
_NIST_224 = _words("NIST IR 8547 (draft): 112-bit strength is deprecated after 2030")
_BSI_V15 = _words(
    "BSI TR-02102-1 2026-01: RSA PKCS#1 v1.5 signatures withdrawn; RFC 8551 §2.2: MUST-"
)
_BSI_KEX = _words(
    "BSI TR-02102-1 2026-01: alone until the end of 2031, at very high need until the end of 2030"
)
_V15_READING = _words(
    "exception for reading until 2030: RFC 8551 §2.3 has it as MUST-, OWASP ASVS 11.3.1 bans it"
)
_SIZE = _words("RFC 8551 §4: historic below 2048 bits; house rule: never below 1024")
_HISTORIC = _words("RFC 8551 appendix B: historic")
_DSA = _words("FIPS 186-5: withdrawn; RFC 8551 appendix B: historic")
_3DES = _words("NIST SP 800-131A: decryption is legacy use")
_DES = _words("FIPS 46-3: withdrawn 2005")
_KEK = _words("RFC 5652 §6.2.3, where the key is given")
_PASSWORD = _words("RFC 5652 §6.2.4, where the password is given")
_ENDED = _words("ended; for old evidence only")
# The source of a verdict without a row.
NO_ROW = _words("sceau smime algorithms has no row for it")
_SMIME = "RFC 8551 §2.1–2.3"
_CURVES = "RFC 5639, BSI TR-02102-1"

_E, _Q, _S, _V, _K, _D, _C, _U, _O = Operation
_ALLOWED, _REMARK, _LEGACY = Standing.ALLOWED, Standing.REMARK, Standing.LEGACY

_WRITING: tuple[Row, ...] = (
    Row(_E, "rsa", 3072, EVER, _END_2035, _ALLOWED, _NIST),
    Row(_E, "rsa", 2048, EVER, _END_2027, _REMARK, _SOG),
    Row(_E, "ec-p256", 256, EVER, _END_2035, _ALLOWED, _NIST),
    Row(_E, "ec-p384", 384, EVER, _END_2035, _ALLOWED, _NIST),
    Row(_E, "ec-p521", 521, EVER, _END_2035, _ALLOWED, _NIST),
    Row(_E, "ec-brainpoolP256r1", 256, EVER, _END_2035, _ALLOWED, _CURVES),
    Row(_E, "ec-brainpoolP384r1", 384, EVER, _END_2035, _ALLOWED, _CURVES),
    Row(_E, "ec-brainpoolP512r1", 512, EVER, _END_2035, _ALLOWED, _CURVES),
    Row(_E, "x25519", 256, EVER, _END_2035, _ALLOWED, _SMIME),
    Row(_E, "x448", 448, EVER, _END_2035, _ALLOWED, "RFC 8418"),
    Row(_Q, "ml-kem-768", 0, EVER, NEVER, _ALLOWED, "RFC 9936, FIPS 203"),
    Row(_Q, "ml-kem-1024", 0, EVER, NEVER, _ALLOWED, "RFC 9936, FIPS 203"),
    Row(_S, "rsa", 3072, EVER, _END_2035, _ALLOWED, _NIST),
    Row(_S, "rsa", 2048, EVER, _END_2027, _REMARK, _SOG),
    Row(_S, "ec-p256", 256, EVER, _END_2035, _ALLOWED, _NIST),
    Row(_S, "ec-p384", 384, EVER, _END_2035, _ALLOWED, _NIST),
    Row(_S, "ec-p521", 521, EVER, _END_2035, _ALLOWED, _NIST),
    Row(_S, "ed25519", 256, EVER, _END_2035, _ALLOWED, _SMIME),
)

# What others signed must stay readable longer than what we make.
_VERIFYING: tuple[Row, ...] = (
    Row(_V, "rsa-pkcs1", 0, EVER, _END_2025, _ALLOWED, _SMIME),
    Row(_V, "rsa-pkcs1", 0, _END_2025, _END_2035, _REMARK, _BSI_V15),
    Row(_V, "rsa-pss", 0, EVER, _END_2035, _ALLOWED, _SMIME),
    Row(_V, "ecdsa", 0, EVER, _END_2035, _ALLOWED, _SMIME),
    Row(_V, "ed25519", 0, EVER, _END_2035, _ALLOWED, _SMIME),
    Row(_V, "ed448", 0, EVER, _END_2035, _ALLOWED, "RFC 8419"),
    Row(_V, "ml-dsa-44", 0, EVER, NEVER, _ALLOWED, "RFC 9882, FIPS 204"),
    Row(_V, "ml-dsa-65", 0, EVER, NEVER, _ALLOWED, "RFC 9882, FIPS 204"),
    Row(_V, "ml-dsa-87", 0, EVER, NEVER, _ALLOWED, "RFC 9882, FIPS 204"),
    Row(_V, "dsa", 0, EVER, NEVER, _LEGACY, _DSA),
    Row(_K, "rsa", 2048, EVER, _END_2035, _ALLOWED, _SMIME),
    Row(_K, "rsa", 1024, EVER, NEVER, _LEGACY, _SIZE),
    Row(_K, "ec-p256", 256, EVER, _END_2035, _ALLOWED, _SMIME),
    Row(_K, "ec-p384", 384, EVER, _END_2035, _ALLOWED, _SMIME),
    Row(_K, "ec-p521", 521, EVER, _END_2035, _ALLOWED, _SMIME),
    Row(_K, "ec-brainpoolP256r1", 256, EVER, _END_2035, _ALLOWED, _CURVES),
    Row(_K, "ec-brainpoolP384r1", 384, EVER, _END_2035, _ALLOWED, _CURVES),
    Row(_K, "ec-brainpoolP512r1", 512, EVER, _END_2035, _ALLOWED, _CURVES),
    Row(_K, "ed25519", 256, EVER, _END_2035, _ALLOWED, _SMIME),
    Row(_K, "ed448", 456, EVER, _END_2035, _ALLOWED, _SMIME),
    Row(_K, "ml-dsa-44", 0, EVER, NEVER, _ALLOWED, "RFC 9881, FIPS 204"),
    Row(_K, "ml-dsa-65", 0, EVER, NEVER, _ALLOWED, "RFC 9881, FIPS 204"),
    Row(_K, "ml-dsa-87", 0, EVER, NEVER, _ALLOWED, "RFC 9881, FIPS 204"),
    Row(_K, "dsa", 1024, EVER, NEVER, _LEGACY, _DSA),
    Row(_D, "md5", 128, EVER, NEVER, _LEGACY, _HISTORIC),
    Row(_D, "sha1", 160, EVER, NEVER, _LEGACY, _HISTORIC),
    Row(_D, "sha224", 224, EVER, _END_2030, _REMARK, _NIST_224),
    Row(_D, "sha256", 256, EVER, _END_2035, _ALLOWED, _SMIME),
    Row(_D, "sha384", 384, EVER, _END_2035, _ALLOWED, _SMIME),
    Row(_D, "sha512", 512, EVER, _END_2035, _ALLOWED, _SMIME),
    Row(_D, "sha3-224", 224, EVER, _END_2030, _REMARK, _NIST_224),
    Row(_D, "sha3-256", 256, EVER, NEVER, _ALLOWED, "RFC 9688, FIPS 202"),
    Row(_D, "sha3-384", 384, EVER, NEVER, _ALLOWED, "RFC 9688, FIPS 202"),
    Row(_D, "sha3-512", 512, EVER, NEVER, _ALLOWED, "RFC 9688, FIPS 202"),
    Row(_D, "shake256", 256, EVER, NEVER, _ALLOWED, "RFC 8702, FIPS 202"),
)

# That CBC has no integrity of its own (Efail) is said of the layer, not here: it depends on whether
# a signature inside covers what was opened.
_READING: tuple[Row, ...] = (
    Row(_C, "aes-cbc", 128, EVER, NEVER, _ALLOWED, "RFC 8551 §2.7: MUST-; RFC 3565"),
    Row(_C, "aes-gcm", 128, EVER, NEVER, _ALLOWED, "RFC 8551 §2.7, RFC 5084"),
    Row(_C, "aes-ccm", 128, EVER, NEVER, _ALLOWED, "RFC 5084; BSI TR-02102-1"),
    Row(_C, "chacha20-poly1305", 256, EVER, NEVER, _ALLOWED, "RFC 8551 §2.7, RFC 8103"),
    Row(_C, "3des-cbc", 168, EVER, NEVER, _LEGACY, _3DES),
    Row(_C, "rc2-cbc", 40, EVER, NEVER, _LEGACY, _HISTORIC),
    Row(_C, "des-cbc", 56, EVER, NEVER, _LEGACY, _DES),
    Row(_U, "rsa-pkcs1", 0, EVER, _END_2030, _REMARK, _V15_READING),
    Row(_U, "rsa-oaep", 0, EVER, _END_2030, _ALLOWED, _SMIME),
    Row(_U, "rsa-oaep", 0, _END_2030, _END_2035, _REMARK, _BSI_KEX),
    Row(_U, "ecdh", 0, EVER, _END_2030, _ALLOWED, _SMIME),
    Row(_U, "ecdh", 0, _END_2030, _END_2035, _REMARK, _BSI_KEX),
    Row(_U, "x25519", 0, EVER, _END_2030, _ALLOWED, _SMIME),
    Row(_U, "x25519", 0, _END_2030, _END_2035, _REMARK, _BSI_KEX),
    Row(_U, "x448", 0, EVER, _END_2030, _ALLOWED, "RFC 8418"),
    Row(_U, "x448", 0, _END_2030, _END_2035, _REMARK, _BSI_KEX),
    Row(_U, "ml-kem-768", 0, EVER, NEVER, _ALLOWED, "RFC 9936, FIPS 203"),
    Row(_U, "ml-kem-1024", 0, EVER, NEVER, _ALLOWED, "RFC 9936, FIPS 203"),
    Row(_U, "kek", 0, EVER, NEVER, _ALLOWED, _KEK),
    Row(_U, "password", 0, EVER, NEVER, _ALLOWED, _PASSWORD),
    Row(_O, "rsa", 3072, EVER, _END_2035, _ALLOWED, _NIST),
    Row(_O, "rsa", 2048, EVER, _END_2025, _ALLOWED, _SMIME),
    Row(_O, "rsa", 2048, _END_2025, _END_2035, _REMARK, _SOG_READING),
    Row(_O, "rsa", 1024, EVER, NEVER, _LEGACY, _SIZE),
    Row(_O, "ec-p256", 256, EVER, _END_2035, _ALLOWED, _NIST),
    Row(_O, "ec-p384", 384, EVER, _END_2035, _ALLOWED, _NIST),
    Row(_O, "ec-p521", 521, EVER, _END_2035, _ALLOWED, _NIST),
    Row(_O, "ec-brainpoolP256r1", 256, EVER, _END_2035, _ALLOWED, _CURVES),
    Row(_O, "ec-brainpoolP384r1", 384, EVER, _END_2035, _ALLOWED, _CURVES),
    Row(_O, "ec-brainpoolP512r1", 512, EVER, _END_2035, _ALLOWED, _CURVES),
    Row(_O, "x25519", 256, EVER, _END_2035, _ALLOWED, _NIST),
    Row(_O, "x448", 448, EVER, _END_2035, _ALLOWED, _NIST),
    Row(_O, "ml-kem-768", 0, EVER, NEVER, _ALLOWED, "RFC 9936, FIPS 203"),
    Row(_O, "ml-kem-1024", 0, EVER, NEVER, _ALLOWED, "RFC 9936, FIPS 203"),
)


def _and_after(rows: tuple[Row, ...]) -> Iterator[Row]:
    """The rows, and behind the last one of each algorithm its life as legacy.

    What was received in time must not become unreadable by a date; it only stops being ordinary.
    """
    followed = {(row.operation, row.algorithm, row.minimum, row.start) for row in rows}
    for row in rows:
        yield row
        after = (row.operation, row.algorithm, row.minimum, row.end)
        if row.end != NEVER and after not in followed:
            yield replace(row, start=row.end, end=NEVER, standing=_LEGACY, source=_ENDED)


TABLE: tuple[Row, ...] = (*_WRITING, *_and_after(_VERIFYING), *_and_after(_READING))
