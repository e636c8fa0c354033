"""Is a certificate revoked at a moment, as far as OCSP responses say? (RFC 6960 §3.2) Pure.

Each statement passes the RFC's acceptance requirements in their order: it is about this
certificate (1), its signature holds (2), by a responder who may speak for this CA (3, 4), and it
is recent enough (5, 6). "unknown" is never "good".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki.algorithms import Operation, judge_key, judge_signature
from pki.anchors import usable_until
from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, CertificateRefused, OcspRefused, Problem, minute, problem
from pki.models import RevocationEvidence
from pki.ocsp import HOLD, OcspResponse, SingleResponse
from pki.ocsp_id import key_hash

# A responder's clock may run ahead of ours: its answer is made after our question. Behind the
# other end nothing is given: nextUpdate is where a replay ends.
SKEW = timedelta(minutes=5)

# RFC 6960 §2.2: what a responder says of a certificate that was never issued.
_NEVER_ISSUED = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class OcspStatement:
    """What one verified response says of one certificate.

    issuer: name of the CA for people. responder: certificate of whoever signed.
    """

    response: OcspResponse
    single: SingleResponse
    issuer: str
    responder: ParsedCertificate
    grace: timedelta

    @property
    def until(self) -> datetime:
        """Until when it may be used."""
        return usable_until(self.single.next_update, self.grace)

    def evidence(self, cert: ParsedCertificate) -> tuple[RevocationEvidence, ...]:
        """What the record keeps: which response spoke for `cert`."""
        return (
            RevocationEvidence(
                issuer=self.issuer,
                number=None,
                this_update=self.single.this_update,
                next_update=self.single.next_update,
                sha256=self.response.sha256,
                subject=cert.subject_text,
                source=self.response.source,
                kind="ocsp",
                responder=self.responder.subject_text,
                produced_at=self.response.produced_at,
            ),
        )


def check_ocsp(
    cert: ParsedCertificate,
    issuer: ParsedCertificate,
    *,
    moment: datetime,
    grace: timedelta,
    responses: Iterable[OcspResponse],
    signers: Sequence[ParsedCertificate],
    vouched: Callable[[ParsedCertificate], bool],
    allow_legacy: bool = False,
) -> OcspStatement:
    """The statement that `cert` is not revoked.

    signers: certificates of responders that are known beside those in the responses. vouched:
    whether a delegated responder's own certificate is not revoked, as far as must be known.
    grace: how long after nextUpdate a statement may still be used.
    Raises CertificateRefused (revoked), CannotJudge (no statement, only old or unknown ones).
    """
    judge = _Judge(cert, issuer, moment, grace, signers, vouched, allow_legacy)
    verified, later, why_not = judge.verified(responses)
    for one in later:
        # Made after the moment (an old mail is looked at): it condemns what was revoked by then,
        # and acquits nobody, as CRLs do.
        revoked_at = one.single.revoked_at
        if revoked_at is not None and revoked_at <= moment and one.single.revoked_for_good:
            raise CertificateRefused(_revoked(cert, one))
    fresh = [one for one in verified if moment <= one.until]
    for one in verified:
        if one.single.revoked_for_good or (one.single.status == "revoked" and one in fresh[:1]):
            raise CertificateRefused(_revoked(cert, one))
    if fresh and fresh[0].single.status == "good":
        return fresh[0]
    if fresh:
        raise CannotJudge(
            problem(
                "revocation.ocsp-unknown",
                "the OCSP responder {responder} does not know the certificate of {subject}; "
                "whether it is revoked cannot be told",
                responder=fresh[0].responder.subject_text,
                subject=cert.subject_text,
            )
        )
    if verified:
        raise CannotJudge(_stale(cert, verified[0]))
    if later:
        raise CannotJudge(_of_the_future(later[0]))
    if why_not is not None:
        raise CannotJudge(why_not)
    raise CannotJudge(
        problem(
            "revocation.ocsp-missing",
            "no OCSP response about {subject} is known; whether it is revoked cannot be told",
            subject=cert.subject_text,
        )
    )


def accept_answer(
    response: OcspResponse,
    cert: ParsedCertificate,
    issuer: ParsedCertificate,
    *,
    moment: datetime,
    nonce: bytes | None,
    signers: Sequence[ParsedCertificate],
    vouched: Callable[[ParsedCertificate], bool],
) -> OcspStatement:
    """The statement in an answer to a question of ours, good, revoked or unknown.

    nonce: that was asked with. An answer with another one is another answer (RFC 9654 §2.1); one
    without is taken: most responders sign ahead (RFC 5019), and `OcspAnswer` says that it has none.

    Past its nextUpdate only a revocation for good is taken that gives its reason; `check_ocsp`
    believes a stored one of any age, too. Were it dropped, a CRL that does not list it yet would
    let mail through to a key that its CA has called stolen, and whoever can have old answers served
    (a cache, the way to the responder) would choose that. What RFC 6960 §3.2 (6) and §4.2.2.1 guard
    against is a word that is no longer true; this one stays true. Nor does a replay gain anything:
    the CA, or who speaks for it, has signed that this very certificate is revoked, and why.
    Raises OcspRefused: not about this certificate, not by one who may speak, not recent.
    """
    if nonce is not None and response.nonce is not None and response.nonce != nonce:
        raise OcspRefused(
            problem(
                "revocation.ocsp-nonce",
                "the OCSP response of {responder} answers another question (its nonce is not ours)",
                responder=response.responder,
            )
        )
    judge = _Judge(cert, issuer, moment, timedelta(), signers, vouched, False)
    verified, later, why_not = judge.verified([response])
    if later:
        raise OcspRefused(_of_the_future(later[0]))
    if not verified:
        raise OcspRefused(why_not or _other_certificate(cert, response))
    if moment <= verified[0].until:
        return verified[0]
    for said in verified:
        if said.single.says_for_good:
            return said
    raise OcspRefused(_stale(cert, verified[0]))


@dataclass(frozen=True, slots=True)
class _Judge:
    """What is the same for all responses about one certificate."""

    cert: ParsedCertificate
    issuer: ParsedCertificate
    moment: datetime
    grace: timedelta
    signers: Sequence[ParsedCertificate]
    vouched: Callable[[ParsedCertificate], bool]
    allow_legacy: bool

    def verified(
        self, responses: Iterable[OcspResponse]
    ) -> tuple[list[OcspStatement], list[OcspStatement], Problem | None]:
        """Statements that hold, newest first; those made after the moment; why others do not."""
        found: list[OcspStatement] = []
        why_not: Problem | None = None
        about = [
            (response, single)
            for response in responses
            for single in response.singles
            if single.cert_id.names(self.cert, self.issuer)  # RFC 6960 §3.2 (1)
        ]
        about.sort(key=lambda pair: (pair[1].this_update, pair[0].produced_at), reverse=True)
        # Once for each response: one may say the same of the same certificate 500 times.
        speakers: dict[str, ParsedCertificate | Problem] = {}
        for response, single in about:
            speaker = speakers.get(response.sha256) or self._speaker(response)
            speakers[response.sha256] = speaker
            if isinstance(speaker, Problem):
                why_not = why_not or speaker
                continue
            issuer = self.issuer.subject_text
            found.append(OcspStatement(response, single, issuer, speaker, self.grace))
        later = [one for one in found if _made(one) > self.moment + SKEW]  # (5)
        return [one for one in found if one not in later], later, why_not

    def _speaker(self, response: OcspResponse) -> ParsedCertificate | Problem:
        """RFC 6960 §4.2.2.2: who signed, if that one may speak for the CA; else why not."""
        weak = judge_signature(response.signature, self.moment, allow_legacy=self.allow_legacy)
        if weak is not None:
            return weak
        reason = problem(
            "revocation.ocsp-signature",
            "the OCSP response of {responder} is not signed by {issuer} nor by a responder that "
            "it appointed",
            responder=response.responder,
            issuer=self.issuer.subject_text,
        )
        made: dict[bytes, bool] = {}  # by key: ten certificates may have the same
        for signer in (self.issuer, *response.certificates, *self.signers):
            if not _is_named(signer, response):
                continue
            if signer.spki not in made:
                made[signer.spki] = response.signature.made_by(signer.public_key)
            if made[signer.spki]:
                unfit = self._unfit(signer)
                if unfit is None:
                    return signer
                reason = unfit
        return reason

    def _unfit(self, signer: ParsedCertificate) -> Problem | None:
        """Why this signer may not speak for the CA, or None."""
        weak = judge_key(
            Operation.VERIFY_KEY, signer.public_key, self.moment, allow_legacy=self.allow_legacy
        )
        if weak is not None or _same_authority(signer, self.issuer):
            return weak
        unfit = _not_appointed(signer, self.issuer, self.moment, self.allow_legacy)
        if unfit is None and not self.vouched(signer):
            return problem(
                "revocation.ocsp-responder",
                "whether the certificate of the OCSP responder {responder} is revoked cannot "
                "be told, or it is",
                responder=signer.subject_text,
            )
        return unfit


def _made(said: OcspStatement) -> datetime:
    return max(said.single.this_update, said.response.produced_at)


def _of_the_future(said: OcspStatement) -> Problem:
    return problem(
        "revocation.ocsp-future",
        "the OCSP response of {responder} is of {day}, which is in the future; is the clock right?",
        responder=said.responder.subject_text,
        day=minute(_made(said)),
    )


def _stale(cert: ParsedCertificate, said: OcspStatement) -> Problem:
    return problem(
        "revocation.ocsp-stale",
        "the newest OCSP response about {subject} (of {responder}) was valid until {until}; "
        "whether it is revoked cannot be told",
        subject=cert.subject_text,
        responder=said.responder.subject_text,
        until=minute(said.single.next_update),
    )


def _is_named(signer: ParsedCertificate, response: OcspResponse) -> bool:
    """ResponderID: by the name or by the SHA-1 of the key (RFC 6960 §4.2.1)."""
    if response.responder_name is not None:
        return signer.subject == response.responder_name
    return key_hash(signer) == response.responder_key_hash


def _same_authority(signer: ParsedCertificate, issuer: ParsedCertificate) -> bool:
    """The CA itself; also by another certificate of the same name and key."""
    return signer.spki == issuer.spki and signer.subject == issuer.subject


def _not_appointed(
    signer: ParsedCertificate, issuer: ParsedCertificate, moment: datetime, allow_legacy: bool
) -> Problem | None:
    """Why a certificate is none of a responder whom `issuer` appointed, or None.

    Issued directly by that CA, by the same key as what it speaks of (RFC 6960 §4.2.2.2): the
    responder of a sister CA, even below the same anchor, speaks for its own certificates only.
    """
    usages = signer.extended_key_usage
    if usages is None or ExtendedKeyUsageOID.OCSP_SIGNING not in usages:
        why = "it is not for signing OCSP responses (extendedKeyUsage)"
    elif signer.issuer != issuer.subject or not signer.signed_by(issuer):
        why = "it was not issued by that CA itself"
    elif not signer.not_before <= moment <= signer.not_after:
        why = "it is not valid at this time"
    elif signer.key_usage is not None and not (
        signer.key_usage.digital_signature or signer.key_usage.content_commitment
    ):
        why = "its key may not sign (keyUsage)"
    elif signer.unknown_critical:
        why = "it has a critical extension that is not known here"
    else:
        return judge_signature(signer.x509, moment, allow_legacy=allow_legacy)
    return problem(
        "revocation.ocsp-responder",
        "the certificate of {responder} does not let it speak for {issuer}: " + why,
        responder=signer.subject_text,
        issuer=issuer.subject_text,
    )


def has_nocheck(cert: ParsedCertificate) -> bool:
    """id-pkix-ocsp-nocheck: the CA asks for no check of this responder (RFC 6960 §4.2.2.2.1)."""
    return any(extension.oid == x509.OCSPNoCheck.oid for extension in cert.x509.extensions)


def _other_certificate(cert: ParsedCertificate, response: OcspResponse) -> Problem:
    return problem(
        "revocation.ocsp-other",
        "the OCSP response of {responder} does not speak of the certificate of {subject}",
        responder=response.responder,
        subject=cert.subject_text,
    )


def _revoked(cert: ParsedCertificate, said: OcspStatement) -> Problem:
    single = said.single
    if (
        said.response.extended_revoked
        and single.reason == HOLD
        and single.revoked_at == _NEVER_ISSUED
    ):
        return problem(
            "revocation.revoked",
            "the certificate {serial} of {subject} was never issued, says the OCSP responder "
            "{responder}",
            serial=f"{cert.serial:x}",
            subject=cert.subject_text,
            responder=said.responder.subject_text,
        )
    return problem(
        "revocation.revoked",
        "the certificate {serial} of {subject} was revoked on {day} ({reason}), "
        "OCSP response of {responder} of {produced}",
        serial=f"{cert.serial:x}",
        subject=cert.subject_text,
        day="-" if single.revoked_at is None else minute(single.revoked_at),
        reason=single.reason or "unspecified",
        responder=said.responder.subject_text,
        produced=minute(said.response.produced_at),
    )
