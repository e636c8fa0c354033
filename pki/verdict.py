"""The one place where a certificate becomes a CheckedCertificate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from pki.anchors import Anchor
from pki.models import CheckedCertificate, Purpose


def check(
    cert_der: bytes,
    *,
    address: str,
    purpose: Purpose,
    moment: datetime,
    anchors: Sequence[Anchor],
    intermediates: Iterable[bytes],
    crls: Iterable[bytes],
    source: str,
) -> CheckedCertificate:
    """All checks, in order; the first that fails is the reason.

    Raises CertificateRefused (it must not be used), CannotJudge (a CRL is missing or stale).
    """
    ...


def unsafe_unchecked(
    cert_der: bytes,
    address: str = "",
    purpose: Purpose = Purpose.ENCRYPT,
    *,
    moment: datetime,
) -> CheckedCertificate:
    """No check at all: for files that a person names by hand on the command line."""
    ...
