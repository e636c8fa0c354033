"""Trust anchors: the few certificates that people decided to trust, and for what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pki.models import Purpose

HARD_FAIL = timedelta(0)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A trusted certificate with the limits of the trust.

    sha256: lower-case hex of the DER. domains: address domains it may vouch for (see
    `pki.addresses.in_domain`), empty = any. grace: how long after nextUpdate a CRL below this
    anchor may still be used; zero (`HARD_FAIL`) = not at all.
    """

    name: str
    certificate: bytes
    sha256: str
    purposes: frozenset[Purpose]
    domains: tuple[str, ...] = ()
    grace: timedelta = HARD_FAIL
    comment: str = ""


def load_anchor(
    path: Path,
    *,
    name: str,
    fingerprint: str,
    purposes: frozenset[Purpose] = frozenset(Purpose),
    domains: tuple[str, ...] = (),
    grace: timedelta = HARD_FAIL,
    comment: str = "",
) -> Anchor:
    """Read one certificate (PEM or DER) and compare it with what a human typed.

    fingerprint: SHA-256 in hex; colons, blanks and case do not matter.
    Raises PkiError: unreadable, not exactly one certificate, or another fingerprint.
    """
    ...


def load_certificates(path: Path) -> tuple[bytes, ...]:
    """DER of all certificates in a PEM or DER file, or in all files of a folder.

    Raises PkiError naming the file.
    """
    ...
