"""Content ciphers (RFC 3565, 5084, 8103, 3370): which one a message names, and undoing it. Pure.

Whatever goes wrong with a key in hand gives None and nothing more: a reader who can tell bad
padding from a bad tag or length from one another opens mail without the key (threats S1, S4).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher as _Cipher
from cryptography.hazmat.primitives.ciphers import CipherContext, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from gateway.smime import rc2
from gateway.smime.cms import Algorithm, integer, octets, refused
from gateway.smime.enveloped import Enveloped
from pki import ber

_PIECE = 1 << 18  # as much as is decrypted at once: a mail of 100 MB is not held twice

_AES = "2.16.840.1.101.3.4.1."
_KNOWN = {
    **{f"{_AES}{base + 2}": ("aes-cbc", bits) for base, bits in ((0, 128), (20, 192), (40, 256))},
    **{f"{_AES}{base + 6}": ("aes-gcm", bits) for base, bits in ((0, 128), (20, 192), (40, 256))},
    **{f"{_AES}{base + 7}": ("aes-ccm", bits) for base, bits in ((0, 128), (20, 192), (40, 256))},
    "1.2.840.113549.1.9.16.3.18": ("chacha20-poly1305", 256),
    "1.2.840.113549.3.7": ("3des-cbc", 168),
    "1.2.840.113549.3.2": ("rc2-cbc", 128),
    "1.3.14.3.2.7": ("des-cbc", 56),
}
_AUTHENTICATED = ("aes-gcm", "aes-ccm", "chacha20-poly1305")
# RFC 2268 §6: version numbers that stand for effective key bits; from 256 on they are the bits.
_RC2_BITS = {160: 40, 120: 64, 58: 128}
_TAG = 16


class UnknownCipher(ValueError):
    """The message names a content cipher that is not implemented here. oid: dotted."""

    def __init__(self, oid: str) -> None:
        super().__init__(f"unknown content cipher {oid}")
        self.oid = oid


@dataclass(frozen=True, slots=True)
class ContentCipher:
    """What the message says about its cipher. name, bits: as in `pki.algorithms`.

    tag_size: of AEAD ciphers, as the parameters state it; else 0.
    """

    name: str
    bits: int
    nonce: bytes
    tag_size: int = 0

    @property
    def authenticated(self) -> bool:
        """True for AEAD, which is at home in AuthEnvelopedData only (RFC 5084 §3)."""
        return self.name in _AUTHENTICATED

    @property
    def key_size(self) -> int:
        """Octets of the content key."""
        return {"3des-cbc": 24, "des-cbc": 8}.get(self.name, self.bits // 8)

    @property
    def text(self) -> str:
        """The name for records: "aes-256-cbc", "chacha20-poly1305"."""
        if self.name in ("chacha20-poly1305", "3des-cbc", "des-cbc"):
            return self.name
        kind, mode = self.name.split("-")
        return f"{kind}-{self.bits}-{mode}"


def content_cipher(algorithm: Algorithm) -> ContentCipher:
    """Name and parameters of a content cipher.

    Raises UnknownCipher, and ValueError where the parameters are not what the cipher's RFC says.
    """
    if algorithm.oid not in _KNOWN:
        raise UnknownCipher(algorithm.oid)
    name, bits = _KNOWN[algorithm.oid]
    if algorithm.parameters is None:
        raise refused("a content cipher without parameters")
    parameters = algorithm.parameters
    if name == "rc2-cbc":  # RFC 3370 §5.2; the IV alone means 32 bits, which nobody may want
        version = integer(parameters.expect(ber.SEQUENCE)[0])
        if version not in _RC2_BITS:
            raise UnknownCipher(algorithm.oid)
        return ContentCipher(name, _RC2_BITS[version], octets(parameters[1]))
    if name in ("aes-gcm", "aes-ccm"):  # RFC 5084 §3.1, §3.2: a tag of 12 is the default
        parts = parameters.expect(ber.SEQUENCE).children
        if not 1 <= len(parts) <= 2:
            raise refused("parameters of an AEAD cipher have one or two parts")
        size = integer(parts[1]) if len(parts) == 2 else 12
        return ContentCipher(name, bits, octets(parts[0]), size)
    tag_size = _TAG if name == "chacha20-poly1305" else 0  # RFC 8103 §3: the nonce alone
    return ContentCipher(name, bits, octets(parameters), tag_size)


def well_formed(cipher: ContentCipher, sealed: Enveloped) -> bool:
    """Whether anybody may try a key at all (threat S6).

    - AEAD in EnvelopedData would be opened without its tag, CBC in AuthEnvelopedData has none: the
      structure and the cipher must be of one kind.
    - A GCM tag has 16 octets and its nonce 12 (RFC 5084 §3.2 lets 4 to 16 pass: each octet less
      makes a forgery 256 times likelier, and a shorter tag of the same text is right as well).
      CCM: 12 octets, which is the default of RFC 5084 §3.1, or more.
    - Stated and actual tag are equally long; CBC comes in whole blocks, one at least.
    """
    if cipher.authenticated != sealed.authenticated:
        return False
    match cipher.name:
        case "aes-gcm" | "chacha20-poly1305":
            fits = len(cipher.nonce) == 12 and cipher.tag_size == _TAG
        case "aes-ccm":
            fits = 7 <= len(cipher.nonce) <= 13 and cipher.tag_size in (12, 14, 16)
            fits = fits and sealed.size < 1 << 8 * (15 - len(cipher.nonce))
        case _:
            block = 16 if cipher.name == "aes-cbc" else 8
            fits = len(cipher.nonce) == block and sealed.size >= block and not sealed.size % block
    return fits and len(sealed.tag or b"") == cipher.tag_size


def unseal(cipher: ContentCipher, key: bytes, sealed: Enveloped) -> bytes | None:
    """The content, or None. key: of `cipher.key_size` octets. sealed: `well_formed`.

    Nothing of an authenticated content is given out before its tag was right.
    """
    try:
        match cipher.name:
            case "aes-gcm":
                if len(sealed.ciphertext) == 1 and sealed.size <= _PIECE:
                    # One call, and a copy that a small mail does not feel.
                    return AESGCM(key).decrypt(cipher.nonce, _with_tag(sealed), sealed.attributes)
                mode = modes.GCM(cipher.nonce, sealed.tag)
                decryptor = _Cipher(AES(key), mode).decryptor()
                decryptor.authenticate_additional_data(sealed.attributes)
                return _written(_through(decryptor, sealed))
            case "aes-ccm":
                return AESCCM(key, cipher.tag_size).decrypt(
                    cipher.nonce, _with_tag(sealed), sealed.attributes
                )
            case "chacha20-poly1305":
                return ChaCha20Poly1305(key).decrypt(
                    cipher.nonce, _with_tag(sealed), sealed.attributes
                )
            case _:
                return _unpadded(_cbc(cipher, key, sealed), len(cipher.nonce))
    except InvalidTag:
        return None


def _cbc(cipher: ContentCipher, key: bytes, sealed: Enveloped) -> Iterator[bytes]:
    if cipher.name == "rc2-cbc":
        whole = b"".join(sealed.ciphertext)
        return iter((rc2.decrypt_cbc(key, cipher.bits, cipher.nonce, whole),))
    if cipher.name == "des-cbc":
        key *= 3  # 3DES with one key: encrypt, decrypt, encrypt
    algorithm = AES(key) if cipher.name == "aes-cbc" else TripleDES(key)
    return _through(_Cipher(algorithm, modes.CBC(cipher.nonce)).decryptor(), sealed)


def _with_tag(sealed: Enveloped) -> bytes:
    return b"".join((*sealed.ciphertext, sealed.tag or b""))


def _through(decryptor: CipherContext, sealed: Enveloped) -> Iterator[bytes]:
    for piece in sealed.ciphertext:
        for at in range(0, len(piece), _PIECE):
            yield decryptor.update(piece[at : at + _PIECE])
    yield decryptor.finalize()


def _written(pieces: Iterator[bytes]) -> bytes:
    out = io.BytesIO()
    for piece in pieces:
        out.write(piece)
    return out.getvalue()  # its own buffer, not a copy


def _unpadded(pieces: Iterator[bytes], block: int) -> bytes | None:
    """Content without its padding (RFC 5652 §6.3), None where that is wrong.

    One decision over the whole last block: no octet of it, and no number of right ones, decides
    how long it takes (Vaudenay 2002).
    """
    out = io.BytesIO()
    for piece in pieces:
        out.write(piece)
    end = out.tell()
    out.seek(end - block)
    last = out.read(block)
    count = last[-1]
    wrong = (count - 1) >> 8 | (block - count) >> 8  # nonzero for 0, and for more than a block
    for place in range(block):
        inside = (place - count) >> 8  # -1 in the last `count` places, else 0
        wrong |= (last[block - 1 - place] ^ count) & inside
    if wrong:
        return None
    out.truncate(end - count)
    return out.getvalue()
