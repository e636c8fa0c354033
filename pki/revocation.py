"""Is a certificate revoked at a moment, as far as the known CRLs say? (RFC 5280 §6.3) Pure.

The steps bear the labels of §6.3.3. Their order differs: the RFC stops at the first CRL that says
enough, we ask all of them, so that no CRL hides what another one says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pki.algorithms import Operation, judge_signature
from pki.anchors import usable_until
from pki.certificate import ParsedCertificate
from pki.crl import Crl
from pki.crl_entries import HOLD
from pki.crl_scope import ALL_REASONS, NO_REASONS, DistributionPoints, IssuingScope
from pki.crl_series import Condemned, Series
from pki.errors import CannotJudge, CertificateRefused, Problem, minute, problem
from pki.models import RevocationEvidence
from pki.names import NameKey


@dataclass(frozen=True, slots=True)
class NotRevoked:
    """The CRLs that say together that a certificate is not revoked, and until when they hold."""

    crls: tuple[Crl, ...]
    until: datetime

    def evidence(self, cert: ParsedCertificate) -> tuple[RevocationEvidence, ...]:
        """What the record keeps of them."""
        return tuple(crl.evidence(cert) for crl in self.crls)


@dataclass(frozen=True, slots=True)
class CrlJudge:
    """What judges CRLs, the same for all certificates of a path.

    crls: by the name of their issuer. signers: certificates with a name, which may have signed
    CRLs (a CA may sign CRLs with another key than certificates, or leave them to somebody else).
    trusted: whether such a one has a valid path of its own to the same anchor; it is told which
    certificate is being judged. allow_legacy: for old evidence, as in `judge_key`.
    """

    moment: datetime
    grace: timedelta
    crls: Mapping[NameKey, Sequence[Crl]]
    signers: Callable[[NameKey], Sequence[ParsedCertificate]]
    trusted: Callable[[ParsedCertificate, ParsedCertificate], bool]
    allow_legacy: bool = False


def check_revocation(
    cert: ParsedCertificate, issuer: ParsedCertificate, judge: CrlJudge
) -> NotRevoked:
    """The CRLs that say that `cert` is not revoked.

    A CRL that was issued after the moment condemns what was revoked by then, and acquits nobody:
    a certificate may have expired and left the list, and a hold may have been lifted since.
    Raises CertificateRefused (revoked), CannotJudge (no CRLs for all reasons, or only stale ones).
    """
    series, why_not = _series(cert, issuer, judge)
    fresh = [
        one
        for one in series
        if one.base is not None and judge.moment <= usable_until(one.until, judge.grace)
    ]
    covered = NO_REASONS.union(*(one.reasons for one in fresh))
    for one in series:
        found = one.condemned(cert, judge.moment, judge.grace)
        if found is None:
            continue
        # A revocation does not go stale. A hold may have been lifted since by another key or
        # scope of the CA; only where fresh CRLs say everything do they outweigh it.
        if one in fresh or found.entry.reason != HOLD or covered != ALL_REASONS:
            raise CertificateRefused(_revoked(cert, found))
    # After a change of CA key some CAs (AD CS) issue one CRL per key, each listing only
    # certificates of that key: the one made by the issuing key is the one to believe.
    fresh.sort(key=lambda one: one.signer.spki != issuer.spki)
    reasons_mask = NO_REASONS  # §6.3.2 (a)
    spoken: list[Series] = []
    for one in fresh:
        if one.reasons - reasons_mask:  # (e)
            spoken.append(one)
            reasons_mask |= one.reasons  # (l)
    if reasons_mask == ALL_REASONS:
        current = [one.current(judge.moment, judge.grace) for one in spoken]
        until = min(crls[-1].next_update for crls in current)
        return NotRevoked(
            tuple(crl for crls in current for crl in crls), usable_until(until, judge.grace)
        )
    raise CannotJudge(_cannot_tell(cert, fresh, series, why_not))


def _series(
    cert: ParsedCertificate, issuer: ParsedCertificate, judge: CrlJudge
) -> tuple[list[Series], Problem | None]:
    """The CRLs that speak for `cert`, those together that complete or replace each other; and why
    others do not count.
    """
    found: dict[tuple[NameKey, bytes, IssuingScope], Series] = {}
    why_not: Problem | None = None
    points = DistributionPoints(cert)
    for name in points.crl_issuers:
        for crl in sorted(judge.crls.get(name, ()), key=_age, reverse=True):
            reasons = points.reasons(crl.scope, crl.issuer)  # (b), (d)
            if not reasons:
                continue
            signer = _signer(crl, cert, issuer, judge)  # (f), (g), (h)
            if signer is None:
                why_not = why_not or problem(
                    "revocation.signature",
                    "the CRL of {issuer} of {day} is not signed by a key that may sign it",
                    issuer=crl.issuer_text,
                    day=minute(crl.this_update),
                )
                continue
            weak = judge_signature(
                crl.x509, judge.moment, allow_legacy=judge.allow_legacy
            ) or signer.judge_key(
                Operation.VERIFY_KEY, judge.moment, allow_legacy=judge.allow_legacy
            )
            if weak is not None:
                why_not = why_not or weak
                continue
            # (c): a delta belongs to complete CRLs of the same issuer, scope and key.
            key = (name, signer.spki, crl.scope)
            found.setdefault(key, Series(signer, reasons)).add(crl, judge.moment)
    return list(found.values()), why_not


def _age(crl: Crl) -> tuple[datetime, int]:
    return crl.this_update, crl.number or 0


def _signer(
    crl: Crl, cert: ParsedCertificate, issuer: ParsedCertificate, judge: CrlJudge
) -> ParsedCertificate | None:
    """(f), (g): who signed this CRL and may sign CRLs. The issuer's path is the one that is being
    validated; anybody else needs one of his own.
    """
    if may_sign_crls(issuer) and crl.signed_by(issuer):
        return issuer
    for signer in judge.signers(crl.issuer):
        if may_sign_crls(signer) and crl.signed_by(signer) and judge.trusted(signer, cert):
            return signer
    return None


def may_sign_crls(cert: ParsedCertificate) -> bool:
    """keyUsage, if there is one, has cRLSign."""
    return cert.key_usage is None or cert.key_usage.crl_sign


def _cannot_tell(
    cert: ParsedCertificate,
    fresh: Sequence[Series],
    series: Sequence[Series],
    why_not: Problem | None,
) -> Problem:
    stale = [one for one in series if one.base is not None and one not in fresh]
    if fresh and not stale and why_not is None:
        missing = ALL_REASONS - NO_REASONS.union(*(one.reasons for one in fresh))
        return problem(
            "revocation.reasons",
            "the known CRLs of {issuer} do not speak for all reasons of revocation ({reasons} "
            "missing); whether {subject} is revoked cannot be told",
            issuer=cert.issuer_text,
            reasons=", ".join(sorted(reason.value for reason in missing)),
            subject=cert.subject_text,
        )
    if stale:
        newest = max(stale, key=lambda one: one.until)
        assert newest.base is not None
        return problem(
            "revocation.stale",
            "the newest CRL of {issuer} (no. {number}) was valid until {until}; "
            "whether {subject} is revoked cannot be told",
            issuer=newest.base.issuer_text,
            number=_number(newest.base),
            until=minute(newest.until),
            subject=cert.subject_text,
        )
    if why_not is not None:
        return why_not
    if any(one.deltas for one in series):
        return problem(
            "revocation.no-base",
            "only delta CRLs of {issuer} are known, and no complete one that they complete; "
            "whether {subject} is revoked cannot be told",
            issuer=cert.issuer_text,
            subject=cert.subject_text,
        )
    return problem(
        "revocation.missing",
        "no CRL of {issuer} is known; whether {subject} is revoked cannot be told",
        issuer=cert.issuer_text,
        subject=cert.subject_text,
    )


def _revoked(cert: ParsedCertificate, found: Condemned) -> Problem:
    facts = {
        "serial": f"{cert.serial:x}",
        "subject": cert.subject_text,
        "day": minute(found.entry.date),
        "reason": found.entry.reason or "unspecified",
        "number": _number(found.crl),
        "issuer": found.crl.issuer_text,
    }
    if found.entry.reason == HOLD:
        return problem(
            "revocation.revoked",
            "the certificate {serial} of {subject} is on hold since {day} ({reason}: this may be "
            "lifted again), CRL no. {number} of {issuer}",
            **facts,
        )
    if found.entry.invalid_from is not None:
        return problem(
            "revocation.revoked",
            "the certificate {serial} of {subject} was revoked on {day} ({reason}), invalid from "
            "{from}, CRL no. {number} of {issuer}",
            **facts,
            **{"from": minute(found.entry.invalid_from)},
        )
    return problem(
        "revocation.revoked",
        "the certificate {serial} of {subject} was revoked on {day} ({reason}), "
        "CRL no. {number} of {issuer}",
        **facts,
    )


def _number(crl: Crl) -> str:
    return "-" if crl.number is None else str(crl.number)
