"""The dated table: what flips when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pki.algorithms import TABLE, Operation, Standing, judge

IN_2026 = datetime(2026, 6, 1, tzinfo=UTC)


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
        (Operation.VERIFY_DIGEST, "md5", 128, Standing.REFUSED),
        (Operation.VERIFY_DIGEST, "sha1", 160, Standing.REFUSED),
        (Operation.VERIFY_DIGEST, "sha256", 256, Standing.ALLOWED),
        (Operation.VERIFY_KEY, "rsa", 1024, Standing.REFUSED),
        (Operation.VERIFY_KEY, "rsa", 2048, Standing.ALLOWED),
        (Operation.VERIFY_KEY, "dsa", 2048, Standing.REFUSED),
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
    ],
)
def test_end_to_the_second(flips: int, operation: Operation, algorithm: str, bits: int) -> None:
    end = datetime(flips, 1, 1, tzinfo=UTC)
    before = judge(operation, algorithm, bits, end - timedelta(seconds=1))
    assert before.allowed
    assert before.until == end
    assert not judge(operation, algorithm, bits, end).allowed


def test_every_row_says_why() -> None:
    assert all(row.source and row.start < row.end for row in TABLE)
