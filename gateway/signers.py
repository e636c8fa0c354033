"""Who signs a mail: the person where consent and key exist, else the organisation's seal."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Protocol

from cryptography import x509

from gateway.policy import Sign
from pki.addresses import domain_of
from pki.errors import PkiError, Problem
from pki.models import Signer
from pki.person_signers import ConsentedSigner


class Persons(Protocol):
    """Where persons' signers come from (`pki.persons.PersonSigners`)."""

    def signer_for(self, address: str, moment: datetime) -> ConsentedSigner | None:
        """The person's signer if there is live consent and a key whose certificate fits."""
        ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """A signer and in what role it signs ("person" or "domain", as `smime verify` says).

    consent: archive id of the person's consent, "" for a seal.
    """

    signer: Signer
    role: str
    certificate_sha256: str
    consent: str = ""

    @property
    def record(self) -> tuple[str, str, str]:
        """Role, fingerprint, consent: what a decision says of the signer."""
        return self.role, self.certificate_sha256, self.consent


@dataclass(frozen=True, slots=True)
class Signers:
    """The seals by domain, and the persons."""

    seals: Mapping[str, Signer]
    persons: Persons

    def choose(self, author: str, wanted: Sign, moment: datetime) -> Chosen | Problem | None:
        """The signer for a mail From `author` (canonical); None where the rule wants no signature.

        A Problem means that the mail cannot be signed now and must not leave.
        """
        if wanted is Sign.NONE:
            return None
        if wanted in (Sign.PERSON, Sign.PERSON_ONLY):
            try:
                person = self.persons.signer_for(author, moment)
            except PkiError as error:
                return error.problem  # the key is there and cannot be used: somebody must look
            if person is not None:
                return Chosen(person, "person", _sha256(person.certificate), person.consent)
        if wanted is Sign.PERSON_ONLY:
            return Problem(
                "identity.no-person",
                "the rule wants {address} to sign, and there is no consent with a valid key",
                {"address": author},
            )
        domain = domain_of(author)
        seal = self.seals.get(domain)
        if seal is None:
            return Problem(
                "identity.no-seal",
                "no seal is configured for the domain {domain}",
                {"domain": domain},
            )
        begins, ends = _validity(seal.certificate)
        if not begins <= moment <= ends:
            return Problem(
                "identity.seal-expired",
                "the seal of {domain} is valid from {begins} to {ends} only: renew it",
                {"domain": domain, "begins": begins.isoformat(), "ends": ends.isoformat()},
            )
        return Chosen(seal, "domain", _sha256(seal.certificate))


@lru_cache(maxsize=1024)
def _sha256(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()


@lru_cache(maxsize=64)
def _validity(der: bytes) -> tuple[datetime, datetime]:
    certificate = x509.load_der_x509_certificate(der)
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc
