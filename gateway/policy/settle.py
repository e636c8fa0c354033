"""From a decision and what was found of certificates to what is done with the mail."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.policy.decide import Decision
from gateway.policy.outcomes import Action, Crypto, Encryption, Sign, WithoutCertificate
from pki.errors import Problem
from pki.models import (
    CannotTell,
    Certified,
    CheckedCertificate,
    Finding,
    NoCertificate,
    Purpose,
)


@dataclass(frozen=True, slots=True)
class ClearTextAllowed:
    """Proof that a rule lets mail to this recipient leave in clear text.

    Made by `settle` alone (a test scans the sources for other makers). Code that puts clear text
    on the wire or in the queue takes one of these, so that it cannot do so without a rule (I3).
    """

    rule: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Encrypt:
    """Sign inside and encrypt to this certificate.

    post_quantum: and to this one around it, so that both must be opened.
    """

    certificate: CheckedCertificate
    post_quantum: CheckedCertificate | None = None


@dataclass(frozen=True, slots=True)
class SendSigned:
    """Send in clear text, signed."""

    clear: ClearTextAllowed
    reason: Problem


@dataclass(frozen=True, slots=True)
class SendPlain:
    """Send in clear text, unsigned: only where a rule says both `never` and `none`."""

    clear: ClearTextAllowed
    reason: Problem


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the mail, visibly.

    temporary: True when nobody could tell whether there is a certificate: the queue asks again
        by its own schedule. False when there is none, or a key that nobody has accepted: a person
        ends it.
    """

    reason: Problem
    temporary: bool


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not send; tell the sender why."""

    reason: Problem


_NEVER = "rule {rule} says that mail to this recipient is not encrypted"
_REFUSED = "rule {rule} refuses this mail: {text}"
_HELD = "rule {rule} wants a person to look at this mail first"
_HELD_BECAUSE = "rule {rule} wants a person to look at this mail first: {text}"
HELD_BY_RULE = "policy.held-by-rule"
NO_POST_QUANTUM = "crypto.no-post-quantum"
_NO_SECOND = (
    "two envelopes are agreed for {address}, and beside the certificate for the first one there is "
    "none with an ML-KEM key for the second (looked in: {places})"
)
_NO_SOURCE = (
    "rule {rule} demands encryption, and for {domain} there is neither a directory nor a stored "
    "certificate"
)


def notice_in_clear(recipient: str) -> ClearTextAllowed:
    """A notice that the gateway wrote itself to a sender of its own: nothing in it is secret.

    Its text names recipients and reasons, and of the mail the header at most.
    """
    return ClearTextAllowed(rule="notice", recipient=recipient)


Treatment = Encrypt | SendSigned | SendPlain | Hold | Refuse


def settle(decision: Decision, finding: Finding | None) -> Treatment:
    """What is done with the mail of this decision.

    finding: what the finder said of `decision.recipient`; None only where nobody is asked: with
        encryption `never`, and where a rule refuses or holds the mail.
    Raises ValueError for a finding that does not belong to the decision: a fault of the caller
    that must not become a mail encrypted to somebody else.
    """
    said = {"rule": decision.action_rule, "text": decision.text}
    if decision.action is Action.REFUSE:
        return Refuse(Problem("policy.refused-by-rule", _REFUSED, said))
    if decision.action is Action.HOLD:
        template = _HELD_BECAUSE if decision.text else _HELD
        return Hold(Problem(HELD_BY_RULE, template, said), temporary=False)
    if decision.encryption is Encryption.NEVER:
        facts = {"rule": decision.encryption_rule}
        return _in_clear(decision, Problem("policy.never", _NEVER, facts))
    match finding:
        case Certified(certificate):
            _belongs(decision, certificate)
            if decision.crypto is not Crypto.HYBRID:
                return Encrypt(certificate)
            second = second_certificate(finding)
            if isinstance(second, Hold):
                return second
            _belongs(decision, second)
            return Encrypt(certificate, second)
        case NoCertificate(problem=problem, post_quantum=alone):
            if decision.crypto is Crypto.HYBRID and alone is not None:
                # He can read encrypted mail: this is not a recipient without a certificate.
                unknown = isinstance(alone, Problem)
                return Hold(alone if isinstance(alone, Problem) else problem, temporary=unknown)
            return _without_certificate(decision, problem)
        case CannotTell(problem=problem, person=person):
            # I3: a directory that does not answer, a CRL that is too old are never "there is no
            # certificate". An attacker who can cut us off from LDAP must not get clear text.
            return Hold(problem, temporary=not person)
        case None:
            raise ValueError("somebody must have been asked for a certificate")


def second_certificate(found: Certified) -> CheckedCertificate | Hold:
    """For the second envelope. One alone is not what was agreed: without it the mail waits,
    whatever a rule says of clear text.
    """
    second = found.post_quantum
    if isinstance(second, Problem):
        return Hold(second, temporary=True)
    if second is None:
        facts = {"address": found.certificate.address, "places": ", ".join(found.looked_in)}
        return Hold(Problem(NO_POST_QUANTUM, _NO_SECOND, facts), temporary=False)
    return second


def _without_certificate(decision: Decision, problem: Problem) -> Treatment:
    match decision.without_certificate:
        case WithoutCertificate.REFUSE:
            return Refuse(problem)
        case WithoutCertificate.SEND_SIGNED if decision.encryption is Encryption.IF_POSSIBLE:
            return _in_clear(decision, problem)
        # `required` with `send-signed` cannot be loaded (config/checks.py); should it ever come
        # from elsewhere, it fails closed here.
        case WithoutCertificate.HOLD | WithoutCertificate.SEND_SIGNED:
            return Hold(problem, temporary=False)


def _in_clear(decision: Decision, reason: Problem) -> SendSigned | SendPlain:
    clear = ClearTextAllowed(rule=decision.encryption_rule, recipient=decision.recipient)
    if decision.sign is Sign.NONE and decision.encryption is Encryption.NEVER:
        return SendPlain(clear, reason)
    return SendSigned(clear, reason)


def _belongs(decision: Decision, certificate: CheckedCertificate) -> None:
    if certificate.address != decision.recipient:
        raise ValueError(
            f"certificate checked for {certificate.address}, mail for {decision.recipient}"
        )
    if certificate.purpose is not Purpose.ENCRYPT or certificate.unchecked:
        raise ValueError("the certificate was not checked for encryption")


def never_encryptable(
    rule: str | None, recipient: str, *, directory: bool, stored_certificate: bool
) -> Problem | None:
    """Why a recipient is refused at RCPT already (550 for this recipient), or None.

    Mail that must be encrypted for a domain of which no certificate can ever be found would be
    held for nobody; the sender hears it while he is still there. Local tables alone decide: no
    network is asked before the 250 (design §2).

    rule: by which mail to this recipient must be encrypted, whatever the mail turns out to be
        (`Policy.always_required`). recipient: canonical.
    directory: whether a directory is configured for the recipient's domain.
    stored_certificate: whether the local store has a certificate of an address of this domain; one
        with an ML-KEM key counts where two envelopes are possible (`two_envelopes_possible`).
    """
    if rule is None or directory or stored_certificate:
        return None
    return Problem(
        "policy.no-source", _NO_SOURCE, {"domain": recipient.rpartition("@")[2], "rule": rule}
    )
