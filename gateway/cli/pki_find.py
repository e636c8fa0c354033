"""`sceau pki cert find`: what the gateway would encrypt to, and why nothing else."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from gateway.cli.exits import CANNOT_TELL, DONE, NO, worst
from gateway.cli.output import Output, output_of, time_json

if TYPE_CHECKING:
    from gateway.smime.choose import Hold, Treatment
    from gateway.wiring import Wiring
    from pki.models import Certified, CheckedCertificate, Finding


def run_find(args: Namespace, wiring: Wiring) -> int:
    """Look up each address as the gateway does; the exit code."""
    from gateway import clock
    from pki.addresses import canonical

    output = output_of(args)
    # Refused before any directory hears of the others.
    addresses = [canonical(address) for address in args.addresses]
    findings = wiring.finder.find_all(addresses, moment=clock.now())
    return worst(_report(address, findings[address], wiring, output) for address in addresses)


def _report(address: str, finding: Finding, wiring: Wiring, output: Output) -> int:
    from pki.models import Certified, NoCertificate

    algorithms = _algorithms(finding, wiring) if isinstance(finding, Certified) else None
    if output.as_json:
        output.record(_as_json(address, finding, algorithms))
    else:
        _print(address, finding, algorithms, output)
    if isinstance(finding, Certified):
        return DONE
    return NO if isinstance(finding, NoCertificate) else CANNOT_TELL


def _algorithms(found: Certified, wiring: Wiring) -> Treatment | Hold:
    """What a mail to this recipient would be encrypted with; the sender does not matter here."""
    from gateway.policy import Crypto, second_certificate
    from gateway.policy import Hold as Held
    from gateway.smime.choose import DomainCrypto, Hold, Reason, choose

    crypto = wiring.config.policy.policy().agreed_with(found.certificate.address)
    if crypto is Crypto.HYBRID:
        second = second_certificate(found)
        if isinstance(second, Held):
            why = second.reason
            return Hold(Reason(why.code, why.template, dict(why.facts)))
    return choose(found.certificate, DomainCrypto(crypto.value))


def _as_json(
    address: str, finding: Finding, algorithms: Treatment | Hold | None
) -> dict[str, object]:
    from gateway.cli.pki_input import as_json
    from gateway.smime.choose import Treatment
    from pki.models import Certified, CheckedCertificate, NoCertificate

    certificate: dict[str, object] | None = None
    second: dict[str, object] | None = None
    unknown: list[dict[str, str]] = []
    encryption: dict[str, object] | None = None
    if isinstance(finding, Certified):
        certificate = _certificate_json(finding.certificate)
        if isinstance(finding.post_quantum, CheckedCertificate):
            second = _certificate_json(finding.post_quantum)
        elif finding.post_quantum is not None:
            unknown = as_json([finding.post_quantum])
    if algorithms is not None:
        chosen = algorithms if isinstance(algorithms, Treatment) else None
        encryption = {
            "cipher": chosen.cipher.value if chosen else None,
            "key_management": chosen.transport.value if chosen else None,
            "hold": chosen is None,
            "reason": {"code": algorithms.reason.code, "text": algorithms.reason.text},
        }
    status = "indeterminate"
    if isinstance(finding, Certified | NoCertificate):
        status = "found" if isinstance(finding, Certified) else "none"
    return {
        "address": address,
        "status": status,
        "looked_in": list(finding.looked_in),
        "certificate": certificate,
        "post_quantum": second,
        "post_quantum_problems": unknown,
        "encryption": encryption,
        "refused": [
            {
                "sha256": each.sha256,
                "subject": each.subject,
                "source": each.source,
                "problems": as_json([each.problem]),
            }
            for each in finding.refused
        ],
        "problems": [] if isinstance(finding, Certified) else as_json([finding.problem]),
    }


def _certificate_json(checked: CheckedCertificate) -> dict[str, object]:
    from gateway.cli.pki_facts import certificate_facts, evidence_json, facts_json
    from pki.certificate import ParsedCertificate

    path = [ParsedCertificate(der) for der in checked.path]
    return {
        **facts_json(certificate_facts(path[-1])),
        "source": checked.source,
        "domain": checked.domain or None,
        "anchor": checked.anchor,
        "path": [cert.subject_text for cert in path],
        "revocation": [evidence_json(each) for each in checked.revocation],
        "checked": time_json(checked.moment),
    }


def _print(
    address: str, finding: Finding, algorithms: Treatment | Hold | None, output: Output
) -> None:
    from gateway.cli.pki_facts import certificate_facts, print_evidence, print_facts
    from gateway.smime.choose import Treatment
    from pki.certificate import ParsedCertificate
    from pki.models import Certified, CheckedCertificate, NoCertificate

    if isinstance(finding, Certified):
        output.say("{address}: there is a certificate", address=address)
    elif isinstance(finding, NoCertificate):
        output.say("{address}: there is no usable certificate", address=address)
    else:
        output.say("{address}: it cannot be told whether there is a certificate", address=address)
    output.say("  looked in: {places}", places=", ".join(finding.looked_in))
    for each in finding.refused:
        output.say(
            "  refused: {subject}, from {source}: {reason}",
            subject=each.subject or "-",
            source=each.source,
            reason=output.problem(each.problem),
        )
    if not isinstance(finding, Certified):
        if finding.problem not in [each.problem for each in finding.refused]:
            output.say("  because: {reason}", reason=output.problem(finding.problem))
        return
    path = [ParsedCertificate(der) for der in finding.certificate.path]
    output.say("  found in: {source}", source=finding.certificate.source)
    if finding.certificate.domain:
        output.say(
            "  it is pinned for the whole domain {domain}", domain=finding.certificate.domain
        )
    print_facts(certificate_facts(path[-1]), output)
    output.say("  trusted through: {path}", path=" > ".join(cert.subject_text for cert in path))
    print_evidence(finding.certificate.revocation, output)
    if isinstance(algorithms, Treatment):
        output.say(
            "  would encrypt with {cipher}, {transport}: {reason}",
            cipher=algorithms.cipher.value,
            transport=algorithms.transport.value,
            reason=output.text(algorithms.reason.template, **algorithms.reason.facts),
        )
    elif algorithms is not None:
        output.say(
            "  would hold the mail: {reason}",
            reason=output.text(algorithms.reason.template, **algorithms.reason.facts),
        )
    if isinstance(finding.post_quantum, CheckedCertificate):
        output.say("  for a second envelope, where that is agreed:")
        second = ParsedCertificate(finding.post_quantum.der)
        print_facts(certificate_facts(second), output)
        print_evidence(finding.post_quantum.revocation, output)
    elif finding.post_quantum is not None:
        output.say(
            "  for a second envelope there may be one: {reason}",
            reason=output.problem(finding.post_quantum),
        )
