"""Private keys out of files: PEM, DER, PKCS#12 (RFC 7292, old and new encryptions).

The bytes of a key never stand in an error; messages of the crypto library are not passed on.
"""

from __future__ import annotations

import base64
import warnings
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)

from pki.bounded_file import LARGEST_SECRET, read_bounded
from pki.errors import PrivateKeyError, problem, unreadable_file

_ARMOUR = b"-----BEGIN PKCS12-----"


def read_key_file(path: Path, password: bytes | None) -> tuple[object, tuple[bytes, ...]]:
    """The private key in a file, of whatever kind, and the certificates beside it (DER).

    Raises PrivateKeyError.
    """
    return parse_key_file(str(path), read_file(path), password)


def parse_key_file(
    name: str, data: bytes, password: bytes | None
) -> tuple[object, tuple[bytes, ...]]:
    """The same of a file's octets. name: what to call it in errors.

    data: PEM (may hold certificates too), DER (PKCS#8 or traditional) or PKCS#12, also in PEM.
    Raises PrivateKeyError.
    """
    if _ARMOUR in data:
        return load_p12(_unarmoured(name, data), password, name)
    if b"-----BEGIN " in data:
        return _pem_key(name, data, password), _certificates_beside(name, data)
    return _der_key(name, data, password)


def load_p12(data: bytes, password: bytes | None, name: str) -> tuple[object, tuple[bytes, ...]]:
    """Key and certificates of a PKCS#12. Raises PrivateKeyError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about BER, which Windows wrote for years
            key, certificate, others = pkcs12.load_key_and_certificates(data, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if "password" in str(error).lower() or "mac" in str(error).lower():
            raise _wrong_password(name, password) from None
        raise bad_key_file(name, "it is neither a private key nor a PKCS#12 file") from None
    certificates = [certificate, *others]
    ders = tuple(cert.public_bytes(Encoding.DER) for cert in certificates if cert is not None)
    if key is None:
        raise bad_key_file(name, "the PKCS#12 file holds no private key")
    return key, ders


def _unarmoured(name: str, data: bytes) -> bytes:
    text = data.partition(_ARMOUR)[2].partition(b"-----END")[0]
    try:
        return base64.b64decode(text)
    except ValueError:
        raise bad_key_file(name, "it is neither a private key nor a PKCS#12 file") from None


def _pem_key(name: str, data: bytes, password: bytes | None) -> object:
    if b"PRIVATE KEY-----" not in data:
        raise bad_key_file(name, "it holds no private key")
    if data.count(b"PRIVATE KEY-----") > 2:  # one begins and ends
        raise bad_key_file(name, "it holds more than one private key; put each in its own file")
    start = data.index(b"-----BEGIN ", _before_key(data))
    try:
        return load_pem_private_key(data[start:], password)
    except TypeError:
        if password is None:
            raise bad_key_file(name, "the key is encrypted; give its password") from None
        # A password for a key that has none: it was meant for nothing, and the key is readable.
        try:
            return load_pem_private_key(data[start:], None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise bad_key_file(name, "the private key cannot be read") from None
    except ValueError:
        if password is not None and b"ENCRYPTED" in data:
            raise _wrong_password(name, password) from None
        raise bad_key_file(name, "the private key cannot be read") from None
    except UnsupportedAlgorithm:
        raise bad_key_file(name, "the private key is of an unknown kind") from None


def _before_key(data: bytes) -> int:
    """Where the line that begins the key starts; certificates may stand before it."""
    return data.rindex(b"-----BEGIN ", 0, data.index(b"PRIVATE KEY-----"))


def _certificates_beside(name: str, data: bytes) -> tuple[bytes, ...]:
    if b"-----BEGIN CERTIFICATE-----" not in data:
        return ()
    try:
        certificates = x509.load_pem_x509_certificates(data)
    except ValueError:
        raise bad_key_file(name, "a certificate beside the key cannot be read") from None
    return tuple(cert.public_bytes(Encoding.DER) for cert in certificates)


def _der_key(name: str, data: bytes, password: bytes | None) -> tuple[object, tuple[bytes, ...]]:
    try:
        return load_der_private_key(data, None), ()
    except TypeError:
        if password is None:
            raise bad_key_file(name, "the key is encrypted; give its password") from None
    except (ValueError, UnsupportedAlgorithm):
        return load_p12(data, password, name)
    try:
        return load_der_private_key(data, password), ()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _wrong_password(name, password) from None


def read_file(path: Path) -> bytes:
    """The octets of a file. Raises PrivateKeyError."""
    try:
        return read_bounded(path, LARGEST_SECRET)
    except OSError as error:
        raise unreadable_file(path, error) from error


def _wrong_password(name: str, password: bytes | None) -> PrivateKeyError:
    if password is None:
        return bad_key_file(name, "it is protected by a password, and none is given")
    return PrivateKeyError(
        problem("decrypt.password", "the password for {file} is wrong", file=name)
    )


def bad_key_file(name: str, why: str) -> PrivateKeyError:
    """That a file cannot be used, and why: `why` is a template without places."""
    return PrivateKeyError(problem("structure.key", "{file} cannot be used: " + why, file=name))
