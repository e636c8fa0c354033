"""Who signs a mail: the person where consent and key exist, else the organisation's seal."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Protocol

from cryptography import x509

from gateway.policy import Sign
from gateway.seal_check import blocks
from gateway.succession import Seals, in_force
from pki.addresses import domain_of
from pki.errors import PkiError, Problem
from pki.may_sign import MaySign, Unfit
from pki.models import Signer
from pki.person_signers import ConsentedSigner


class Persons(Protocol):
    """Where persons' signers come from (`pki.persons.PersonSigners`)."""

    def signer_for(self, address: str, moment: datetime) -> ConsentedSigner | Unfit | None:
        """The person's signer if there is live consent and a key whose certificate may sign; why
        there is none where there are consent and key; None without these.
        """
        ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """A signer and in what role it signs ("person" or "domain", as `smime verify` says).

    consent: archive id of the person's consent, "" for a seal. crls: SHA-256 of the CRLs by which
    its certificate is not revoked. instead: why the person does not sign, where a rule asked for
    him.
    """

    signer: Signer
    role: str
    certificate_sha256: str
    consent: str = ""
    crls: tuple[str, ...] = ()
    instead: Problem | None = None

    @property
    def record(self) -> dict[str, object]:
        """What a decision says of the signer."""
        said: dict[str, object] = {
            "role": self.role,
            "certificate-sha256": self.certificate_sha256,
        }
        if self.consent:
            said["consent"] = self.consent
        if self.crls:
            said["crls-sha256"] = list(self.crls)
        if self.instead is not None:
            said["instead-of-person"] = {"code": self.instead.code, "text": self.instead.text}
        return said


@dataclass(frozen=True, slots=True)
class CannotSign:
    """Nobody may sign as the rule wants: the mail must not leave.

    held: a person must look at it; otherwise it is asked again by the schedule.
    """

    problem: Problem
    held: bool = False


SealJudge = Callable[[Signer, str, datetime], MaySign | Unfit]


@dataclass(frozen=True, slots=True)
class Signers:
    """The seals by domain, and the persons. may_seal: `gateway.seal_check.SealCheck`."""

    seals: Seals
    persons: Persons
    may_seal: SealJudge

    def choose(self, author: str, wanted: Sign, moment: datetime) -> Chosen | CannotSign | None:
        """The signer for a mail From `author` (canonical); None where the rule wants no signature.

        `person` gives way to the seal only where it is certain that the person cannot sign: no
        key, no consent, a certificate that is revoked, out of date or of no CA we trust. What
        nobody can tell is asked again: a CRL kept from us must not change who signs.
        """
        if wanted is Sign.NONE:
            return None
        instead: Problem | None = None
        if wanted in (Sign.PERSON, Sign.PERSON_ONLY):
            try:
                person = self.persons.signer_for(author, moment)
            except PkiError as error:
                # The key is there and cannot be used: somebody must look.
                return CannotSign(error.problem)
            if isinstance(person, Unfit):
                if not person.certain or wanted is Sign.PERSON_ONLY:
                    return CannotSign(person.problem, held=person.certain)
                instead = person.problem
            elif person is not None:
                return Chosen(
                    person,
                    "person",
                    _sha256(person.certificate),
                    person.consent,
                    person.checked.crls,
                )
            elif wanted is Sign.PERSON_ONLY:
                return CannotSign(
                    Problem(
                        "identity.no-person",
                        "the rule wants {address} to sign, and there is no consent with a valid "
                        "key",
                        {"address": author},
                    )
                )
            else:
                instead = Problem(
                    "identity.no-consent",
                    "there is no key of {address} with a consent in force",
                    {"address": author},
                )
        return self._seal(domain_of(author), moment, instead)

    def _seal(self, domain: str, moment: datetime, instead: Problem | None) -> Chosen | CannotSign:
        seal = in_force(self.seals, domain, moment)
        if seal is None:
            return CannotSign(
                Problem(
                    "identity.no-seal",
                    "no seal is configured for the domain {domain}",
                    {"domain": domain},
                )
            )
        begins, ends = _validity(seal.certificate)
        if not begins <= moment <= ends:
            return CannotSign(
                Problem(
                    "identity.seal-expired",
                    "the seal of {domain} is valid from {begins} to {ends} only: renew it",
                    {"domain": domain, "begins": begins.isoformat(), "ends": ends.isoformat()},
                )
            )
        found = self.may_seal(seal, domain, moment)
        crls: tuple[str, ...] = ()
        if isinstance(found, MaySign):
            crls = found.crls
        elif blocks(found):
            return CannotSign(found.problem)
        return Chosen(seal, "domain", _sha256(seal.certificate), crls=crls, instead=instead)


@lru_cache(maxsize=1024)
def _sha256(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()


@lru_cache(maxsize=64)
def _validity(der: bytes) -> tuple[datetime, datetime]:
    certificate = x509.load_der_x509_certificate(der)
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc
