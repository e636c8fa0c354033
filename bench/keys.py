"""The keys of the measurements: RSA of 2048 bits, or P-256. What the product no longer seals with
cannot be measured, and a figure for other keys would be another figure.
"""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.demo.process import NotStartedError
from pki.algorithms import TABLE, Operation, judge

RSA_BITS = 2048

_KINDS = {"rsa": ("rsa", RSA_BITS), "ec": ("ec-p256", 256)}
_SEALING = (Operation.SIGN_WITH, Operation.ENCRYPT_TO)


def require_sealable(kind: str, *, moment: datetime | None = None) -> None:
    """Raises NotStartedError where the product neither signs with such keys nor encrypts to them.

    kind: "rsa" or "ec"; moment: aware; None is now.
    """
    algorithm, bits = _KINDS[kind]
    for operation in _SEALING:
        if judge(operation, algorithm, bits, moment or datetime.now(UTC)).allowed:
            continue
        ended = max(
            row.end
            for row in TABLE
            if (row.operation, row.algorithm) == (operation, algorithm) and row.minimum <= bits
        )
        raise NotStartedError(
            f"cannot be measured any more: since {ended:%Y-%m-%d} the product refuses "
            f"{algorithm} {bits} ({operation.value}; see sceau smime algorithms)"
        )
