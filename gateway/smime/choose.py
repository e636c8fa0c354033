"""Which algorithms a recipient gets, and why: readable by default, better where known.

Common mail programs of 2026 show AES-GCM as an empty mail without any error, so what a reader
can do is never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from cryptography.hazmat.primitives.asymmetric import ec, rsa, x448, x25519

from gateway.smime.algorithms import RSAES_OAEP, Cipher, KeyManagement
from gateway.smime.encapsulation import Public
from pki.models import CheckedCertificate

_AGREEING = ec.EllipticCurvePublicKey | x25519.X25519PublicKey | x448.X448PublicKey


class DomainCrypto(Enum):
    """What a domain's policy says of readers whose abilities are unknown."""

    READABLE = "readable"  # what every mail program of the last ten years opens
    MODERN = "modern"  # agreed: AES-GCM and OAEP
    STRICT = "strict"  # nothing is sent before the abilities are known
    HYBRID = "experimental-hybrid"  # agreed: as MODERN, in a second envelope by ML-KEM


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, for the record. code: stable; template: English sentence; facts: fill its places."""

    code: str
    template: str
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The English sentence."""
        return self.template.format(**self.facts)


@dataclass(frozen=True, slots=True)
class Treatment:
    """The algorithms for one recipient. Equal ciphers may share one ciphertext."""

    cipher: Cipher
    transport: KeyManagement
    reason: Reason


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing may be sent: the domain is strict and the reader's abilities are unknown."""

    reason: Reason


def choose(certificate: CheckedCertificate, domain: DomainCrypto) -> Treatment | Hold:
    """Choose for one recipient: announced capabilities, else the domain's policy, else readable.

    Capabilities count from AES-128 up; who announces only weaker ones is treated as unknown, so
    that nobody can talk us down. Raises ValueError for a kind of key nobody encrypts to.
    """
    key = certificate.certificate.public_key()
    elliptic = isinstance(key, _AGREEING)
    if not elliptic and not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("nobody can encrypt to a key of this kind")
    facts = {"address": certificate.address}
    announced = _announced(certificate.capabilities)
    if announced is not None:
        oaep = RSAES_OAEP in certificate.capabilities
        return Treatment(
            announced,
            _transport(elliptic, oaep),
            Reason(
                "crypto.capabilities",
                "{address} announced {cipher} as what it can read",
                {**facts, "cipher": announced.value},
            ),
        )
    if domain is DomainCrypto.STRICT:
        return Hold(
            Reason(
                "crypto.unknown-strict",
                "it is not known what {address} can read, and its domain is set to strict",
                facts,
            )
        )
    if domain is DomainCrypto.MODERN:
        return Treatment(
            Cipher.AES_256_GCM,
            _transport(elliptic, True),
            Reason("crypto.domain-modern", "modern algorithms are agreed for {address}", facts),
        )
    if domain is DomainCrypto.HYBRID:
        return Treatment(Cipher.AES_256_GCM, _transport(elliptic, True), _agreed_hybrid(facts))
    return Treatment(
        Cipher.AES_256_CBC,
        _transport(elliptic, False),
        Reason(
            "crypto.readable-default",
            "it is not known what {address} can read: algorithms that every program reads",
            facts,
        ),
    )


def choose_outer(certificate: CheckedCertificate) -> Treatment:
    """For the second envelope, around the first (`DomainCrypto.HYBRID`).

    Raises ValueError for a key that is not one of ML-KEM: two classical envelopes are no hybrid.
    """
    key = certificate.certificate.public_key()
    if not isinstance(key, Public):
        raise ValueError("the second envelope is for an ML-KEM key")
    because = _agreed_hybrid({"address": certificate.address})
    return Treatment(Cipher.AES_256_GCM, KeyManagement.ML_KEM, because)


def _agreed_hybrid(facts: dict[str, str]) -> Reason:
    return Reason(
        "crypto.domain-hybrid",
        "two envelopes, a classical one in one by ML-KEM, are agreed for {address}",
        facts,
    )


def _announced(capabilities: tuple[str, ...]) -> Cipher | None:
    """The best cipher announced: authenticated before not, then the longer key."""
    for cipher in (
        Cipher.AES_256_GCM,
        Cipher.AES_128_GCM,
        Cipher.AES_256_CBC,
        Cipher.AES_128_CBC,
    ):
        if cipher.oid in capabilities:
            return cipher
    return None


def _transport(elliptic: bool, oaep: bool) -> KeyManagement:
    if elliptic:
        return KeyManagement.ECDH
    return KeyManagement.RSA_OAEP if oaep else KeyManagement.RSA_PKCS1
