"""The dated table: what flips when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, mldsa, mlkem, rsa, x448, x25519

from pki.algorithm_rows import EVER, NEVER
from pki.algorithms import (
    TABLE,
    Operation,
    Standing,
    Verdict,
    describe_key,
    judge,
    judge_key,
    judge_signature,
)
from tests.corpora import corpus

IN_2026 = datetime(2026, 6, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CURVES = ("ec-p256", "ec-p384", "ec-p521")
BRAINPOOL = ("ec-brainpoolP256r1", "ec-brainpoolP384r1", "ec-brainpoolP512r1")


@pytest.mark.parametrize(
    ("operation", "algorithm", "bits", "standing"),
    [
        (Operation.ENCRYPT_TO, "rsa", 1024, Standing.REFUSED),
        (Operation.ENCRYPT_TO, "rsa", 2047, Standing.REFUSED),
        (Operation.ENCRYPT_TO, "rsa", 2048, Standing.REMARK),
        (Operation.ENCRYPT_TO, "rsa", 3071, Standing.REMARK),
        (Operation.ENCRYPT_TO, "rsa", 3072, Standing.ALLOWED),
        (Operation.ENCRYPT_TO, "ec-p256", 256, Standing.ALLOWED),
        (Operation.ENCRYPT_TO, "ec-p384", 384, Standing.ALLOWED),
        (Operation.ENCRYPT_TO, "ec-p521", 521, Standing.ALLOWED),
        (Operation.ENCRYPT_TO, "ec-secp256k1", 256, Standing.REFUSED),
        (Operation.ENCRYPT_TO, "ed25519", 256, Standing.REFUSED),
        (Operation.SIGN_WITH, "rsa", 1024, Standing.REFUSED),
        (Operation.SIGN_WITH, "dsa", 2048, Standing.REFUSED),
        (Operation.VERIFY_SCHEME, "rsa-pkcs1", 0, Standing.REMARK),
        (Operation.VERIFY_SCHEME, "rsa-pss", 0, Standing.ALLOWED),
        (Operation.VERIFY_SCHEME, "ecdsa", 0, Standing.ALLOWED),
        (Operation.VERIFY_SCHEME, "ed25519", 0, Standing.ALLOWED),
        (Operation.VERIFY_SCHEME, "ml-dsa-65", 0, Standing.ALLOWED),
        (Operation.VERIFY_SCHEME, "dsa", 0, Standing.LEGACY),
        (Operation.VERIFY_SCHEME, "slh-dsa", 0, Standing.REFUSED),
        (Operation.VERIFY_DIGEST, "md5", 128, Standing.LEGACY),
        (Operation.VERIFY_DIGEST, "sha1", 160, Standing.LEGACY),
        (Operation.VERIFY_DIGEST, "sha224", 224, Standing.REMARK),
        (Operation.VERIFY_DIGEST, "sha256", 256, Standing.ALLOWED),
        (Operation.VERIFY_DIGEST, "sha3-512", 512, Standing.ALLOWED),
        (Operation.VERIFY_DIGEST, "shake256", 512, Standing.ALLOWED),
        (Operation.VERIFY_DIGEST, "shake256", 128, Standing.REFUSED),
        (Operation.VERIFY_DIGEST, "md2", 128, Standing.REFUSED),
        (Operation.VERIFY_KEY, "rsa", 1023, Standing.REFUSED),
        (Operation.VERIFY_KEY, "rsa", 1024, Standing.LEGACY),
        (Operation.VERIFY_KEY, "rsa", 2047, Standing.LEGACY),
        (Operation.VERIFY_KEY, "rsa", 2048, Standing.ALLOWED),
        (Operation.VERIFY_KEY, "dsa", 2048, Standing.LEGACY),
        (Operation.VERIFY_KEY, "ec-brainpoolP384r1", 384, Standing.ALLOWED),
        (Operation.VERIFY_KEY, "ec-secp256k1", 256, Standing.REFUSED),
        (Operation.DECRYPT, "aes-cbc", 128, Standing.ALLOWED),
        (Operation.DECRYPT, "aes-gcm", 192, Standing.ALLOWED),
        (Operation.DECRYPT, "aes-ccm", 256, Standing.ALLOWED),
        (Operation.DECRYPT, "chacha20-poly1305", 256, Standing.ALLOWED),
        (Operation.DECRYPT, "3des-cbc", 168, Standing.LEGACY),
        (Operation.DECRYPT, "rc2-cbc", 40, Standing.LEGACY),
        (Operation.DECRYPT, "rc2-cbc", 128, Standing.LEGACY),
        (Operation.DECRYPT, "des-cbc", 56, Standing.LEGACY),
        (Operation.DECRYPT, "rc4", 128, Standing.REFUSED),
        (Operation.UNWRAP, "rsa-pkcs1", 0, Standing.REMARK),
        (Operation.UNWRAP, "rsa-oaep", 0, Standing.ALLOWED),
        (Operation.UNWRAP, "x448", 0, Standing.ALLOWED),
        (Operation.UNWRAP, "ml-kem-768", 0, Standing.ALLOWED),
        (Operation.UNWRAP, "kek", 0, Standing.ALLOWED),
        (Operation.UNWRAP, "password", 0, Standing.ALLOWED),
        (Operation.DECRYPT_KEY, "rsa", 1023, Standing.REFUSED),
        (Operation.DECRYPT_KEY, "rsa", 1024, Standing.LEGACY),
        (Operation.DECRYPT_KEY, "rsa", 2048, Standing.REMARK),
        (Operation.DECRYPT_KEY, "rsa", 4096, Standing.ALLOWED),
        (Operation.DECRYPT_KEY, "x25519", 256, Standing.ALLOWED),
    ],
)
def test_in_2026(operation: Operation, algorithm: str, bits: int, standing: Standing) -> None:
    assert judge(operation, algorithm, bits, IN_2026).standing is standing


@pytest.mark.parametrize(
    ("flips", "operation", "algorithm", "bits"),
    [
        (2028, Operation.ENCRYPT_TO, "rsa", 2048),
        (2028, Operation.SIGN_WITH, "rsa", 2048),
        (2036, Operation.ENCRYPT_TO, "rsa", 3072),
        (2036, Operation.ENCRYPT_TO, "ec-p256", 256),
        (2036, Operation.VERIFY_KEY, "rsa", 2048),
        (2031, Operation.UNWRAP, "rsa-pkcs1", 0),
    ],
)
def test_end_to_the_second(flips: int, operation: Operation, algorithm: str, bits: int) -> None:
    end = datetime(flips, 1, 1, tzinfo=UTC)
    before = judge(operation, algorithm, bits, end - SECOND)
    assert before.allowed
    assert before.until == end
    assert not judge(operation, algorithm, bits, end).allowed


# Boundary: {what flips there: (before, after)}. Written from the sources, not from the table.
_TO_LEGACY, _WITH_REMARK = ("allowed", "legacy"), ("allowed", "remark")
FLIPS: dict[datetime, dict[tuple[str, str, int], tuple[str, str]]] = {
    datetime(2026, 1, 1, tzinfo=UTC): {
        ("verify-scheme", "rsa-pkcs1", 0): _WITH_REMARK,
        ("decrypt-key", "rsa", 2048): _WITH_REMARK,
    },
    datetime(2028, 1, 1, tzinfo=UTC): {
        ("encrypt-to", "rsa", 2048): ("remark", "refused"),
        ("sign-with", "rsa", 2048): ("remark", "refused"),
    },
    datetime(2031, 1, 1, tzinfo=UTC): {
        ("verify-digest", "sha224", 224): ("remark", "legacy"),
        ("verify-digest", "sha3-224", 224): ("remark", "legacy"),
        ("unwrap", "rsa-pkcs1", 0): ("remark", "legacy"),
        **{("unwrap", name, 0): _WITH_REMARK for name in ("rsa-oaep", "ecdh", "x25519", "x448")},
    },
    datetime(2036, 1, 1, tzinfo=UTC): {
        ("encrypt-to", "rsa", 3072): ("allowed", "refused"),
        ("sign-with", "rsa", 3072): ("allowed", "refused"),
        **{
            (operation, name, int(name[-3:])): ("allowed", "refused")
            for operation in ("encrypt-to", "sign-with")
            for name in CURVES
        },
        ("verify-scheme", "rsa-pkcs1", 0): ("remark", "legacy"),
        **{
            ("verify-scheme", name, 0): _TO_LEGACY
            for name in ("rsa-pss", "ecdsa", "ed25519", "ed448")
        },
        ("verify-key", "rsa", 2048): _TO_LEGACY,
        ("verify-key", "ed25519", 256): _TO_LEGACY,
        ("verify-key", "ed448", 456): _TO_LEGACY,
        **{
            (operation, name, int(name.removesuffix("r1")[-3:])): _TO_LEGACY
            for operation in ("verify-key", "decrypt-key")
            for name in (*CURVES, *BRAINPOOL)
        },
        **{("verify-digest", f"sha{bits}", bits): _TO_LEGACY for bits in (256, 384, 512)},
        **{
            ("unwrap", name, 0): ("remark", "legacy")
            for name in ("rsa-oaep", "ecdh", "x25519", "x448")
        },
        ("decrypt-key", "rsa", 2048): ("remark", "legacy"),
        ("decrypt-key", "rsa", 3072): _TO_LEGACY,
        ("decrypt-key", "x25519", 256): _TO_LEGACY,
        ("decrypt-key", "x448", 448): _TO_LEGACY,
    },
}


def _standings(moment: datetime) -> dict[tuple[str, str, int], str]:
    kinds = {(row.operation, row.algorithm, row.minimum) for row in TABLE}
    return {(kind[0].value, *kind[1:]): judge(*kind, moment).standing.value for kind in kinds}


@pytest.mark.parametrize("boundary", FLIPS, ids=lambda moment: str(moment.year))
def test_exactly_the_dated_rows_flip(boundary: datetime) -> None:
    before, after = _standings(boundary - SECOND), _standings(boundary)

    flipped = {kind: (before[kind], after[kind]) for kind in before if before[kind] != after[kind]}
    assert flipped == FLIPS[boundary]


def test_nothing_flips_at_any_other_time() -> None:
    dates = {moment for row in TABLE for moment in (row.start, row.end)} - {EVER, NEVER}

    assert dates == FLIPS.keys()


def test_every_row_decides_something() -> None:
    for row in TABLE:
        for moment in (row.start, min(row.end, datetime(2200, 1, 1, tzinfo=UTC)) - SECOND):
            verdict = judge(row.operation, row.algorithm, row.minimum, moment)
            assert (verdict.standing, verdict.source) == (row.standing, row.source), row


def test_no_two_rows_say_something_of_the_same_time() -> None:
    for one, other in combinations(TABLE, 2):
        same = (one.operation, one.algorithm, one.minimum) == (
            other.operation,
            other.algorithm,
            other.minimum,
        )
        assert not same or one.end <= other.start or other.end <= one.start, (one, other)


def test_every_row_says_why() -> None:
    assert all(row.source and row.start < row.end for row in TABLE)


def test_what_came_is_never_lost_to_a_date() -> None:
    """What was readable once is readable with allow-legacy at every later time."""
    for row in TABLE:
        if row.operation not in (Operation.ENCRYPT_TO, Operation.SIGN_WITH):
            verdict = judge(
                row.operation, row.algorithm, row.minimum, datetime(2100, 1, 1, tzinfo=UTC)
            )
            assert verdict.readable(allow_legacy=True), row


@pytest.mark.parametrize(
    ("standing", "allowed", "with_legacy"),
    [
        (Standing.ALLOWED, True, True),
        (Standing.REMARK, True, True),
        (Standing.LEGACY, False, True),
        (Standing.REFUSED, False, False),
    ],
)
def test_what_a_standing_means(standing: Standing, allowed: bool, with_legacy: bool) -> None:
    verdict = Verdict(standing, "x", "y")

    assert verdict.allowed is allowed
    assert verdict.readable(allow_legacy=False) is allowed
    assert verdict.readable(allow_legacy=True) is with_legacy


def test_keys_are_named_as_in_the_table() -> None:
    made = [
        (rsa.generate_private_key(65537, 2048), Operation.DECRYPT_KEY),
        (dsa.generate_private_key(1024), Operation.VERIFY_KEY),
        (ec.generate_private_key(ec.SECP521R1()), Operation.VERIFY_KEY),
        (ec.generate_private_key(ec.BrainpoolP256R1()), Operation.VERIFY_KEY),
        (ec.generate_private_key(ec.BrainpoolP512R1()), Operation.DECRYPT_KEY),
        (x25519.X25519PrivateKey.generate(), Operation.DECRYPT_KEY),
        (x448.X448PrivateKey.generate(), Operation.DECRYPT_KEY),
        (mldsa.MLDSA65PrivateKey.generate(), Operation.VERIFY_KEY),
        (mlkem.MLKEM768PrivateKey.generate(), Operation.DECRYPT_KEY),
    ]

    for private, operation in made:
        verdict = judge(operation, *describe_key(private.public_key()), IN_2026)
        assert verdict.readable(allow_legacy=True), describe_key(private.public_key())


def test_old_evidence_is_read_only_where_asked() -> None:
    short = rsa.generate_private_key(65537, 1024).public_key()

    refused = judge_key(Operation.VERIFY_KEY, short, IN_2026)
    assert refused is not None
    assert refused.code == "algorithm.key"
    assert judge_key(Operation.VERIFY_KEY, short, IN_2026, allow_legacy=True) is None
    assert judge_key(Operation.SIGN_WITH, short, IN_2026, allow_legacy=True) is not None
    assert judge_key(Operation.ENCRYPT_TO, short, IN_2026, allow_legacy=True) is not None


def test_a_weak_exponent_is_no_legacy() -> None:
    weak = rsa.generate_private_key(3, 2048).public_key()

    found = judge_key(Operation.VERIFY_KEY, weak, IN_2026, allow_legacy=True)
    assert found is not None
    assert found.code == "algorithm.weak-key"


def test_a_certificate_signed_with_sha1() -> None:
    old = x509.load_der_x509_certificate(
        (corpus("rfc4134/rfc4134") / "CarlRSASelf.cer").read_bytes()
    )

    refused = judge_signature(old, IN_2026)
    assert refused is not None
    assert refused.code == "algorithm.signature"
    assert judge_signature(old, IN_2026, allow_legacy=True) is None
