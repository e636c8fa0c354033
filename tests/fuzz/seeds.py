"""Where fuzzing starts: small messages by our own writers with the fixed keys, and the corpora."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from gateway.mime import transfer
from gateway.mime.entity import split
from gateway.smime import algorithms
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.encrypt import Recipient, encrypt
from gateway.smime.sign import sign, sign_opaque
from pki import der_writing as der
from pki.keys import KeySigner
from pki.models import CheckedCertificate, Purpose
from tests.corpora import ROOT
from tests.fuzz import keys, revocation
from tests.fuzz.targets import SHARED, SIGNED
from tests.unit import sealing

LARGEST = 16_384  # octets: what is larger is mutated where nobody looks
_HEADER = f"From: Alice <{keys.AUTHOR}>\r\nTo: bob@example.net\r\nSubject: Essai\r\n".encode()
_WAYS = (
    (keys.rsa_key, KeyManagement.RSA_PKCS1),
    (keys.rsa_key, KeyManagement.RSA_OAEP),
    (keys.curve_key, KeyManagement.ECDH),
    (keys.montgomery_key, KeyManagement.ECDH),
)
_FOLDERS = (
    "openssl-fuzz-cms",
    "rfc4134",
    "nss-smime",
    "rustcrypto-cms",
    "header-protection",
    "mime4j",
    "mail-ruby",
    "horde-smime",
    "pkijs",
)


def own() -> Iterator[tuple[str, bytes]]:
    """Name and octets: mails with CMS in base64 and in binary, and the CMS alone; CRLs, OCSP."""
    yield from revocation.seeds()
    for name, entity in _entities():
        yield f"{name}.eml", _HEADER + b"MIME-Version: 1.0\r\n" + entity
        message = split(entity)
        if b"base64" in entity[: len(entity) - len(message.body)]:
            cms = transfer.decode_base64(message.body)
            yield f"{name}.der", cms
            head = entity[: len(entity) - len(message.body)]
            yield f"{name}-binary.eml", _HEADER + head.replace(b": base64", b": binary") + cms


def _entities() -> Iterator[tuple[str, bytes]]:
    signer = KeySigner(
        keys.curve_key(), keys.der(keys.certificate(keys.curve_key().public_key(), keys.AUTHOR)), ()
    )
    clear = sign(SIGNED, signer, signing_time=keys.MOMENT).entity
    opaque = sign_opaque(SIGNED, signer).entity
    yield "clear", clear
    yield "opaque", opaque
    for key, transport in _WAYS:
        checked = _checked(keys.der(keys.certificate(key().public_key(), keys.RECIPIENT)))
        for cipher in (Cipher.AES_128_CBC, Cipher.AES_256_GCM):
            made = encrypt(SIGNED, [Recipient(checked, transport)], cipher)
            yield f"{key.__name__}-{transport.value}-{cipher.value}", made
    for layer, inside in (("clear", clear), ("opaque", opaque)):
        made = encrypt(inside, [Recipient(checked, transport)], Cipher.AES_256_GCM)
        yield f"encrypted-{layer}", made
    yield "compressed", _opaque(_compressed(opaque), b"compressed-data")
    shared = sealing.cbc(SIGNED).der(_shared())
    yield "shared", _opaque(shared, b"enveloped-data")
    yield (
        "mixed",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n%b\r\n--x--\r\n" % clear,
    )


def _shared() -> bytes:
    """KEKRecipientInfo (RFC 5652 §6.2.3) with the key that was agreed."""
    return der.element(
        0xA2,
        der.integer(4),
        der.sequence(der.octets(SHARED.identifier)),
        der.algorithm(sealing.WRAP_256),
        der.octets(aes_key_wrap(SHARED.key, sealing.KEY)),
    )


def _compressed(entity: bytes) -> bytes:
    content = der.element(0xA0, der.octets(zlib.compress(entity)))
    inner = der.sequence(
        der.integer(0),
        der.algorithm("1.2.840.113549.1.9.16.3.8"),
        der.sequence(der.oid(algorithms.DATA), content),
    )
    return der.sequence(der.oid("1.2.840.113549.1.9.16.1.9"), der.element(0xA0, inner))


def _opaque(cms: bytes, kind: bytes) -> bytes:
    return (
        b"Content-Type: application/pkcs7-mime; smime-type=%b\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n%b" % (kind, transfer.encode_base64(cms))
    )


def _checked(certificate: bytes) -> CheckedCertificate:
    loaded = x509.load_der_x509_certificate(certificate)
    return CheckedCertificate(
        certificate=loaded,
        der=certificate,
        sha256=loaded.fingerprint(hashes.SHA256()).hex(),
        address=keys.RECIPIENT,
        purpose=Purpose.ENCRYPT,
        moment=keys.MOMENT,
        path=(),
        anchor="",
        revocation=(),
        source="fuzz",
        capabilities=(),
        unchecked=True,
    )


def corpora() -> Iterator[tuple[str, bytes]]:
    """Small files that others made, where they are on this machine."""
    base = Path(os.environ.get("SCEAU_CORPORA", ROOT.parent / "shared" / "corpora"))
    for folder in _FOLDERS:
        for path in sorted((base / folder).rglob("*")):
            if path.is_file() and path.stat().st_size <= LARGEST:
                yield f"{folder}-{path.name}", path.read_bytes()
