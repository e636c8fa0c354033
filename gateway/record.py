"""Why a recipient got what he got, as it stands in the log and in the queue (invariant I4)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache

from gateway import sortedjson
from gateway.clock import rfc3339
from gateway.policy import Decision, Undecided
from gateway.smime.choose import Treatment
from pki.errors import Problem
from pki.models import CheckedCertificate, Finding, Refusal, RevocationEvidence


def decision_record(
    decision: Decision,
    outcome: str,
    *,
    reason: Problem | None = None,
    finding: Finding | None = None,
    certificate: CheckedCertificate | None = None,
    algorithms: Treatment | None = None,
    outer: CheckedCertificate | None = None,
    outer_algorithms: Treatment | None = None,
    signer: Mapping[str, object] | None = None,
    receipt: str = "",
    header: Mapping[str, object] | None = None,
    copied_by: str = "",
) -> str:
    """One JSON text: rule, certificate and where it was found, path, CRLs, moment, algorithms.

    outcome: "encrypted", "signed", "plain", "held", "deferred" or "refused".
    outer, outer_algorithms: of the envelope around that one, where two are agreed.
    signer: who signs inside, as `gateway.signers.Chosen.record` says it.
    receipt: identifier of the receipt request in the signature. header: what was agreed and done
        about header fields (`gateway.payload`). copied_by: the rule that wanted this recipient to
        get a copy.
    """
    record: dict[str, object] = {
        "outcome": outcome,
        "rule": decision.rule,
        "sender": decision.sender,
        "recipient": decision.recipient,
        "encryption": decision.encryption.value,
        "without-certificate": decision.without_certificate.value,
        "sign": decision.sign.value,
        "policy": decision.policy,
    }
    if len(decision.rules) > 1:
        record["rules"] = list(decision.rules)
    if decision.encryption_rule != decision.rule:
        record["encryption-rule"] = decision.encryption_rule
    if decision.tls is not None:
        record["tls"] = decision.tls.value
    if decision.copies:
        record["copies"] = [copy.address for copy in decision.copies]
    if outcome == "held":
        # Nobody outside is told of a copy.
        record["tell-sender-when-held"] = decision.tell_held and not copied_by
    if receipt:
        record["receipt-request"] = {"identifier": receipt, "to": decision.sender}
    if header is not None:
        record["header-protection"] = dict(header)
    if copied_by:
        record["copied-by"] = copied_by
    if reason is not None:
        record["reason"] = _problem(reason)
    if certificate is not None:
        record["certificate"] = _certificate(certificate)
    if finding is not None:
        record["looked-in"] = list(finding.looked_in)
        if finding.refused:
            record["refused"] = [_refusal(each) for each in finding.refused]
    if algorithms is not None:
        record.update(_algorithms(algorithms))
    if outer is not None and outer_algorithms is not None:
        record["outer-envelope"] = {
            "certificate": _certificate(outer),
            **_algorithms(outer_algorithms),
        }
    if signer is not None:
        record["signer"] = dict(signer)
    return sortedjson.encode(record)


def undecided_record(undecided: Undecided) -> str:
    """The same for mail that waits because nobody can tell which rule decides."""
    record = {
        "outcome": "deferred",
        "undecided-rule": undecided.rule,
        "sender": undecided.sender,
        "recipient": undecided.recipient,
        "policy": undecided.policy,
        "reason": _problem(undecided.problem),
    }
    return sortedjson.encode(record)


def _algorithms(chosen: Treatment) -> dict[str, object]:
    return {
        "cipher": chosen.cipher.value,
        "key-management": chosen.transport.value,
        "algorithms-because": {"code": chosen.reason.code, "text": chosen.reason.text},
    }


def _problem(problem: Problem) -> dict[str, str]:
    return {"code": problem.code, "text": problem.text}


def _refusal(refusal: Refusal) -> dict[str, object]:
    return {
        "certificate-sha256": refusal.sha256,
        "subject": refusal.subject,
        "source": refusal.source,
        "problem": _problem(refusal.problem),
    }


@lru_cache(maxsize=4096)  # a verdict is used for many mails
def _certificate(checked: CheckedCertificate) -> dict[str, object]:
    return {
        "sha256": checked.sha256,
        "subject": checked.certificate.subject.rfc4514_string(),
        "source": checked.source,
        **({"domain": checked.domain} if checked.domain else {}),
        "anchor": checked.anchor,
        "moment": rfc3339(checked.moment),
        "path-sha256": [_sha256(der) for der in checked.path],
        "revocation": [
            {
                "issuer": crl.issuer,
                "subject": crl.subject,
                "number": None if crl.number is None else str(crl.number),
                "this-update": rfc3339(crl.this_update),
                "next-update": rfc3339(crl.next_update),
                "sha256": crl.sha256,
                "source": crl.source,
                **_responder(crl),
            }
            for crl in checked.revocation
        ],
    }


def _responder(said: RevocationEvidence) -> dict[str, str]:
    """What an OCSP response has beyond a CRL; records of CRLs are as they have always been."""
    if said.produced_at is None:
        return {}
    return {
        "kind": said.kind,
        "responder": said.responder,
        "produced-at": rfc3339(said.produced_at),
    }


@lru_cache(maxsize=4096)
def _sha256(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()
