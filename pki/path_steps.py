"""One chain, validated at a moment (RFC 5280 §6.1), but for revocation. Pure.

The step labels are those of the RFC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509

from pki.algorithms import Operation
from pki.anchors import Anchor
from pki.certificate import ANY_POLICY, ParsedCertificate
from pki.constraints import NameConstraintState
from pki.errors import CertificateRefused, Problem, minute, problem
from pki.policies import PolicyInputs, PolicyState
from pki.usage import extended_usage_problem


@dataclass(frozen=True, slots=True)
class PathInputs:
    """What is asked of every path (§6.1.1). accept: says why an anchor may not vouch, or None.

    allow_legacy, for_mail: as in `pki.path.find_path`. any_usage: whether anyExtendedKeyUsage makes
    a certificate one for mail; where it does not, that is asked of the last one, too, which
    `pki.usage` has let pass. demand_policies: whether the policies that
    an anchor is trusted for are demanded; not of signers of CRLs, who bear no policies of people.
    """

    moment: datetime
    policies: PolicyInputs
    accept: Callable[[Anchor], Problem | None]
    allow_legacy: bool = False
    for_mail: bool = False
    demand_policies: bool = True
    any_usage: bool = True


@dataclass(frozen=True, slots=True)
class Walked:
    """A chain in which every step holds. certificates: with the keys that were worked with.

    policies: the user-constrained policy set (§6.1.5 (g)).
    """

    certificates: tuple[ParsedCertificate, ...]
    policies: frozenset[str]


def walk(anchor: Anchor, chain: Sequence[ParsedCertificate], inputs: PathInputs) -> Walked:
    """§6.1.2 to §6.1.5 for a chain whose signatures were checked while it was built.

    Raises CertificateRefused with the first failing step.
    """
    moment, legacy = inputs.moment, inputs.allow_legacy
    chain = _working_keys(chain)
    root, *certs = chain
    unfit = inputs.accept(anchor)
    if unfit is not None:
        raise CertificateRefused(unfit)
    # An anchor has no signature to check, but people expect its dates to count.
    _check_dates(root, moment)
    _check_trusted(anchor, moment)
    if not certs:
        return Walked((root,), frozenset())

    if not _may_issue(root):
        raise refused("path.not-a-ca", "it may not issue certificates (basicConstraints)", root)

    # §6.1.2. An anchor's own constraints count from the start (RFC 5937 §3.2).
    demanded = inputs.policies
    if inputs.demand_policies:
        demanded = _demanded(demanded, anchor)
    policies = PolicyState(demanded, len(certs))
    names = NameConstraintState()
    names.add(root)
    max_path_length = len(certs)
    if root.basic is not None and root.basic.path_length is not None:
        max_path_length = min(max_path_length, root.basic.path_length)

    issuer = root
    for cert in certs:
        last = cert is certs[-1]
        # §6.1.3 (a)(1): the signature was checked while building; may that key make it?
        weak = issuer.judge_key(Operation.VERIFY_KEY, moment, allow_legacy=legacy)
        if weak is not None:
            raise because(issuer, weak)
        _check_dates(cert, moment)  # (a)(2); (a)(4) while building
        if last or not cert.self_issued:  # (b), (c)
            outside = names.violation(cert)
            if outside:
                raise refused(
                    "path.name-constraints",
                    "its name {name} is outside of what its issuers may certify",
                    cert,
                    name=outside,
                )
        if not policies.process(cert, last=last):  # (d)–(f)
            raise refused("path.policy", "no certificate policy is valid for it", cert)
        if not last:
            max_path_length = _prepare(cert, policies, names, max_path_length)
        if inputs.for_mail and not (last and inputs.any_usage):
            unfit = extended_usage_problem(cert, any_usage=inputs.any_usage)
            if unfit is not None:
                raise CertificateRefused(unfit)
        if cert.unknown_critical:  # §6.1.4 (o), §6.1.5 (f)
            raise refused(
                "path.critical-extension",
                "it has the critical extension {oid}, which is not known here",
                cert,
                oid=cert.unknown_critical[0],
            )
        issuer = cert

    valid_policies = policies.finish(certs[-1])  # §6.1.5
    if valid_policies is None:
        raise refused("path.policy", "no certificate policy is valid for it", certs[-1])
    return Walked(tuple(chain), valid_policies)


def _working_keys(chain: Sequence[ParsedCertificate]) -> list[ParsedCertificate]:
    """§6.1.4 (d)–(f): DSA keys without parameters get those of their issuers; the signatures that
    could not be checked while building are checked now.
    """
    working = [chain[0]]
    for cert in chain[1:]:
        issuer = working[-1]
        if issuer.dsa_value is not None and not cert.signed_by(issuer):
            raise CertificateRefused(bad_signature(cert, issuer))
        working.append(cert if cert.dsa_value is None else cert.completed_by(issuer))
    return working


def bad_signature(cert: ParsedCertificate, issuer: ParsedCertificate) -> Problem:
    """That `issuer` did not sign `cert`."""
    return problem(
        "path.signature",
        "the signature on the certificate of {subject} was not made by the key of {issuer}",
        subject=cert.subject_text,
        issuer=issuer.subject_text,
    )


def _prepare(
    cert: ParsedCertificate,
    policies: PolicyState,
    names: NameConstraintState,
    max_path_length: int,
) -> int:
    """§6.1.4 for a certificate that is not the last; returns max_path_length."""
    if not policies.prepare(cert):  # (a), (b), (h)–(j)
        raise refused("path.policy-mapping", "it maps the policy anyPolicy", cert)
    names.add(cert)  # (g)
    if not cert.is_ca:  # (k)
        raise refused("path.not-a-ca", "it may not issue certificates (basicConstraints)", cert)
    if not cert.self_issued:  # (l)
        if max_path_length <= 0:
            raise refused("path.length", "the path below its issuer is too long", cert)
        max_path_length -= 1
    if cert.basic is not None and cert.basic.path_length is not None:  # (m)
        max_path_length = min(max_path_length, cert.basic.path_length)
    if cert.key_usage is not None and not cert.key_usage.key_cert_sign:  # (n)
        raise refused("path.key-usage", "its key may not sign certificates (keyUsage)", cert)
    return max_path_length


def _may_issue(anchor: ParsedCertificate) -> bool:
    """Whether an anchor may have issued anything: a person's certificate may be one, for itself.

    People pin a partner's self-signed certificate; that person's key must not become a CA for
    everybody. Version 1 has no extension to say it, so there the anchor is one by being it.
    """
    if anchor.key_usage is not None and not anchor.key_usage.key_cert_sign:
        return False
    return anchor.is_ca or anchor.x509.version is x509.Version.v1


def _check_dates(cert: ParsedCertificate, moment: datetime) -> None:
    if moment < cert.not_before:
        raise refused(
            "path.not-yet-valid",
            "it is valid from {day}",
            cert,
            day=minute(cert.not_before),
        )
    if moment > cert.not_after:
        raise refused(
            "path.expired",
            "it was valid until {day}",
            cert,
            day=minute(cert.not_after),
        )


def _check_trusted(anchor: Anchor, moment: datetime) -> None:
    """The trust in an anchor may begin and end on a day of its own."""
    if anchor.trusted_from is not None and moment < anchor.trusted_from:
        raise CertificateRefused(
            problem(
                "path.anchor-not-yet",
                "the trust anchor {anchor} is trusted from {day}",
                anchor=anchor.name,
                day=minute(anchor.trusted_from),
            )
        )
    if anchor.trusted_until is not None and moment > anchor.trusted_until:
        raise CertificateRefused(
            problem(
                "path.anchor-ended",
                "the trust anchor {anchor} was trusted until {day}",
                anchor=anchor.name,
                day=minute(anchor.trusted_until),
            )
        )


def _demanded(inputs: PolicyInputs, anchor: Anchor) -> PolicyInputs:
    """§6.1.1 (c), (e): what the caller demands, narrowed to the policies the anchor is trusted for.

    Raises CertificateRefused where the two have none in common.
    """
    if not anchor.policies:
        return inputs
    limited = bool(inputs.acceptable) and ANY_POLICY not in inputs.acceptable
    common = anchor.policies & inputs.acceptable if limited else anchor.policies
    if not common:
        raise CertificateRefused(
            problem(
                "path.anchor-policy",
                "the trust anchor {anchor} is not trusted for the policies that are demanded",
                anchor=anchor.name,
            )
        )
    return replace(inputs, acceptable=common, require_explicit=True)


def refused(code: str, why: str, cert: ParsedCertificate, **facts: str) -> CertificateRefused:
    """That `cert` cannot be used, and why."""
    template = "the certificate of {subject} cannot be used: " + why
    return CertificateRefused(problem(code, template, subject=cert.subject_text, **facts))


def because(cert: ParsedCertificate, why: Problem) -> CertificateRefused:
    """The same with the reason given."""
    return refused(why.code, why.template, cert, **why.facts)
