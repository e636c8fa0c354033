"""Private keys of ours that sign, from PEM, DER and PKCS#12 files."""

from __future__ import annotations

from pathlib import Path

from pki.models import Signer


def load_signer(
    key_path: Path, certificate_path: Path | None = None, password: bytes | None = None
) -> Signer:
    """A signer from a key file, with its certificate.

    key_path: PEM (may hold certificates too), DER (PKCS#8 or traditional) or PKCS#12.
    certificate_path: PEM or DER, signer's certificate first or anywhere; not needed when key_path
        holds it.
    Raises PrivateKeyError.
    """
    ...
