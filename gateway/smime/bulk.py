"""Enveloping large entities piece by piece: the octets are those of `gateway.smime.encrypt`."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence

from cryptography.hazmat.primitives.ciphers import AEADEncryptionContext, CipherContext, modes
from cryptography.hazmat.primitives.ciphers import Cipher as _Cipher
from cryptography.hazmat.primitives.ciphers import algorithms as _ciphers

from gateway.smime import algorithms
from gateway.smime.algorithms import Cipher
from gateway.smime.encapsulation import OTHER
from gateway.smime.wrapping import pkcs7_mime_large
from pki import der_writing as der

_PIECE = 1 << 18
_BLOCK, _NONCE, _TAG = 16, 12, 16


def enveloped_version(infos: Sequence[bytes]) -> int:
    """RFC 5652 §6.1: 3 with an OtherRecipientInfo, 0 only where all RecipientInfos have 0."""
    if any(info[0] == OTHER for info in infos):
        return 3
    return 2 if any(info[0] == 0xA1 for info in infos) else 0


def encrypt_large(
    entity: bytes, key: bytes, infos: Sequence[bytes], cipher: Cipher, *, before: bytes
) -> bytes:
    """`before`, then the application/pkcs7-mime entity. infos: RecipientInfos, encoded."""
    kind = "authEnveloped-data" if cipher.authenticated else "enveloped-data"
    return pkcs7_mime_large(kind, _content_info(entity, key, infos, cipher), before=before)


def _content_info(
    entity: bytes, key: bytes, infos: Sequence[bytes], cipher: Cipher
) -> Iterator[bytes]:
    """The ContentInfo in pieces: all lengths are known before the first octet is encrypted."""
    recipients = der.element(der.SET, *infos)
    mode: modes.GCM | modes.CBC
    if cipher.authenticated:  # RFC 5083 §2.1, RFC 5084 §3.2; no authAttrs, as for small ones
        nonce = secrets.token_bytes(_NONCE)
        mode = modes.GCM(nonce)
        algorithm = der.algorithm(cipher.oid, der.sequence(der.octets(nonce), der.integer(_TAG)))
        content_type, version, fill, after = algorithms.AUTH_ENVELOPED_DATA, 0, 0, 2 + _TAG
    else:  # RFC 5652 §6.1, RFC 3565
        iv = secrets.token_bytes(_BLOCK)
        mode = modes.CBC(iv)
        algorithm = der.algorithm(cipher.oid, der.octets(iv))
        fill = _BLOCK - len(entity) % _BLOCK  # RFC 5652 §6.3: always at least one octet
        content_type, version, after = algorithms.ENVELOPED_DATA, enveloped_version(infos), 0
    size = len(entity) + fill
    start = der.oid(algorithms.DATA) + algorithm + der.header(0x80, size)
    encrypted = der.header(der.SEQUENCE, len(start) + size) + start
    inner = der.integer(version) + recipients + encrypted
    name = der.oid(content_type)
    whole = der.header(der.SEQUENCE, len(inner) + size + after)
    middle = der.header(0xA0, len(whole) + len(inner) + size + after)
    outer = len(name) + len(middle) + len(whole) + len(inner) + size + after
    yield der.header(der.SEQUENCE, outer) + name + middle + whole + inner
    encryptor: CipherContext = _Cipher(_ciphers.AES(key), mode).encryptor()
    with memoryview(entity) as view:
        for at in range(0, len(view), _PIECE):
            yield encryptor.update(view[at : at + _PIECE])
    yield encryptor.update(bytes((fill,)) * fill) + encryptor.finalize()
    if cipher.authenticated:
        assert isinstance(encryptor, AEADEncryptionContext)
        yield der.octets(encryptor.tag)
