"""One recipient, steps 3 and 4 of docs/flow.md: what a rule says, and what is there to do it with.

Who cannot be served is put down as held, deferred or refused at once (`unserved`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.outbound.route import no_ca, no_route
from gateway.outbound.unserved import refuse, wait
from gateway.outbound.work import Work
from gateway.policy import (
    Action,
    ClearTextAllowed,
    Decision,
    Encrypt,
    Hold,
    Mail,
    Policy,
    Refuse,
    SendPlain,
    SendSigned,
    Undecided,
    settle,
)
from gateway.queue.jobs import Recipient
from gateway.record import decision_record, undecided_record
from gateway.routes import Route, Routes
from gateway.signers import CannotSign, Chosen, Signers
from gateway.smime.algorithms import Cipher
from gateway.smime.choose import DomainCrypto, Treatment, choose, choose_outer
from gateway.smime.encrypt import Recipient as EnvelopeRecipient
from pki.addresses import canonical
from pki.errors import AddressError, Problem
from pki.models import Certified, Finding


@dataclass(slots=True)
class Candidate:
    """A recipient who can be served, and how. `clear` is None for those who get ciphertext."""

    recipient: Recipient
    address: str
    decision: Decision
    finding: Finding | None
    route: Route
    signer: Chosen | None
    envelope: EnvelopeRecipient | None = None
    algorithms: Treatment | None = None
    outer: EnvelopeRecipient | None = None  # of the envelope around, where two are agreed
    outer_algorithms: Treatment | None = None
    clear: ClearTextAllowed | None = None
    reason: Problem | None = None

    @property
    def cipher(self) -> Cipher | None:
        return None if self.algorithms is None else self.algorithms.cipher


def address_of(recipient: Recipient) -> str:
    """His address in canonical form; "" where it has none."""
    try:
        return canonical(recipient.address)
    except AddressError:
        return ""


def find_candidate(
    work: Work,
    mail: Mail,
    findings: Mapping[str, Finding],
    moment: datetime,
    recipient: Recipient,
    *,
    policy: Policy,
    routes: Routes,
    signers: Signers,
) -> Candidate | None:
    """Steps 3 and 4 for one recipient; None when he is held, deferred or refused instead.

    findings: what the finder said, by canonical address.
    """
    address = address_of(recipient)
    if not address:
        problem = Problem(
            "identity.address",
            "{address} is not an address that can be compared",
            {"address": recipient.address},
        )
        refuse(work, recipient, problem, "", encrypted=True)
        return None
    decision = policy.decide(mail, address)
    if isinstance(decision, Undecided):
        reason, record = decision.problem, undecided_record(decision)
        wait(work, recipient, reason, record, moment=moment, held=False)
        return None
    if decision.action is Action.HOLD and recipient.released == decision.action_rule:
        decision = replace(decision, action=Action.SEND)
    finding = findings.get(address)
    treatment = _settled(work, recipient, decision, finding, moment)
    if treatment is None:
        return None
    route = routes.find(address, named=decision.route)
    signer = signers.choose(work.job.author, decision.sign, moment)
    problem_ = no_route(address) if route is None else no_ca(route, decision)
    held = isinstance(signer, CannotSign) and signer.held
    if isinstance(signer, CannotSign):
        problem_ = signer.problem
    if problem_ is not None or route is None or isinstance(signer, CannotSign):
        assert problem_ is not None
        record = decision_record(
            decision,
            "held" if held else "deferred",
            reason=problem_,
            finding=finding,
            copied_by=recipient.copied_by,
        )
        wait(work, recipient, problem_, record, moment=moment, held=held)
        return None
    candidate = Candidate(recipient, address, decision, finding, route, signer)
    if isinstance(treatment, Encrypt):
        return candidate if _choose_envelopes(work, candidate, treatment, moment) else None
    candidate.clear = treatment.clear
    candidate.reason = treatment.reason
    return candidate


def _settled(
    work: Work,
    recipient: Recipient,
    decision: Decision,
    finding: Finding | None,
    moment: datetime,
) -> Encrypt | SendSigned | SendPlain | None:
    """How he is sent it, by rule and certificate; None when he is held, deferred or refused."""
    treatment = settle(decision, finding)
    if isinstance(treatment, Refuse) and recipient.copied_by:
        # Nobody outside is told of a copy: what keeps it from going must be seen here.
        treatment = Hold(treatment.reason, temporary=False)
    if isinstance(treatment, Refuse):
        record = decision_record(decision, "refused", reason=treatment.reason, finding=finding)
        refuse(work, recipient, treatment.reason, record, encrypted=True)
        return None
    if isinstance(treatment, Hold):
        outcome = "deferred" if treatment.temporary else "held"
        certificate = finding.certificate if isinstance(finding, Certified) else None
        if certificate is not None:  # what lacks is one for a second envelope
            work.name(certificate)
        record = decision_record(
            decision,
            outcome,
            reason=treatment.reason,
            finding=finding,
            certificate=certificate,
            copied_by=recipient.copied_by,
        )
        wait(
            work,
            recipient,
            treatment.reason,
            record,
            moment=moment,
            held=not treatment.temporary,
        )
        return None
    return treatment


def _choose_envelopes(
    work: Work, candidate: Candidate, treatment: Encrypt, moment: datetime
) -> bool:
    """Algorithms for his envelope, or his two; False when there are none and he is held."""
    recipient, decision = candidate.recipient, candidate.decision
    algorithms = choose(treatment.certificate, DomainCrypto(decision.crypto.value))
    if not isinstance(algorithms, Treatment):
        reason = Problem(
            algorithms.reason.code, algorithms.reason.template, algorithms.reason.facts
        )
        record = decision_record(
            decision,
            "held",
            reason=reason,
            finding=candidate.finding,
            copied_by=recipient.copied_by,
        )
        wait(work, recipient, reason, record, moment=moment, held=True)
        return False
    candidate.algorithms = algorithms
    candidate.envelope = EnvelopeRecipient(treatment.certificate, algorithms.transport)
    if treatment.post_quantum is not None:
        around = choose_outer(treatment.post_quantum)
        candidate.outer_algorithms = around
        candidate.outer = EnvelopeRecipient(treatment.post_quantum, around.transport)
    return True
