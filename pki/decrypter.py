"""Private keys of ours that open mail: what they are asked, and the one that lies in memory.

The bytes of a key never stand in an error, a repr or a log. What comes out of a key is either the
right secret or a wrong one of the same form wherever the algorithm allows it: who asks cannot be
made to say which (threat S4).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, padding, rsa, x448, x25519

from pki.algorithms import describe_key

DecryptionKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | x25519.X25519PrivateKey
    | x448.X448PrivateKey
    | mlkem.MLKEM768PrivateKey
    | mlkem.MLKEM1024PrivateKey
)

HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - OAEP does not rest on collisions (RFC 8017 §7.1, note)
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


class CannotDecrypt(ValueError):
    """The key did not give a secret. Says nothing more: whoever is told why can ask for more."""

    def __init__(self) -> None:
        super().__init__("the key does not open this")


@dataclass(frozen=True, slots=True)
class Oaep:
    """RSAES-OAEP (RFC 8017 §7.1). digest, mask: "sha1", "sha224" … "sha512"."""

    digest: str
    mask: str
    label: bytes = b""


@dataclass(frozen=True, slots=True)
class RsaCiphertext:
    """What was encrypted to an RSA key. oaep: None for PKCS#1 v1.5 (RFC 8017 §7.2)."""

    octets: bytes
    oaep: Oaep | None


@dataclass(frozen=True, slots=True)
class PeerKey:
    """The other side of a key agreement: X9.62 point, or u-coordinate (RFC 7748 §5)."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class KemCiphertext:
    """An encapsulated secret (FIPS 203)."""

    octets: bytes


Asked = RsaCiphertext | PeerKey | KemCiphertext


class Decrypter(Protocol):
    """A private key that opens mail. Never shows the key."""

    @property
    def certificate(self) -> bytes | None:
        """DER of its certificate; None where that is not at hand."""
        ...

    @property
    def kind(self) -> tuple[str, int]:
        """Name and size as in `pki.algorithms`: "rsa", "ec-p256", "x25519", "ml-kem-768"…"""
        ...

    @property
    def pkcs1(self) -> bool:
        """Whether RSA PKCS#1 v1.5 may be tried with it.

        Never with a key that is marked for OAEP: one key under both paddings lets the weaker one
        open what the stronger one protects (threat S5). Never where the answer to bad padding
        would differ from any other.
        """
        ...

    def secret(self, asked: Asked) -> bytes:
        """The secret behind what came.

        PKCS#1 v1.5: whatever came, octets of some length, always the same for the same ciphertext
        (implicit rejection); RSAES-OAEP: the message; ECDH, X25519, X448: the shared x- or
        u-coordinate; ML-KEM: the shared secret, with the implicit rejection of FIPS 203.
        Raises CannotDecrypt, and ValueError if this is not for such a key.
        """
        ...


class KeyDecrypter:
    """`Decrypter` with the key in memory."""

    def __init__(self, key: DecryptionKey, certificate: bytes | None = None) -> None:
        self._key = key
        self._certificate = certificate
        self._kind = describe_key(key.public_key())

    def __repr__(self) -> str:
        return f"<KeyDecrypter {self._kind[0]}>"

    def __reduce__(self) -> str:
        raise TypeError("a decrypter with its key is not pickled")

    @property
    def certificate(self) -> bytes | None:
        """DER of its certificate."""
        return self._certificate

    @property
    def kind(self) -> tuple[str, int]:
        """Name and size as in `pki.algorithms`."""
        return self._kind

    @property
    def pkcs1(self) -> bool:
        """Whether RSA PKCS#1 v1.5 may be tried with it."""
        return self._kind[0] == "rsa" and self._rejects_implicitly

    def secret(self, asked: Asked) -> bytes:
        """See `Decrypter.secret`."""
        key = self._key
        try:
            match asked:
                case RsaCiphertext() if isinstance(key, rsa.RSAPrivateKey):
                    return self._rsa(key, asked)
                case PeerKey() if isinstance(key, ec.EllipticCurvePrivateKey):
                    # Refuses points that are not on the curve: they would give the key away.
                    point = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, asked.octets)
                    return key.exchange(ec.ECDH(), point)
                case PeerKey() if isinstance(key, x25519.X25519PrivateKey):
                    # Refuses a result of zeros only (RFC 7748 §6.1, RFC 8418 §7).
                    return key.exchange(x25519.X25519PublicKey.from_public_bytes(asked.octets))
                case PeerKey() if isinstance(key, x448.X448PrivateKey):
                    return key.exchange(x448.X448PublicKey.from_public_bytes(asked.octets))
                case KemCiphertext() if isinstance(
                    key, mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey
                ):
                    return key.decapsulate(asked.octets)
        except (ValueError, UnsupportedAlgorithm):
            raise CannotDecrypt from None
        raise ValueError(f"a key of kind {self._kind[0]} is not for this")

    def _rsa(self, key: rsa.RSAPrivateKey, asked: RsaCiphertext) -> bytes:
        if asked.oaep is not None:
            digest, mask = HASHES[asked.oaep.digest], HASHES[asked.oaep.mask]
            pad = padding.OAEP(padding.MGF1(mask), digest, asked.oaep.label or None)
            return key.decrypt(asked.octets, pad)
        if not self.pkcs1:
            raise CannotDecrypt
        return key.decrypt(asked.octets, padding.PKCS1v15())

    @cached_property
    def _rejects_implicitly(self) -> bool:
        """Whether v1.5 decryption never says that the padding is bad, and repeats itself.

        Raw RSA is not to be had from `cryptography`, and big integers of Python leak by their
        timing even where they are blinded. What is to be had is better: OpenSSL from 3.2 on
        answers bad padding, in constant time, with a message and a length derived from the private
        key and the ciphertext (draft-irtf-cfrg-rsa-guidance §7; rsa_ossl_private_decrypt). So the
        same bad ciphertext gives the same octets for ever, in every process. OpenSSL 1.1 and 3.0
        raise instead: an oracle, and a library built on them is not used for v1.5 at all. Tried
        with the number 2 under the padding, which begins 00 00 in every key.
        """
        assert isinstance(self._key, rsa.RSAPrivateKey)
        public = self._key.public_key().public_numbers()
        size = (public.n.bit_length() + 7) // 8
        bad = pow(2, public.e, public.n).to_bytes(size, "big")
        try:
            answers = {self._key.decrypt(bad, padding.PKCS1v15()) for _ in range(2)}
        except ValueError:
            return False
        return len(answers) == 1


class OaepOnly:
    """A key of ours that opens nothing of RSA but RSAES-OAEP, wherever it lies (threat S5)."""

    def __init__(self, key: Decrypter) -> None:
        self._key = key

    def __repr__(self) -> str:
        return f"<OaepOnly {self._key!r}>"

    @property
    def certificate(self) -> bytes | None:
        """DER of its certificate."""
        return self._key.certificate

    @property
    def kind(self) -> tuple[str, int]:
        """Name and size as in `pki.algorithms`."""
        return self._key.kind

    @property
    def pkcs1(self) -> bool:
        """Never."""
        return False

    def secret(self, asked: Asked) -> bytes:
        """See `Decrypter.secret`."""
        if isinstance(asked, RsaCiphertext) and asked.oaep is None:
            raise CannotDecrypt
        return self._key.secret(asked)
