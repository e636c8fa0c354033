"""The certificates whose end stops mail: ours and those we trust, in one list.

`sceau check`, the metrics and the alarms look at the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from cryptography import x509

from gateway.succession import Seals, needed
from pki.anchors import Anchor, load_certificates
from pki.errors import PkiError


@dataclass(frozen=True, slots=True)
class KnownCertificate:
    """kind: "seal", "anchor", "intermediate", "listener" or "directory". name: as the
    configuration has it.

    trusted_until: when the trust in an anchor ends, whatever its certificate says.
    """

    kind: str
    name: str
    der: bytes
    trusted_until: datetime | None = None

    @property
    def begins(self) -> datetime:
        """notBefore."""
        return parsed(self.der).not_valid_before_utc

    @property
    def ends(self) -> datetime:
        """notAfter, or the end of the trust if that comes first."""
        not_after = parsed(self.der).not_valid_after_utc
        return not_after if self.trusted_until is None else min(not_after, self.trusted_until)


@lru_cache(maxsize=4096)
def parsed(der: bytes) -> x509.Certificate:
    """A certificate that was read before: parsing each again and again takes time."""
    return x509.load_der_x509_certificate(der)


def own_certificates(
    *,
    seals: Seals,
    intermediates: Iterable[bytes],
    listener: tuple[str, Path] | None,
    directories: Iterable[tuple[str, Path]] = (),
) -> tuple[KnownCertificate, ...]:
    """Those of the configuration, but for seals that others take over from in time.

    seals: by domain. listener: our host name and its certificate file. directories: names, and
    files of the certificates that we show there; one that cannot be read is told by look-ups.
    Raises PkiError for a file that is none.
    """
    found = [
        KnownCertificate("seal", f"{name} ({number})" if number > 1 else name, one.certificate)
        for name, each in seals.items()
        for number, one in enumerate(needed(each), 1)
    ]
    found += [
        KnownCertificate("intermediate", parsed(der).subject.rfc4514_string(), der)
        for der in dict.fromkeys(intermediates)
    ]
    if listener is not None:
        name, file = listener
        found.append(KnownCertificate("listener", name, load_certificates(file)[0]))
    for name, file in directories:
        with suppress(PkiError):
            found.append(KnownCertificate("directory", name, load_certificates(file)[0]))
    return tuple(found)


def anchor_certificates(anchors: Iterable[Anchor]) -> tuple[KnownCertificate, ...]:
    """Those of the CAs that people decided to trust."""
    return tuple(
        KnownCertificate("anchor", one.name, one.certificate, one.trusted_until) for one in anchors
    )
