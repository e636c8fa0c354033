"""What a person announced that he can read, beside his certificate, and whether he signed it. Pure.

Found in directories (RFC 2798 §2.8), in files of them, and in signed mail (RFC 8551 §2.5.2).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime

from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, CertificateRefused, problem
from pki.models import Candidate, Purpose, Refusal, SignedCapabilities
from pki.path import Material
from pki.smimevalue import capabilities_hold
from pki.usage import purpose_problem
from pki.verdict import Judged, judge


def with_capabilities(
    verdict: Judged, candidate: Candidate, material: Material, moment: datetime
) -> tuple[Judged, tuple[Refusal, ...]]:
    """The verdict with the capabilities that this person signed, and those that are not believed.

    The signer is the certificate itself, if it may sign, or another one of the same person: valid
    for this address, trusted and not revoked as for a mail that he signed (RFC 8551 §2.5.2, S21).
    """
    if candidate.believed and not candidate.capabilities:
        certificate = replace(verdict.certificate, capabilities=candidate.believed)
        return Judged(certificate, verdict.until), ()
    refused: list[Refusal] = []
    for claim in candidate.capabilities:
        believed, until = _believed(claim, verdict, material, moment)
        if believed:
            certificate = replace(verdict.certificate, capabilities=claim.oids)
            return Judged(certificate, min(verdict.until, until)), tuple(refused)
        refused.append(
            Refusal(
                sha256=hashlib.sha256(claim.signer).hexdigest(),
                subject="",
                source=candidate.source,
                problem=problem(
                    "signature.capabilities",
                    "capabilities found with the certificate of {address} are not believed: they "
                    "are not signed by a valid certificate of {address}",
                    address=verdict.certificate.address,
                ),
            )
        )
    return verdict, tuple(refused)


def _believed(
    claim: SignedCapabilities, verdict: Judged, material: Material, moment: datetime
) -> tuple[bool, datetime]:
    """Whether this person signed it, and until when that is known."""
    if not capabilities_hold(claim, moment):
        return False, moment
    signer = ParsedCertificate(claim.signer)
    if claim.signer == verdict.certificate.der:
        return purpose_problem(signer, Purpose.SIGN, moment) is None, verdict.until
    try:
        proved = judge(
            signer,
            address=verdict.certificate.address,
            purpose=Purpose.SIGN,
            moment=moment,
            material=material,
            source=verdict.certificate.source,
        )
    except (CertificateRefused, CannotJudge):
        return False, moment
    return True, proved.until
