"""Keys that open mail, from files, with the certificates that name them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from pki.certificate import ParsedCertificate
from pki.decrypter import Decrypter, DecryptionKey, KeyDecrypter
from pki.errors import CertificateRefused
from pki.key_files import bad_key_file, parse_key_file, read_file


def load_decrypters(
    path: Path, certificates: Sequence[bytes] = (), password: bytes | None = None
) -> tuple[Decrypter, ...]:
    """The key in a file, as `parse_decrypters`. Raises PrivateKeyError."""
    return parse_decrypters(str(path), read_file(path), certificates, password)


def parse_decrypters(
    name: str, data: bytes, certificates: Sequence[bytes] = (), password: bytes | None = None
) -> tuple[Decrypter, ...]:
    """The key in a file's octets, once for each of its certificates, or once without any.

    data: PEM, DER or PKCS#12. name: what to call the file in errors. certificates: DER, of this key
    or others, for a file that does not hold its own; a key that was certified twice has two names
    by which senders call it.
    Raises PrivateKeyError.
    """
    found, beside = parse_key_file(name, data, password)
    if not isinstance(found, get_args(DecryptionKey)):
        raise bad_key_file(name, "a key of its kind opens no mail")
    key: DecryptionKey = found
    public = key.public_key()
    own = [der for der in dict.fromkeys((*beside, *certificates)) if public_key_of(der) == public]
    if not own:
        return (KeyDecrypter(key),)
    return tuple(KeyDecrypter(key, der) for der in own)


def public_key_of(der: bytes) -> object:
    """The public key in a certificate; None for one that cannot be read."""
    try:
        return ParsedCertificate(der).public_key
    except CertificateRefused:
        return None
