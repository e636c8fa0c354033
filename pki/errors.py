"""What can go wrong with certificates, as data a person and a program can both read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from pki.sentences import Sentence


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why something was refused or could not be told.

    code: `area.reason`, stable, never translated (area: path, revocation, signature, attributes,
        coverage, identity, algorithm, decrypt, structure, limits, directory).
    template: English sentence with `{name}` places; the key of the French catalogue too.
    facts: what fills the places.
    """

    code: str
    template: str
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The English sentence."""
        return self.template.format(**self.facts)

    @property
    def sentence(self) -> Sentence:
        """The same as a fact of another sentence, which can be shown in every language."""
        return Sentence(self.template, self.facts)


def problem(code: str, template: str, /, **facts: str) -> Problem:
    """A Problem with its facts given by name."""
    return Problem(code, template, facts)


def minute(moment: datetime) -> str:
    """A moment as a fact of a Problem: to the minute, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


class StructureRefused(ValueError):
    """ASN.1 of strangers that no parser of ours gets to see. problem: why, and at which octet."""

    def __init__(self, code: str, template: str, **facts: object) -> None:
        self.problem = Problem(code, template, {key: str(value) for key, value in facts.items()})
        super().__init__(self.problem.text)


class PkiError(Exception):
    """Base of all errors raised here; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


class PrivateKeyError(PkiError):
    """A private key or PKCS#12 cannot be used (wrong password, no key inside, does not fit)."""


def unreadable_file(path: object, error: OSError) -> PrivateKeyError:
    """That a file with a key cannot be read, and why."""
    return PrivateKeyError(
        problem(
            "structure.file",
            "{file} cannot be read: {why}",
            file=str(path),
            why=error.strerror or type(error).__name__,
        )
    )


class AddressError(PkiError):
    """An address has no canonical form: it is never compared, never equal to anything."""


class DirectoryTrouble(PkiError):
    """A directory did not answer as it should: "cannot tell", never "no certificate"."""


class CannotTellGroups(PkiError):
    """No answer to which groups an address is in: nobody may conclude that it is in none."""


class FetchTrouble(PkiError):
    """A CRL could not be fetched or was refused; what is already known stays in use."""


class CrlRefused(PkiError):
    """Bytes offered as a CRL are not a usable one (signature, issuer, age, number)."""


class OcspRefused(PkiError):
    """Bytes offered as an OCSP response are none, an error of the responder, or not acceptable."""


class CertificateRefused(PkiError):
    """A certificate was checked and must not be used."""


class CannotJudge(PkiError):
    """Revocation data for a certificate is missing or stale: no verdict, try again later."""


class KekTrouble(PkiError):
    """The key-encryption key cannot be used now (token, PIN): says nothing about a stored key."""


class TokenTrouble(PkiError):
    """A PKCS#11 token, or a key in it, cannot be used now: says nothing about mail."""
