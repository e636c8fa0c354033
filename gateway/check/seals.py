"""The keys that sign for the organisation: its seals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from gateway.check.expiry import day, validity
from gateway.check.finding import Finding, error, good, unknown, warning
from gateway.known import parsed
from gateway.seal_check import blocks
from gateway.succession import in_force, needed
from gateway.wiring import Wiring
from pki.addresses import certificate_addresses, in_domain
from pki.may_sign import MaySign, Unfit
from pki.models import Signer


def seals(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """Each domain has one; that key and certificate belong together was seen when it was read."""
    for domain in wiring.config.gateway.domains:
        subject = f"seal {domain}"
        signer = in_force(wiring.seals, domain, moment)
        if signer is None:
            yield error(
                "seals",
                "seal.none",
                "no seal signs for {domain}: its mail would wait",
                advice="add [[seals]] with a key for it",
                domain=domain,
            )
            continue
        # What comes after it is looked at, too; one that another takes over from may end.
        for each in dict.fromkeys((*needed(wiring.seals[domain]), signer)):
            if each is signer or _begun(each, moment):
                yield validity(subject, each.certificate, moment, ahead=wiring.ahead.seals)
            else:
                yield _to_come(subject, each)
        certificate = parsed(signer.certificate)
        yield from _may_sign(
            subject,
            domain,
            wiring.signers.may_seal(signer, domain, moment),
            self_made=certificate.issuer == certificate.subject,
        )
        yield from _fits(subject, domain, signer)


def _begun(signer: Signer, moment: datetime) -> bool:
    return parsed(signer.certificate).not_valid_before_utc <= moment


def _to_come(subject: str, signer: Signer) -> Finding:
    return good(
        subject,
        "the certificate of the next key is valid from {date} on",
        date=day(parsed(signer.certificate).not_valid_before_utc),
    )


def _may_sign(
    subject: str, domain: str, answer: MaySign | Unfit, *, self_made: bool
) -> Iterator[Finding]:
    if isinstance(answer, MaySign):
        return
    problem = answer.problem
    if not answer.certain:
        yield unknown(
            subject,
            problem.code,
            problem.template,
            meaning="mail that this seal is to sign waits",
            advice="name the source of the CRL under [[pki.crls]], then sceau pki crl refresh",
            **problem.facts,
        )
    elif blocks(answer):
        yield error(
            subject,
            problem.code,
            problem.template,
            meaning="mail that this seal is to sign waits",
            advice="put another certificate in its place ([[seals]]), then sceau reload",
            **problem.facts,
        )
    elif not self_made:
        yield warning(
            subject,
            "seal.no-path",
            "no anchor of ours vouches for the seal of {domain}: a revocation would not be seen",
            advice="add its CA to [[pki.anchors]] with the purpose sign, and its CRL",
            domain=domain,
        )


def _fits(subject: str, domain: str, signer: Signer) -> Iterator[Finding]:
    """Whether the certificate speaks for the domain, and somebody vouches for it."""
    certificate = parsed(signer.certificate)
    addresses = certificate_addresses(certificate)
    if not any(in_domain(address, domain) for address in addresses):
        yield warning(
            subject,
            "seal.other-domain",
            "the certificate is for {addresses}, not for an address of {domain}",
            meaning="readers see a signature that does not fit the sender",
            advice="ask for one whose subjectAltName has an address of {domain}",
            addresses=", ".join(addresses) or "-",
            domain=domain,
        )
    if certificate.issuer == certificate.subject:
        yield warning(
            subject,
            "seal.self-made",
            "the seal is self-made: no reader trusts its signatures",
            advice="put the certificate of your PKI in its place",
        )
