"""Is a certificate revoked at a moment, as far as the known CRLs say? (RFC 5280 §6.3) Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pki.algorithms import Operation, judge_key, judge_signature
from pki.certificate import ParsedCertificate
from pki.crl import Crl
from pki.crl_entries import Entry
from pki.errors import CannotJudge, CertificateRefused, Problem, problem


@dataclass(frozen=True, slots=True)
class _Verified:
    """A CRL whose signature holds; own_key: made by the key that issued the certificate."""

    crl: Crl
    own_key: bool


def check_revocation(
    cert: ParsedCertificate,
    issuer: ParsedCertificate,
    *,
    moment: datetime,
    grace: timedelta,
    crls: Sequence[Crl],
    signers: Sequence[ParsedCertificate],
    trusted: Callable[[ParsedCertificate], bool],
    allow_legacy: bool = False,
) -> Crl:
    """The CRL that says that `cert` is not revoked.

    crls: those of its issuer's name. signers: certificates with that name that may have signed
    CRLs (a CA may sign CRLs with another key than certificates); `trusted` says whether such a
    one has a valid path of its own. allow_legacy: for old evidence, as in `judge_key`.
    Raises CertificateRefused (revoked), CannotJudge (no CRL, or only stale ones).
    """
    verified, why_not = _verified(cert, issuer, moment, crls, signers, trusted, allow_legacy)
    fresh = [one for one in verified if moment <= one.crl.next_update + grace]
    # A revocation does not go stale, so without fresh ones the stale ones may still condemn.
    for one in fresh or verified:
        entry = one.crl.find(cert)
        if entry is not None:
            raise CertificateRefused(_revoked(cert, one.crl, entry))
    if fresh:
        # After a change of CA key some CAs (AD CS) issue one CRL per key, each listing only
        # certificates of that key: the one made by the issuing key is the one to believe.
        return next((one.crl for one in fresh if one.own_key), fresh[0].crl)
    if verified:
        newest = max((one.crl for one in verified), key=lambda crl: crl.next_update)
        raise CannotJudge(
            problem(
                "revocation.stale",
                "the newest CRL of {issuer} (no. {number}) was valid until {until}; "
                "whether {subject} is revoked cannot be told",
                issuer=newest.issuer_text,
                number=_number(newest),
                until=_day(newest.next_update),
                subject=cert.subject_text,
            )
        )
    if why_not is not None:
        raise CannotJudge(why_not)
    raise CannotJudge(
        problem(
            "revocation.missing",
            "no CRL of {issuer} is known; whether {subject} is revoked cannot be told",
            issuer=cert.issuer_text,
            subject=cert.subject_text,
        )
    )


def _verified(
    cert: ParsedCertificate,
    issuer: ParsedCertificate,
    moment: datetime,
    crls: Sequence[Crl],
    signers: Sequence[ParsedCertificate],
    trusted: Callable[[ParsedCertificate], bool],
    allow_legacy: bool,
) -> tuple[list[_Verified], Problem | None]:
    """The newest CRL of each key that speaks for `cert`, and why others do not count."""
    found: dict[bytes, _Verified] = {}
    why_not: Problem | None = None
    usable = [crl for crl in crls if crl.covers(cert) and crl.this_update <= moment]
    for crl in sorted(usable, key=lambda crl: (crl.this_update, crl.number or 0), reverse=True):
        signer = _signer(crl, issuer, signers, trusted)
        if signer is None:
            why_not = why_not or problem(
                "revocation.signature",
                "the CRL of {issuer} of {day} is not signed by a key that may sign it",
                issuer=crl.issuer_text,
                day=_day(crl.this_update),
            )
            continue
        weak = judge_signature(crl.x509, moment, allow_legacy=allow_legacy) or judge_key(
            Operation.VERIFY_KEY, signer.public_key, moment, allow_legacy=allow_legacy
        )
        if weak is not None:
            why_not = why_not or weak
            continue
        found.setdefault(signer.spki, _Verified(crl, signer.spki == issuer.spki))
    return list(found.values()), why_not


def _signer(
    crl: Crl,
    issuer: ParsedCertificate,
    signers: Sequence[ParsedCertificate],
    trusted: Callable[[ParsedCertificate], bool],
) -> ParsedCertificate | None:
    """RFC 5280 §6.3.3 (f), (g): who signed this CRL and may sign CRLs."""
    if may_sign_crls(issuer) and crl.signed_by(issuer):
        return issuer
    for signer in signers:
        if may_sign_crls(signer) and crl.signed_by(signer) and trusted(signer):
            return signer
    return None


def may_sign_crls(cert: ParsedCertificate) -> bool:
    """keyUsage, if there is one, has cRLSign."""
    return cert.key_usage is None or cert.key_usage.crl_sign


def _revoked(cert: ParsedCertificate, crl: Crl, entry: Entry) -> Problem:
    return problem(
        "revocation.revoked",
        "the certificate {serial} of {subject} was revoked on {day} ({reason}), "
        "CRL no. {number} of {issuer}",
        serial=f"{cert.serial:x}",
        subject=cert.subject_text,
        day=_day(entry.date),
        reason=entry.reason or "unspecified",
        number=_number(crl),
        issuer=crl.issuer_text,
    )


def _number(crl: Crl) -> str:
    return "-" if crl.number is None else str(crl.number)


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
