"""Archive recipients: the keys that can always open the archive, and their files.

A key file is text in the manner of RFC 1421:

    -----BEGIN SCEAU ARCHIVE RECIPIENT-----
    Kind: mlkem768-x25519
    Name: authority

    <base64, 64 characters a line>
    -----END SCEAU ARCHIVE RECIPIENT-----

The private file says PRIVATE KEY in place of RECIPIENT. Kinds:

- mlkem768-x25519: HPKE with the hybrid KEM MLKEM768-X25519 (X-Wing, KEM id 0x647a). The public
  key is the ML-KEM encapsulation key (1184 bytes) and the X25519 key (32); the private key is the
  32-byte X-Wing seed, which SHAKE256 expands to the ML-KEM seed (64) and the X25519 key (32).
- p256: HPKE with DHKEM(P-256, HKDF-SHA256), for a reading key in a token. The public key is the
  uncompressed point (65), the private key the scalar (32).

Both with HKDF-SHA256 and AES-256-GCM. The id of a recipient is computed from the public key, so a
file that was swapped cannot go by the old name.
"""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64encode
from binascii import a2b_base64
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from archive.errors import NotMine, Problem, RecipientRefused
from archive.wrap import KEY_SIZE, Wrap, bound, does_not_open

HYBRID = "mlkem768-x25519"
P256 = "p256"
_SUITES = {
    HYBRID: Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
    P256: Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
}
_MLKEM_PUBLIC_SIZE = 1184
NONCE_SIZE = 12
_TAIL = NONCE_SIZE + KEY_SIZE + 16  # nonce, content key and tag, after the wrapped batch key
# Octets of a content key that was wrapped by HPKE itself, before there were batch keys.
_BARE = {HYBRID: 1120 + KEY_SIZE + 16, P256: 65 + KEY_SIZE + 16}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RECIPIENT = "SCEAU ARCHIVE RECIPIENT"
_PRIVATE = "SCEAU ARCHIVE PRIVATE KEY"
_FILE = re.compile(
    r"-----BEGIN (?P<label>[A-Z ]+)-----\n"
    r"Kind: (?P<kind>[a-z0-9-]+)\nName: (?P<name>[^\n]+)\n\n"
    r"(?P<body>(?:[A-Za-z0-9+/=]{1,64}\n)+)"
    r"-----END (?P=label)-----\n?"
)

_PublicKey = MLKEM768X25519PublicKey | ec.EllipticCurvePublicKey
_PrivateKey = MLKEM768X25519PrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class ArchiveRecipient:
    """A public key that content is sealed to. name: for people; id: of the key itself."""

    id: str
    name: str
    kind: str
    public: bytes = field(repr=False)
    _key: _PublicKey = field(repr=False, compare=False)

    def encapsulate(self, batch_key: bytes) -> bytes:
        """HPKE (RFC 9180 §6.1, base mode): a batch key (`archive.batch`) for this recipient."""
        return _SUITES[self.kind].encrypt(batch_key, self._key, info=bound("batch", self.id))


class PrivateKeyUnwrapper:
    """The authority's or the escrow's private key. Never lies on a gateway node."""

    def __init__(self, recipient: ArchiveRecipient, key: _PrivateKey) -> None:
        self.recipient = recipient
        self._key = key

    def unwrap(self, archive_id: str, wrap: Wrap) -> bytes:
        """See `archive.wrap.Unwrapper`."""
        if wrap.holder != self.recipient.id:
            raise NotMine(
                Problem(
                    "seal.not-mine",
                    "{id} was not sealed to this key: {holder}, public key {key}",
                    {
                        "id": archive_id,
                        "holder": self.recipient.name,
                        "key": self.recipient.id,
                    },
                )
            )
        try:
            if len(wrap.wrapped) == _BARE[self.recipient.kind]:
                info = bound("archive", archive_id, self.recipient.id)
                key = self._decapsulate(wrap.wrapped, info)
            else:
                key = self._open_batched(archive_id, wrap.wrapped)
        except (InvalidTag, ValueError):
            raise does_not_open("the wrapped key", archive_id, self.recipient.name) from None
        # A key of another length would be taken for another cipher: the age "multi-key" lesson.
        if len(key) != KEY_SIZE:
            raise does_not_open("the wrapped key", archive_id, self.recipient.name)
        return key

    def _open_batched(self, archive_id: str, wrapped: bytes) -> bytes:
        """See `archive.batch`. Raises InvalidTag, ValueError."""
        batch_key = self._decapsulate(wrapped[:-_TAIL], bound("batch", self.recipient.id))
        if len(batch_key) != KEY_SIZE:
            raise InvalidTag
        nonce, sealed = wrapped[-_TAIL : NONCE_SIZE - _TAIL], wrapped[NONCE_SIZE - _TAIL :]
        return AESGCM(batch_key).decrypt(
            nonce, sealed, bound("archive", archive_id, self.recipient.id)
        )

    def _decapsulate(self, data: bytes, info: bytes) -> bytes:
        return _SUITES[self.recipient.kind].decrypt(data, self._key, info=info)


def generate_recipient(name: str, public: Path, private: Path, *, kind: str = HYBRID) -> None:
    """Make a key pair and write both files (private: mode 0600). Never overwrites a file.

    kind: "mlkem768-x25519" or "p256". Raises RecipientRefused, FileExistsError, OSError.
    """
    _check_name(name)
    if kind == HYBRID:
        secret = os.urandom(32)
    elif kind == P256:
        number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
        secret = number.to_bytes(32, "big")
    else:
        raise _refuse("kind", "{kind} is not a kind of archive key", kind=repr(kind))
    _, public_bytes = _key_pair(kind, secret)
    _write(private, _PRIVATE, name, kind, secret, 0o600)
    _write(public, _RECIPIENT, name, kind, public_bytes, 0o644)


def load_recipient(path: Path) -> ArchiveRecipient:
    """Read a recipient's public file. Raises RecipientRefused, OSError."""
    name, kind, body = _read(path, _RECIPIENT)
    try:
        return _recipient(name, kind, body)
    except ValueError:
        raise _unusable(path) from None


def load_private_key(path: Path) -> PrivateKeyUnwrapper:
    """Read a private file. Raises RecipientRefused, OSError."""
    name, kind, body = _read(path, _PRIVATE)
    try:
        key, public = _key_pair(kind, body)
        return PrivateKeyUnwrapper(_recipient(name, kind, public), key)
    except ValueError:
        raise _unusable(path) from None


def _recipient(name: str, kind: str, public: bytes) -> ArchiveRecipient:
    key: _PublicKey
    if kind == HYBRID:
        split = _MLKEM_PUBLIC_SIZE
        key = MLKEM768X25519PublicKey(
            mlkem.MLKEM768PublicKey.from_public_bytes(public[:split]),
            x25519.X25519PublicKey.from_public_bytes(public[split:]),
        )
    else:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    identity = hashlib.sha256(b"sceau/recipient/1\x00" + kind.encode() + b"\x00" + public)
    return ArchiveRecipient(identity.hexdigest()[:32], name, kind, public, key)


def _key_pair(kind: str, secret: bytes) -> tuple[_PrivateKey, bytes]:
    """The private key and the bytes of its public key. Raises ValueError."""
    if len(secret) != 32:
        raise ValueError("a private key has 32 bytes")
    if kind == HYBRID:
        expanded = hashlib.shake_256(secret).digest(96)
        kem = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        curve = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
        public = kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        return MLKEM768X25519PrivateKey(kem, curve), public
    key = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1())
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return key, point


def _write(path: Path, label: str, name: str, kind: str, body: bytes, mode: int) -> None:
    encoded = b64encode(body).decode("ascii")
    lines = [encoded[i : i + 64] for i in range(0, len(encoded), 64)]
    header = f"-----BEGIN {label}-----\nKind: {kind}\nName: {name}\n\n"
    text = header + "\n".join(lines) + f"\n-----END {label}-----\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, label: str) -> tuple[str, str, bytes]:
    with path.open("rb") as file:
        text = file.read(65536).decode("ascii", "replace").replace("\r\n", "\n")
    match = _FILE.fullmatch(text)
    if match is None or match["label"] not in (_RECIPIENT, _PRIVATE):
        raise _refuse("file", "{path} is not a key file of the archive", path=str(path))
    if match["label"] != label:
        # The mix-up to catch by name: a private key copied to a gateway.
        template = {
            _RECIPIENT: "{path} holds a private key; what belongs here is the recipient's public "
            "file, and the private key on no gateway",
            _PRIVATE: "{path} holds a recipient's public file; a private key is needed to open",
        }[label]
        raise _refuse("wrong-file", template, path=str(path))
    if match["kind"] not in _SUITES:
        raise _refuse("kind", "{kind} is not a kind of archive key", kind=repr(match["kind"]))
    _check_name(match["name"])
    try:
        body = a2b_base64(match["body"].replace("\n", ""), strict_mode=True)
        return match["name"], match["kind"], body
    except ValueError:
        raise _unusable(path) from None


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise _refuse("name", "{name} cannot be the name of an archive recipient", name=repr(name))


def _refuse(code: str, template: str, **facts: str) -> RecipientRefused:
    return RecipientRefused(Problem(f"keys.{code}", template, facts))


def _unusable(path: Path) -> RecipientRefused:
    return _refuse("unusable", "the key in {path} is damaged or of another kind", path=str(path))
