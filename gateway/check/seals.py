"""The keys that sign for the organisation: its seals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from gateway.check.expiry import validity
from gateway.check.finding import Finding, error, warning
from gateway.known import parsed
from gateway.wiring import Wiring
from pki.addresses import certificate_addresses, in_domain
from pki.models import Signer


def seals(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """Each domain has one; that key and certificate belong together was seen when it was read."""
    for domain in wiring.config.gateway.domains:
        subject = f"seal {domain}"
        signer = wiring.seals.get(domain)
        if signer is None:
            yield error(
                "seals",
                "seal.none",
                "no seal signs for {domain}: its mail would wait",
                advice="add [[seals]] with a key for it",
                domain=domain,
            )
            continue
        yield validity(subject, signer.certificate, moment)
        yield from _fits(subject, domain, signer)


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
