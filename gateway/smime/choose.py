"""Which algorithms a recipient gets, and why (design: readable first, better where known)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway.smime.algorithms import Cipher, KeyManagement
from pki.models import CheckedCertificate


class DomainCrypto(Enum):
    """What a domain's policy says of readers whose abilities are unknown."""

    READABLE = "readable"
    MODERN = "modern"
    STRICT = "strict"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, for the record. code: stable; template: English sentence; facts: fill its places."""

    code: str
    template: str
    facts: dict[str, str]

    @property
    def text(self) -> str:
        """The English sentence."""
        return self.template.format(**self.facts)


@dataclass(frozen=True, slots=True)
class Treatment:
    """The algorithms for one recipient."""

    cipher: Cipher
    transport: KeyManagement
    reason: Reason


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing may be sent: the domain is strict and the recipient's abilities are unknown."""

    reason: Reason


def choose(certificate: CheckedCertificate, domain: DomainCrypto) -> Treatment | Hold:
    """Choose for one recipient. Raises ValueError for a kind of key nobody encrypts to."""
    raise NotImplementedError
