"""Whom `sceau smime encrypt` encrypts to, and by which algorithms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm

from gateway.cli.output import Output
from gateway.errors import SceauError
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.choose import DomainCrypto, Reason, Treatment, choose
from gateway.smime.encrypt import Recipient, encrypt
from gateway.smime.hybrid import FalseHybrid, refuse_false_hybrid, without_partner
from gateway.smime.nested import encrypt_hybrid
from pki.algorithms import describe_key
from pki.anchors import parse_certificates
from pki.bounded_file import read_bounded
from pki.certificate import ParsedCertificate
from pki.errors import CertificateRefused
from pki.models import CheckedCertificate, Purpose
from pki.names import name_text
from pki.usage import key_problem
from pki.verdict import unsafe_unchecked

# Which of them a key fits: both RSA ones fit an RSA key.
_FAMILY = {
    KeyManagement.RSA_PKCS1: "rsa",
    KeyManagement.RSA_OAEP: "rsa",
    KeyManagement.ECDH: "ecdh",
}


def ders_in(paths: Sequence[Path]) -> list[bytes]:
    """DER of all certificates in the files, each once. Raises SceauError, OSError."""
    found: dict[bytes, None] = {}
    for path in paths:
        try:
            found.update(dict.fromkeys(parse_certificates(read_bounded(path))))
        except ValueError:
            raise SceauError(
                "{file} is not a certificate in PEM or DER", facts={"file": str(path)}
            ) from None
    return list(found)


def certificates_in(paths: Sequence[Path]) -> list[CheckedCertificate]:
    """All certificates in the files, each once. The person who names them answers for them."""
    found = ders_in(paths)
    if not found:
        raise SceauError("there is no certificate to encrypt to", hint="--to CERT")
    moment = datetime.now(UTC)
    return [unsafe_unchecked(certificate, moment=moment) for certificate in found]


def recipients_for(
    certificates: list[CheckedCertificate],
    cipher: str,
    key_management: str,
    *,
    ml_kem: bool,
    domain: DomainCrypto = DomainCrypto.READABLE,
) -> tuple[list[Recipient], Cipher]:
    """As `choose` says for each; one mail has one cipher, so the most readable one wins.

    Raises SceauError; CertificateRefused for a key that the table of algorithms does not allow.
    """
    treatments: list[Treatment] = []
    for one in certificates:
        if _kind(one).startswith("ml-kem-"):
            treatments.append(_experimental(one, allowed=ml_kem))
            continue
        try:
            treatment = choose(one, domain)
        except ValueError:
            treatment = None
        if not isinstance(treatment, Treatment):
            raise _unfit(one, "auto")
        weak = key_problem(ParsedCertificate(one.der), Purpose.ENCRYPT, one.moment)
        if weak is not None:
            raise CertificateRefused(weak)
        treatments.append(treatment)
    if cipher == "auto":
        order = (Cipher.AES_128_CBC, Cipher.AES_256_CBC, Cipher.AES_128_GCM, Cipher.AES_256_GCM)
        chosen = min((one.cipher for one in treatments), key=order.index)
    else:
        chosen = Cipher(cipher)
    recipients = []
    for one, treatment in zip(certificates, treatments, strict=True):
        transport = treatment.transport
        if key_management != "auto":
            transport = KeyManagement(key_management)
            if _FAMILY[transport] != _FAMILY.get(treatment.transport):
                raise _unfit(one, key_management)
        recipients.append(Recipient(one, transport))
    try:
        refuse_false_hybrid((one.certificate, one.transport) for one in recipients)
    except FalseHybrid as error:
        raise SceauError(
            "{who} would get the key by ML-KEM and by a classical algorithm, and the weaker one "
            "opens the mail",
            hint="--experimental-hybrid makes two envelopes, of which both must be opened",
            facts={"who": error.who},
        ) from None
    return recipients, chosen


def sealer_for(
    certificates: list[CheckedCertificate],
    cipher: str,
    key_management: str,
    *,
    ml_kem: bool,
    hybrid: bool,
) -> Sealer:
    """What encrypts to the owners of these certificates. Raises as `recipients_for`.

    hybrid: by two envelopes, of which everybody must open both; `cipher` and `key_management` are
        those of the inner, classical one.
    """
    if not hybrid:
        return Sealer(*recipients_for(certificates, cipher, key_management, ml_kem=ml_kem))
    inner: list[CheckedCertificate] = []
    outer: list[CheckedCertificate] = []
    for one in certificates:
        (outer if _kind(one).startswith("ml-kem-") else inner).append(one)
    alone = without_partner(inner, outer)
    if alone is not None:
        raise SceauError(
            "{who} has a key for one of the two envelopes alone",
            hint="give a certificate with an ML-KEM key and another one for everybody",
            facts={"who": alone},
        )
    recipients, chosen = recipients_for(
        inner, cipher, key_management, ml_kem=False, domain=DomainCrypto.HYBRID
    )
    return Sealer(recipients, chosen, [Recipient(one, KeyManagement.ML_KEM) for one in outer])


@dataclass(frozen=True, slots=True)
class Sealer:
    """Recipients, and how they are encrypted to. outer: of a second envelope around the first."""

    recipients: list[Recipient]
    cipher: Cipher
    outer: list[Recipient] = field(default_factory=list)

    def seal(self, entity: bytes) -> bytes:
        """As `gateway.smime.encrypt.encrypt`."""
        if self.outer:
            return encrypt_hybrid(entity, self.recipients, self.outer, self.cipher)
        return encrypt(entity, self.recipients, self.cipher)


def _kind(certificate: CheckedCertificate) -> str:
    try:
        return describe_key(certificate.certificate.public_key())[0]
    except (ValueError, UnsupportedAlgorithm):  # no such point, or ML-KEM-512
        raise SceauError(
            "the public key in the certificate of {subject} cannot be used",
            facts={"subject": name_text(certificate.certificate.subject)},
        ) from None


def _experimental(certificate: CheckedCertificate, *, allowed: bool) -> Treatment:
    if not allowed:
        raise SceauError(
            "{subject} has an ML-KEM key, which hardly any program can open mail with",
            hint="ask for it with --experimental-ml-kem",
            facts={"subject": name_text(certificate.certificate.subject)},
        )
    reason = Reason("crypto.experimental", "ML-KEM was asked for")
    return Treatment(Cipher.AES_256_CBC, KeyManagement.ML_KEM, reason)


def _unfit(certificate: CheckedCertificate, transport: str) -> SceauError:
    return SceauError(
        "nobody can encrypt to {subject} with {transport}: its key is of another kind",
        facts={"subject": name_text(certificate.certificate.subject), "transport": transport},
    )


def say_unchecked(output: Output, count: int) -> None:
    output.note(
        "{count} certificates are used as named: trust, revocation, dates and addresses "
        "were not checked",
        count=str(count),
    )
