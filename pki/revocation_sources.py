"""Which source is asked first, CRL or OCSP, and what counts when they differ. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from pki.anchors import RevocationSources
from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, problem
from pki.models import RevocationEvidence

_NOTHING = frozenset({"revocation.missing", "revocation.ocsp-missing"})


class Spoken(Protocol):
    """CRLs or an OCSP response that say that a certificate is not revoked."""

    @property
    def until(self) -> datetime:
        """Until when that holds, grace included."""
        ...

    def evidence(self, cert: ParsedCertificate) -> tuple[RevocationEvidence, ...]:
        """What the record keeps of them."""
        ...


Ask = Callable[[], Spoken]


def ask_in_order(
    cert: ParsedCertificate, order: RevocationSources, *, crl: Ask, ocsp: Ask
) -> Spoken:
    """The first source that can tell. Where there are two, both must not say "revoked".

    A CA that publishes a revocation in one place first is believed there: whoever can delay one
    of the two channels must not be able to hide what the other has brought.
    crl, ocsp: each raises CertificateRefused (revoked) or CannotJudge.
    Raises the same; CannotJudge with the reason of the first source that had anything to say.
    """
    asked = {
        RevocationSources.CRL: (crl,),
        RevocationSources.OCSP: (ocsp,),
        RevocationSources.CRL_THEN_OCSP: (crl, ocsp),
        RevocationSources.OCSP_THEN_CRL: (ocsp, crl),
    }[order]
    told: Spoken | None = None
    reasons = []
    for ask in asked:
        try:
            spoken = ask()
        except CannotJudge as error:
            reasons.append(error)
        else:
            told = told or spoken
    if told is not None:
        return told
    for reason in reasons:
        if reason.problem.code not in _NOTHING:
            raise reason
    if len(reasons) == 1:
        raise reasons[0]
    raise CannotJudge(
        problem(
            "revocation.missing",
            "no CRL of {issuer} is known, and no OCSP response about {subject}; whether it is "
            "revoked cannot be told",
            issuer=cert.issuer_text,
            subject=cert.subject_text,
        )
    )
