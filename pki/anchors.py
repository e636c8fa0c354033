"""Trust anchors: the few certificates that people decided to trust, and for what."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.bounded_file import read_bounded
from pki.certificate import MAX_OCTETS, UNREADABLE
from pki.errors import PkiError, problem
from pki.models import Purpose

HARD_FAIL = timedelta(0)
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


class RevocationSources(Enum):
    """Where to learn whether a certificate below an anchor is revoked, in order."""

    CRL = "crl"  # OCSP responses are not looked at
    OCSP = "ocsp"  # CRLs are not looked at
    CRL_THEN_OCSP = "crl-then-ocsp"  # OCSP where no CRL can tell
    OCSP_THEN_CRL = "ocsp-then-crl"  # CRLs where no response can tell


@dataclass(frozen=True, slots=True)
class Anchor:
    """A trusted certificate with the limits of the trust.

    sha256: lower-case hex of the DER. domains: address domains it may vouch for (see
    `pki.addresses.in_domain`), empty = any. grace: how long after nextUpdate a CRL or an OCSP
    response below this anchor may still be used; zero (`HARD_FAIL`) = not at all.
    policies: certificate policies (OIDs) of which every path must have one; empty = any.
    trusted_from, trusted_until: when the trust itself holds, whatever the certificate's dates say;
    None = no limit.
    """

    name: str
    certificate: bytes
    sha256: str
    purposes: frozenset[Purpose]
    domains: tuple[str, ...] = ()
    grace: timedelta = HARD_FAIL
    comment: str = ""
    sources: RevocationSources = RevocationSources.CRL
    policies: frozenset[str] = frozenset()
    trusted_from: datetime | None = None
    trusted_until: datetime | None = None


def usable_until(next_update: datetime, grace: timedelta) -> datetime:
    """The end of the grace behind nextUpdate.

    99991231235959Z says "no end" (RFC 5280 §4.1.2.5), and behind it there is no time to add to: a
    CA that writes so would keep all mail to its people from being judged.
    """
    return next_update + min(grace, _END_OF_TIME - next_update)


def load_anchor(
    path: Path,
    *,
    name: str,
    fingerprint: str,
    purposes: frozenset[Purpose] = frozenset(Purpose),
    domains: tuple[str, ...] = (),
    grace: timedelta = HARD_FAIL,
    comment: str = "",
    sources: RevocationSources = RevocationSources.CRL,
) -> Anchor:
    """Read one certificate (PEM or DER) and compare it with what a human typed.

    fingerprint: SHA-256 in hex; colons, blanks and case do not matter.
    Raises PkiError: unreadable, not exactly one certificate, or another fingerprint.
    """
    certificates = read_certificates(path)
    if len(certificates) != 1:
        raise PkiError(
            problem(
                "path.anchor-file",
                "{file} holds {count} certificates; a trust anchor is one",
                file=str(path),
                count=str(len(certificates)),
            )
        )
    typed = re.sub(r"[\s:]", "", fingerprint).lower()
    if not re.fullmatch("[0-9a-f]{64}", typed):
        raise PkiError(
            problem(
                "path.anchor-fingerprint",
                "the fingerprint of the trust anchor {name} is not a SHA-256 in hex (64 digits)",
                name=name,
            )
        )
    found = hashlib.sha256(certificates[0]).hexdigest()
    if not hmac.compare_digest(typed, found):
        raise PkiError(
            problem(
                "path.anchor-fingerprint",
                "{file} is not the certificate of the trust anchor {name}: its SHA-256 is "
                "{found}, not {wanted} as was typed; ask the CA which is right",
                file=str(path),
                name=name,
                found=_colons(found),
                wanted=_colons(typed),
            )
        )
    return Anchor(name, certificates[0], found, purposes, domains, grace, comment, sources)


def _colons(fingerprint: str) -> str:
    """As openssl prints it and CAs publish it."""
    return ":".join(fingerprint[i : i + 2] for i in range(0, len(fingerprint), 2)).upper()


def load_certificates(path: Path) -> tuple[bytes, ...]:
    """DER of all certificates in a PEM or DER file, or in all files of a folder.

    Raises PkiError naming the file.
    """
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    return tuple(der for file in files for der in read_certificates(file))


def read_certificates(path: Path) -> tuple[bytes, ...]:
    """DER of all certificates in one PEM or DER file. Raises PkiError naming the file."""
    try:
        data = read_bounded(path)
    except OSError as error:
        raise PkiError(
            problem(
                "structure.file",
                "{file} cannot be read: {why}",
                file=str(path),
                why=error.strerror or str(error),
            )
        ) from error
    try:
        return parse_certificates(data)
    except ValueError as error:
        raise PkiError(
            problem(
                "structure.certificate",
                "{file} is not a certificate in PEM or DER",
                file=str(path),
            )
        ) from error


def parse_certificates(data: bytes) -> tuple[bytes, ...]:
    """DER of all certificates in PEM or DER bytes; other PEM blocks are passed over.

    Raises ValueError if there is none.
    """
    try:
        if b"-----BEGIN " in data:
            return tuple(
                cert.public_bytes(Encoding.DER) for cert in x509.load_pem_x509_certificates(data)
            )
        if len(data) > MAX_OCTETS:
            raise ValueError("too large for one certificate")
        x509.load_der_x509_certificate(data)
    except UNREADABLE as error:
        raise ValueError(str(error)) from error
    return (data,)
