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
from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, CertificateRefused, OcspRefused, Problem, problem
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
    """What one verified response says of one certificate. responder: name for people."""

    response: OcspResponse
    single: SingleResponse
    issuer: str
    responder: str

    @property
    def next_update(self) -> datetime:
        """Until when it may be used."""
        return self.single.next_update

    def evidence(self, cert: ParsedCertificate) -> tuple[RevocationEvidence, ...]:
        """What the record keeps: which response spoke for `cert`."""
        said = RevocationEvidence(
            issuer=self.issuer,
            number=None,
            this_update=self.single.this_update,
            next_update=self.next_update,
            sha256=self.response.sha256,
            subject=cert.subject_text,
            source=self.response.source,
            kind="ocsp",
            responder=self.responder,
            produced_at=self.response.produced_at,
        )
        return (said,)


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
    verified, why_not = _verified(cert, issuer, moment, responses, signers, vouched, allow_legacy)
    fresh = [one for one in verified if moment <= one.next_update + grace]
    for one in verified:
        # A revocation does not go stale; a hold may have been lifted since (RFC 5280 §5.3.1).
        if one.single.status == "revoked" and (one.single.reason != HOLD or one in fresh[:1]):
            raise CertificateRefused(_revoked(cert, one))
    if fresh and fresh[0].single.status == "good":
        return fresh[0]
    if fresh:
        raise CannotJudge(
            problem(
                "revocation.ocsp-unknown",
                "the OCSP responder {responder} does not know the certificate of {subject}; "
                "whether it is revoked cannot be told",
                responder=fresh[0].responder,
                subject=cert.subject_text,
            )
        )
    if verified:
        raise CannotJudge(
            problem(
                "revocation.ocsp-stale",
                "the newest OCSP response about {subject} (of {responder}) was valid until "
                "{until}; whether it is revoked cannot be told",
                subject=cert.subject_text,
                responder=verified[0].responder,
                until=_day(verified[0].next_update),
            )
        )
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
    verified, why_not = _verified(cert, issuer, moment, [response], signers, vouched, False)
    if not verified:
        raise OcspRefused(why_not or _other_certificate(cert, response))
    if moment > verified[0].next_update:
        raise OcspRefused(
            problem(
                "revocation.ocsp-stale",
                "the newest OCSP response about {subject} (of {responder}) was valid until "
                "{until}; whether it is revoked cannot be told",
                subject=cert.subject_text,
                responder=verified[0].responder,
                until=_day(verified[0].next_update),
            )
        )
    return verified[0]


def _verified(
    cert: ParsedCertificate,
    issuer: ParsedCertificate,
    moment: datetime,
    responses: Iterable[OcspResponse],
    signers: Sequence[ParsedCertificate],
    vouched: Callable[[ParsedCertificate], bool],
    allow_legacy: bool,
) -> tuple[list[OcspStatement], Problem | None]:
    """Statements about `cert` that hold, newest first, and why others do not count."""
    found: list[OcspStatement] = []
    why_not: Problem | None = None
    about = [
        (response, single)
        for response in responses
        for single in response.singles
        if single.cert_id.names(cert, issuer)  # RFC 6960 §3.2 (1)
    ]
    about.sort(key=lambda pair: (pair[1].this_update, pair[0].produced_at), reverse=True)
    for response, single in about:
        early = max(single.this_update, response.produced_at)
        if early > moment + SKEW:  # (5)
            why_not = why_not or problem(
                "revocation.ocsp-future",
                "the OCSP response of {responder} is of {day}, which is in the future; is the "
                "clock right?",
                responder=response.responder,
                day=_day(early),
            )
            continue
        speaker = _speaker(response, issuer, moment, signers, vouched, allow_legacy)
        if isinstance(speaker, Problem):
            why_not = why_not or speaker
            continue
        found.append(OcspStatement(response, single, issuer.subject_text, speaker.subject_text))
    return found, why_not


def _speaker(
    response: OcspResponse,
    issuer: ParsedCertificate,
    moment: datetime,
    signers: Sequence[ParsedCertificate],
    vouched: Callable[[ParsedCertificate], bool],
    allow_legacy: bool,
) -> ParsedCertificate | Problem:
    """RFC 6960 §4.2.2.2: who signed, if that one may speak for `issuer`; else why nobody may."""
    weak = judge_signature(response.signature, moment, allow_legacy=allow_legacy)
    if weak is not None:
        return weak
    reason = problem(
        "revocation.ocsp-signature",
        "the OCSP response of {responder} is not signed by {issuer} nor by a responder that it "
        "appointed",
        responder=response.responder,
        issuer=issuer.subject_text,
    )
    for signer in (issuer, *response.certificates, *signers):
        if not _is_named(signer, response) or not response.signature.made_by(signer.public_key):
            continue
        unfit = judge_key(
            Operation.VERIFY_KEY, signer.public_key, moment, allow_legacy=allow_legacy
        )
        if unfit is None and not _same_authority(signer, issuer):
            unfit = _not_appointed(signer, issuer, moment, allow_legacy)
            if unfit is None and not vouched(signer):
                unfit = problem(
                    "revocation.ocsp-responder",
                    "whether the certificate of the OCSP responder {responder} is revoked cannot "
                    "be told, or it is",
                    responder=signer.subject_text,
                )
        if unfit is None:
            return signer
        reason = unfit
    return reason


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
            responder=said.responder,
        )
    return problem(
        "revocation.revoked",
        "the certificate {serial} of {subject} was revoked on {day} ({reason}), "
        "OCSP response of {responder} of {produced}",
        serial=f"{cert.serial:x}",
        subject=cert.subject_text,
        day="-" if single.revoked_at is None else _day(single.revoked_at),
        reason=single.reason or "unspecified",
        responder=said.responder,
        produced=_day(said.response.produced_at),
    )


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
