"""Signing with a key in a PKCS#11 token (HSM): the key never leaves it.

A signature is checked with our own certificate before it is given out: one that a fault in the
token has broken would give away an RSA key (Boneh, DeMillo, Lipton 1997), and one by another key
than the certificate's would be worth nothing to its readers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11 import MGF, Mechanism
from pkcs11 import exceptions as errors

from pki.certificate import ParsedCertificate
from pki.errors import PrivateKeyError, TokenTrouble, problem
from pki.models import SignatureScheme
from pki.token_objects import TokenKey, TokenPublicKey

_DIGESTS: dict[str, tuple[hashes.HashAlgorithm, Mechanism, Mechanism, Mechanism, MGF]] = {
    "sha256": (
        hashes.SHA256(), Mechanism.SHA256_RSA_PKCS, Mechanism.SHA256_RSA_PKCS_PSS,
        Mechanism.SHA256, MGF.SHA256,
    ),
    "sha384": (
        hashes.SHA384(), Mechanism.SHA384_RSA_PKCS, Mechanism.SHA384_RSA_PKCS_PSS,
        Mechanism.SHA384, MGF.SHA384,
    ),
    "sha512": (
        hashes.SHA512(), Mechanism.SHA512_RSA_PKCS, Mechanism.SHA512_RSA_PKCS_PSS,
        Mechanism.SHA512, MGF.SHA512,
    ),
}  # fmt: skip


_PLAIN = {
    "rsa": SignatureScheme.RSA_PKCS1,
    "ec": SignatureScheme.ECDSA,
    "ed25519": SignatureScheme.ED25519,
}


class TokenSignature:
    """Makes signatures with a key in a token, and checks each. Thread-safe."""

    def __init__(self, key: TokenKey, public: TokenPublicKey) -> None:
        self._key = key
        self._public = public
        self.kind = kind_of(public)

    def sign(self, data: bytes, scheme: SignatureScheme, digest: str) -> bytes:
        """As `pki.models.Signer.sign`; TokenTrouble if the token cannot."""
        act, check = self._acts(data, scheme, digest)
        try:
            signature = self._key.run(act)
        except errors.PKCS11Error as error:
            raise self._key.trouble(error) from None
        try:
            check(signature)
        except InvalidSignature:
            raise TokenTrouble(
                problem(
                    "token.wrong-signature",
                    "the token makes signatures that the certificate refuses: another key, or a "
                    "fault ({key})",
                    key=str(self._key.name),
                )
            ) from None
        return signature

    def prove(self) -> None:
        """Have something signed. Raises TokenTrouble: it cannot be, or by another key."""
        self.sign(os.urandom(32), _PLAIN[self.kind], "sha256")

    def _acts(
        self, data: bytes, scheme: SignatureScheme, digest: str
    ) -> tuple[Callable[[Any], bytes], Callable[[bytes], object]]:
        """What the token is to do, and what checks it. Raises ValueError."""
        if digest not in _DIGESTS:
            raise ValueError(f"unknown digest {digest!r}")
        public = self._public
        algorithm, pkcs1, pss, name, mask = _DIGESTS[digest]
        match scheme:
            case SignatureScheme.RSA_PKCS1 if isinstance(public, rsa.RSAPublicKey):
                return (
                    lambda key: bytes(key.sign(data, mechanism=pkcs1)),
                    lambda made: public.verify(made, data, padding.PKCS1v15(), algorithm),
                )
            case SignatureScheme.RSA_PSS if isinstance(public, rsa.RSAPublicKey):
                salted = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
                param = (name, mask, algorithm.digest_size)
                return (
                    lambda key: bytes(key.sign(data, mechanism=pss, mechanism_param=param)),
                    lambda made: public.verify(made, data, salted, algorithm),
                )
            case SignatureScheme.ECDSA if isinstance(public, ec.EllipticCurvePublicKey):
                # Hashed here: few tokens hash for ECDSA.
                hashed = hashes.Hash(algorithm)
                hashed.update(data)
                value = hashed.finalize()
                return (
                    lambda key: _sequence(bytes(key.sign(value, mechanism=Mechanism.ECDSA))),
                    lambda made: public.verify(made, data, ec.ECDSA(algorithm)),
                )
            case SignatureScheme.ED25519 if isinstance(public, ed25519.Ed25519PublicKey):
                return (
                    lambda key: bytes(key.sign(data, mechanism=Mechanism.EDDSA)),
                    lambda made: public.verify(made, data),
                )
        raise ValueError(f"a key of kind {self.kind} cannot make {scheme.value} signatures")


class TokenSigner:
    """`pki.models.Signer` with the key in a token. Raises TokenTrouble where the token cannot."""

    def __init__(self, key: TokenKey, certificate: bytes, chain: tuple[bytes, ...] = ()) -> None:
        """certificate: DER, of this key. Raises PrivateKeyError for one of a kind that tokens do
        not sign with here.
        """
        public = ParsedCertificate(certificate).public_key
        if not isinstance(public, TokenPublicKey):
            raise PrivateKeyError(
                problem(
                    "structure.token-key",
                    "a key of the kind of {key} cannot sign in a token here",
                    key=str(key.name),
                )
            )
        self._name = str(key.name)
        self._signature = TokenSignature(key, public)
        self._certificate = certificate
        self._chain = chain

    def __repr__(self) -> str:
        return f"<TokenSigner {self._name}>"

    def __reduce__(self) -> str:
        raise TypeError("a signer with its key is not pickled")

    @property
    def certificate(self) -> bytes:
        """DER of the signer's certificate."""
        return self._certificate

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER of the intermediates, issuer of the signer first."""
        return self._chain

    @property
    def kind(self) -> str:
        """ "rsa", "ec" or "ed25519"."""
        return self._signature.kind

    def sign(self, data: bytes, scheme: SignatureScheme, digest: str) -> bytes:
        """Signature over `data`. Raises ValueError (a scheme of other keys), TokenTrouble."""
        return self._signature.sign(data, scheme, digest)

    def prove(self) -> None:
        """Have something signed. Raises TokenTrouble: it cannot be, or by another key."""
        self._signature.prove()


def kind_of(public: TokenPublicKey) -> str:
    """ "rsa", "ec" or "ed25519"."""
    if isinstance(public, rsa.RSAPublicKey):
        return "rsa"
    return "ed25519" if isinstance(public, ed25519.Ed25519PublicKey) else "ec"


def _sequence(raw: bytes) -> bytes:
    """r ‖ s as tokens give it (PKCS#11 v2.40 §2.3.1), as ECDSA-Sig-Value (RFC 3279 §2.2.3)."""
    half = len(raw) // 2
    return encode_dss_signature(
        int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
    )
