"""The data that crosses the border of `pki`. Frozen: a verdict is never edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from cryptography import x509

from pki.errors import Problem


class Purpose(Enum):
    """What a certificate is to be used for (RFC 8550 §4.4)."""

    ENCRYPT = "encrypt"
    SIGN = "sign"


class Harvest(Enum):
    """What happens with certificates that come in verified signed mail."""

    OFF = "off"
    SUGGEST = "suggest"  # a person accepts them
    ACCEPT = "accept"  # they are used


class DomainCertificate(Enum):
    """How a certificate pinned for a whole domain is used for its people (RFC 3183)."""

    OFF = "off"
    FALLBACK = "fallback"  # for whom there is no usable certificate of his own
    PREFERRED = "preferred"  # for everybody: gateway to gateway


class SignatureScheme(Enum):
    """A signature algorithm, by what CMS calls it.

    All use the digest given beside them, but for Ed25519, which has one of its own inside.
    """

    RSA_PKCS1 = "rsa-pkcs1"
    RSA_PSS = "rsa-pss"
    ECDSA = "ecdsa"
    ED25519 = "ed25519"


class Signer(Protocol):
    """A private key that signs, and the certificates that go with it. Never shows the key."""

    @property
    def certificate(self) -> bytes:
        """DER of the signer's certificate."""
        ...

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER of the intermediate certificates to send along, issuer of the signer first."""
        ...

    @property
    def kind(self) -> str:
        """ "rsa", "ec" or "ed25519"."""
        ...

    def sign(self, data: bytes, scheme: SignatureScheme, digest: str) -> bytes:
        """Signature over `data` (not over its hash). digest: "sha256", "sha384" or "sha512".

        RSASSA-PSS uses MGF1 with the same digest and a salt as long as the digest.
        Raises ValueError if the key cannot do the scheme.
        """
        ...


@dataclass(frozen=True, slots=True)
class RevocationEvidence:
    """Which CRL or OCSP response spoke for one certificate of the path.

    issuer: RFC 4514 name of the CRL's issuer, or of the CA that the response speaks for. number:
    cRLNumber or None. sha256: of its DER. kind: "crl" or "ocsp". responder, produced_at: of an
    OCSP response only.
    """

    issuer: str
    number: int | None
    this_update: datetime
    next_update: datetime
    sha256: str
    subject: str
    source: str
    kind: str = "crl"
    responder: str = ""
    produced_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CheckedCertificate:
    """A certificate that was checked for one address, one purpose, one moment.

    The only type that `gateway.smime.encrypt` accepts. Made by `pki.verdict.check` (all checks
    held) or by `pki.verdict.unsafe_unchecked` (no check was made, and `unchecked` says so);
    nothing else constructs it, and a test holds that.

    path: DER, trust anchor first, the certificate itself last; empty when unchecked.
    source: where it was found, in words for the record ("ldaps://host/dn", "store", "file").
    capabilities: SMIMECapabilities in the certificate (RFC 4262), or announced beside it in a
        directory and signed by that person (RFC 2798 §2.8); OIDs in order of preference.
    domain: for a certificate that is pinned for all addresses of this domain, and is not this
        person's own (RFC 3183); "" for all others.
    """

    certificate: x509.Certificate
    der: bytes
    sha256: str
    address: str
    purpose: Purpose
    moment: datetime
    path: tuple[bytes, ...]
    anchor: str
    revocation: tuple[RevocationEvidence, ...]
    source: str
    capabilities: tuple[str, ...] = ()
    unchecked: bool = False
    domain: str = ""


@dataclass(frozen=True, slots=True)
class SignedCapabilities:
    """SMIMECapabilities as a SignerInfo states them, and what is needed to check its signature.

    oids: in order of preference. signed: the octets under the signature. algorithm, digest: OIDs.
    signer: DER of the certificate that is named as the signer's.
    """

    oids: tuple[str, ...]
    signed: bytes
    signature: bytes
    algorithm: str
    digest: str
    signer: bytes


@dataclass(frozen=True, slots=True)
class Candidate:
    """Certificate bytes that were found somewhere; nothing about them has been checked.

    source: where, in words for the record. chain: DER of CA certificates that came along; a path
    may lead through them, none of them is ever an anchor. capabilities: what came along signed.
    believed: OIDs of capabilities whose signature was checked when they were stored.
    """

    der: bytes
    source: str
    chain: tuple[bytes, ...] = ()
    capabilities: tuple[SignedCapabilities, ...] = ()
    believed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A candidate that was looked at and not used, with the first failing step."""

    sha256: str
    subject: str
    source: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Certified:
    """A usable certificate was found. `refused` are the ones that were passed over.

    post_quantum: one with an ML-KEM key from the same places, for a second envelope; or why nobody
        can tell whether there is one. Never a substitute for `certificate`.
    """

    certificate: CheckedCertificate
    looked_in: tuple[str, ...]
    refused: tuple[Refusal, ...] = ()
    post_quantum: CheckedCertificate | Problem | None = None


@dataclass(frozen=True, slots=True)
class NoCertificate:
    """Every source answered, and none has a usable certificate: a fact, not a failure.

    post_quantum: there is one with an ML-KEM key, which alone is none; or nobody can tell.
    """

    looked_in: tuple[str, ...]
    refused: tuple[Refusal, ...]
    problem: Problem
    post_quantum: CheckedCertificate | Problem | None = None


@dataclass(frozen=True, slots=True)
class CannotTell:
    """A source or a CRL was missing: nobody may conclude that there is no certificate (I3).

    person: asking again does not help, a person must decide (a key that is another than before).
    """

    looked_in: tuple[str, ...]
    refused: tuple[Refusal, ...]
    problem: Problem
    person: bool = False


Finding = Certified | NoCertificate | CannotTell


class Finder(Protocol):
    """Finds the certificate for an address. May block on the network, within its time-outs."""

    def find(self, address: str, *, moment: datetime) -> Finding:
        """Never raises for trouble with directories or CRLs: that is `CannotTell`."""
        ...

    def find_all(self, addresses: list[str], *, moment: datetime) -> Mapping[str, Finding]:
        """The same for many addresses at once (look-ups run side by side)."""
        ...
