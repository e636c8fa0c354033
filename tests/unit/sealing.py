"""Encrypted CMS written part by part, for what no peer on the machine writes, and for forgeries.

Built on the primitives of `cryptography` and `pki.der_writing` alone, so that a mistake of the
engine is not repeated here.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from gateway.smime import cms
from gateway.smime.cms import ContentInfo
from pki import der_writing as der

DATA = "1.2.840.113549.1.7.1"
AES = "2.16.840.1.101.3.4.1."
WRAP_256 = AES + "45"
CHACHA = "1.2.840.113549.1.9.16.3.18"
CONTENT = b"Content-Type: text/plain\r\n\r\nThe content.\r\n"

KEY = bytes(range(32))


@dataclass(frozen=True)
class Sealed:
    """All parts of an EnvelopedData (tag None) or AuthEnvelopedData; `replace` forges."""

    oid: str
    parameters: bytes
    ciphertext: bytes
    tag: bytes | None
    attributes: bytes = b""  # content of authAttrs

    def to(self, *infos: bytes) -> ContentInfo:
        return cms.content_info(self.der(*infos))

    def der(self, *infos: bytes, pieces: int = 0, structure: str | None = None) -> bytes:
        """pieces: octets of each piece of a constructed ciphertext of indefinite length."""
        if pieces:
            cut = [
                der.octets(self.ciphertext[at : at + pieces])
                for at in range(0, len(self.ciphertext), pieces)
            ]
            octets = b"\xa0\x80" + b"".join(cut) + b"\0\0"
        else:
            octets = der.element(0x80, self.ciphertext)
        content = der.sequence(der.oid(DATA), der.algorithm(self.oid, self.parameters), octets)
        parts = [der.integer(0), der.set_of(infos), content]
        authenticated = self.tag is not None if structure is None else structure == "auth"
        if authenticated:
            if self.attributes:
                parts.append(der.element(0xA1, self.attributes))
            parts.append(der.octets(self.tag or b""))
        kind = "1.2.840.113549.1.9.16.1.23" if authenticated else "1.2.840.113549.1.7.3"
        return der.sequence(der.oid(kind), der.element(0xA0, der.sequence(*parts)))


def cbc(
    content: bytes = CONTENT, key: bytes = KEY, *, pad: bool = True, iv: bytes | None = None
) -> Sealed:
    fill = 16 - len(content) % 16
    iv = iv or os.urandom(16)
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    text = encryptor.update(content + bytes((fill,)) * fill * pad) + encryptor.finalize()
    number = {16: 2, 24: 22, 32: 42}[len(key)]
    return Sealed(f"{AES}{number}", der.octets(iv), text, None)


def gcm(content: bytes = CONTENT, key: bytes = KEY, *, attributes: bytes = b"") -> Sealed:
    nonce = os.urandom(12)
    aad = der.element(der.SET, attributes) if attributes else None
    text = AESGCM(key).encrypt(nonce, content, aad)
    number = {16: 6, 24: 26, 32: 46}[len(key)]
    parameters = der.sequence(der.octets(nonce), der.integer(16))
    return Sealed(f"{AES}{number}", parameters, text[:-16], text[-16:], attributes)


def with_tag(sealed: Sealed, size: int) -> Sealed:
    """A shorter tag, announced as such."""
    nonce = cms.read(sealed.parameters)[0].raw
    return replace(
        sealed, parameters=der.sequence(nonce, der.integer(size)), tag=(sealed.tag or b"")[:size]
    )


def ccm(content: bytes = CONTENT, key: bytes = KEY, *, tag: int = 16) -> Sealed:
    nonce = os.urandom(12)
    text = AESCCM(key, tag).encrypt(nonce, content, None)
    number = {16: 7, 24: 27, 32: 47}[len(key)]
    parameters = der.sequence(der.octets(nonce), *([] if tag == 12 else [der.integer(tag)]))
    return Sealed(f"{AES}{number}", parameters, text[:-tag], text[-tag:])


def chacha(content: bytes = CONTENT, key: bytes = KEY) -> Sealed:
    nonce = os.urandom(12)
    text = ChaCha20Poly1305(key).encrypt(nonce, content, None)
    return Sealed(CHACHA, der.octets(nonce), text[:-16], text[-16:])


def by_name(certificate: bytes) -> bytes:
    """IssuerAndSerialNumber, taken apart by this engine's BER reader and put together again."""
    tbs = cms.read(certificate)[0].children
    fields = tbs[1:] if tbs[0].tag == 0xA0 else tbs
    return der.sequence(fields[2].raw, fields[0].raw)


def transport(
    public: rsa.RSAPublicKey, recipient: bytes, key: bytes = KEY, *, message: bytes | None = None
) -> bytes:
    """KeyTransRecipientInfo by PKCS#1 v1.5. message: the whole encoded message, for bad ones."""
    if message is None:
        encrypted = public.encrypt(key, padding.PKCS1v15())
    else:
        numbers = public.public_numbers()
        encrypted = pow(int.from_bytes(message, "big"), numbers.e, numbers.n).to_bytes(
            (public.key_size + 7) // 8, "big"
        )
    algorithm = der.algorithm("1.2.840.113549.1.1.1", b"\x05\x00")
    return der.sequence(der.integer(0), recipient, algorithm, der.octets(encrypted))


def padded(public: rsa.RSAPublicKey, key: bytes, *, start: bytes = b"\0\x02") -> bytes:
    """EM of PKCS#1 v1.5 (RFC 8017 §7.2.1), wrong where `start` is."""
    size = (public.key_size + 7) // 8
    return start + b"\xa5" * (size - len(key) - len(start) - 1) + b"\0" + key


def by_password(iterations: int, *, prf: bytes = b"") -> bytes:
    """PasswordRecipientInfo (RFC 5652 §6.2.4) by PBKDF2, which no password opens, and which must be
    hashed so often to know it. prf: AlgorithmIdentifier, else the default (HMAC with SHA-1).
    """
    parameters = der.sequence(der.octets(bytes(8)), der.integer(iterations), prf)
    derivation = der.element(0xA0, der.oid("1.2.840.113549.1.5.12"), parameters)
    cipher = der.algorithm(AES + "42", der.octets(bytes(16)))
    return der.element(
        0xA3, der.integer(0), derivation, der.algorithm("1.2.840.113549.1.9.16.3.9", cipher),
        der.octets(bytes(48)),
    )  # fmt: skip


def agreement(
    recipient: bytes, secret: bytes, public: bytes, oid: str, scheme: str, *, hkdf: str = "",
    ukm: bytes | None = None, key: bytes = KEY,
) -> bytes:  # fmt: skip
    """KeyAgreeRecipientInfo with AES-256 wrap. scheme: OID; hkdf: digest, else X9.63 SHA-256."""
    wrap = der.algorithm(WRAP_256)
    entity = [] if ukm is None else [der.element(0xA0, der.octets(ukm))]
    info = der.sequence(wrap, *entity, der.element(0xA2, der.octets((256).to_bytes(4, "big"))))
    if hkdf:
        kek = _hkdf(hkdf, secret, info)
    else:
        kek = hashlib.sha256(secret + b"\0\0\0\x01" + info).digest()
    originator = der.sequence(der.algorithm(oid), der.element(der.BIT_STRING, b"\0", public))
    return der.element(
        0xA1,
        der.integer(3),
        der.element(0xA0, der.element(0xA1, originator[2:])),
        *([] if ukm is None else [der.element(0xA1, der.octets(ukm))]),
        der.algorithm(scheme, wrap),
        der.sequence(der.sequence(recipient, der.octets(aes_key_wrap(kek, key)))),
    )


def encapsulated(
    recipient: bytes, secret: bytes, ciphertext: bytes, kem: str, *, ukm: bytes | None = None,
    key: bytes = KEY,
) -> bytes:  # fmt: skip
    """KEMRecipientInfo with HKDF-SHA-256 and AES-256 wrap (RFC 9629 §3, §5)."""
    wrap = der.algorithm(WRAP_256)
    entity = [] if ukm is None else [der.element(0xA0, der.octets(ukm))]
    kek = _hkdf("sha256", secret, der.sequence(wrap, der.integer(32), *entity))
    inner = der.sequence(
        der.integer(0),
        recipient,
        der.algorithm(kem),
        der.octets(ciphertext),
        der.algorithm("1.2.840.113549.1.9.16.3.28"),
        der.integer(32),
        *entity,
        wrap,
        der.octets(aes_key_wrap(kek, key)),
    )
    return der.element(0xA4, der.oid("1.2.840.113549.1.9.16.13.3"), inner)


def unknown_info() -> bytes:
    """An OtherRecipientInfo that nobody knows."""
    return der.element(0xA4, der.oid("1.3.6.1.4.1.99999.1"), der.sequence(der.integer(7)))


def _hkdf(digest: str, secret: bytes, info: bytes) -> bytes:
    """RFC 5869 for 32 octets, salt not given."""
    size = hashes.Hash({"sha256": hashes.SHA256(), "sha384": hashes.SHA384(),
                        "sha512": hashes.SHA512()}[digest]).algorithm.digest_size  # fmt: skip
    extracted = hmac.digest(bytes(size), secret, digest)
    return hmac.digest(extracted, info + b"\x01", digest)[:32]
