"""Files as people get them: PEM with several blocks, DER, PKCS#7 bundles of certificates. Pure.

What is found is cut out, not judged: one bad certificate among hundreds is refused by whoever
reads it, and the others are not lost with it.
"""

from __future__ import annotations

import base64
import binascii
import re

from pki import ber
from pki.der import element

# Some 20,000 certificates in one file.
_MAX_ELEMENTS = 1_000_000

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)(?:-----END \1-----|\Z)", re.DOTALL)
_CERTIFICATE = (b"CERTIFICATE", b"X509 CERTIFICATE")
_PKCS7 = (b"PKCS7", b"CMS", b"PKCS #7 SIGNED DATA")
_CRL = (b"X509 CRL",)
_SIGNED_DATA = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"  # OID 1.2.840.113549.1.7.2


def certificates(data: bytes) -> tuple[bytes, ...]:
    """Each certificate of a file, in the order of the file; DER if it is well-formed.

    PEM blocks that are neither certificates nor PKCS#7 are passed over.
    Raises ValueError if there is no certificate.
    """
    found: list[bytes] = []
    if b"-----BEGIN " in data:
        for label, content in _blocks(data):
            if label in _PKCS7:
                found += _of_pkcs7(content)
            elif label in _CERTIFICATE:
                found.append(content)
    elif _is_signed_data(data):
        found += _of_pkcs7(data)
    elif data[:1] == b"\x30":
        found.append(data)
    if not found:
        raise ValueError("there is no certificate")
    return tuple(found)


def crls(data: bytes) -> tuple[bytes, ...]:
    """Each CRL of a PEM or DER file, in the order of the file.

    Raises ValueError if there is none.
    """
    if b"-----BEGIN " in data:
        found = tuple(content for label, content in _blocks(data) if label in _CRL)
    else:
        found = (data,) if data[:1] == b"\x30" else ()
    if not found:
        raise ValueError("there is no CRL")
    return found


def _blocks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Labels and contents of PEM blocks (RFC 7468). One that is not closed goes to the end."""
    found: list[tuple[bytes, bytes]] = []
    for match in _BLOCK.finditer(data):
        text = b"".join(match[2].split())
        try:
            content = base64.b64decode(text, validate=True)
        except binascii.Error:
            content = text  # no DER begins like base64 text: its reader refuses this block alone
        found.append((match[1], content))
    return found


def _is_signed_data(data: bytes) -> bool:
    """Whether this is a ContentInfo with SignedData (RFC 5652 §3), also in BER (§11.1)."""
    if data[:2] == b"\x30\x80":
        return data[2:13] == _SIGNED_DATA
    try:
        start, _ = element(data, 0)
    except ValueError:
        return False
    return data[:1] == b"\x30" and data[start : start + 11] == _SIGNED_DATA


def _of_pkcs7(data: bytes) -> list[bytes]:
    """Certificates of a SignedData (RFC 5652 §5.1), as published by CAs: nothing is signed."""
    try:
        info = ber.read(data, max_elements=_MAX_ELEMENTS).expect(ber.SEQUENCE)
        signed = info[1].expect(0xA0)[0].expect(ber.SEQUENCE)
    except ValueError as error:
        raise ValueError("this PKCS#7 file cannot be read") from error
    # CertificateChoices (RFC 5652 §10.2.2): the others have tags of their own.
    return [
        one.raw for each in signed if each.tag == 0xA0 for one in each if one.tag == ber.SEQUENCE
    ]
