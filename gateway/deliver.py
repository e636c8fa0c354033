"""The way out, step 7: sealed octets go to the next hop, and what became of them is recorded.

Sending (`send`) and recording (`record_outcomes`) are apart: nothing is recorded that the peer
did not say, and what is recorded is committed by the worker in one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from archive.store import Draft
from gateway.accept import recipient_fields
from gateway.clock import to_micros
from gateway.failpoint import failpoint
from gateway.mail import RcptOptions
from gateway.outbound.work import Failure
from gateway.queue.jobs import Job, Recipient, SealedGroup, problem_to_json
from gateway.queue.states import State
from gateway.routes import Routes
from gateway.smtp.client import Deliverer, Outcome, Result
from gateway.smtp.notify import NEVER
from gateway.smtp.wishes import Wishes
from pki.errors import Problem

log = structlog.get_logger()


async def send(
    deliverer: Deliverer,
    routes: Routes,
    job: Job,
    groups: Mapping[str, SealedGroup],
    *,
    postmaster: str,
) -> list[tuple[Recipient, Outcome]]:
    """One delivery a group, side by side; an outcome for each due recipient that has a group.

    postmaster: who gets what servers behind the next hop report of a copy.
    """
    transactions = []
    for group in groups.values():
        members = [r for r in job.due if r.group_id == group.id]
        if members:
            transactions.append(_send_group(deliverer, routes, job, group, members, postmaster))
    results = await asyncio.gather(*transactions)
    return [pair for result in results for pair in result]


async def _send_group(
    deliverer: Deliverer,
    routes: Routes,
    job: Job,
    group: SealedGroup,
    members: Sequence[Recipient],
    postmaster: str,
) -> list[tuple[Recipient, Outcome]]:
    route = routes.get(group.route)
    hop = None if route is None else route.hop_with(group.tls)
    if hop is None:
        text = f"the route {group.route} is no longer configured"
        if route is not None:
            text = f"the route {group.route} has no CA for the verified TLS that a rule demands"
        lost = [Outcome(m.address, Result.TEMPORARY, 0, "4.4.4", text, "") for m in members]
        return list(zip(members, lost, strict=True))
    failpoint("deliver.connecting")
    # Nobody outside is told of a copy: its sender is the house, and hears of it.
    copied = bool(job.sender) and all(m.copied_by for m in members)
    outcomes = await deliverer.deliver(
        hop,
        postmaster if copied else job.sender,
        [m.address for m in members],
        group.emitted,
        eight_bit=not group.emitted.isascii(),
        smtputf8="SMTPUTF8" in job.parameters,
        on_dot_sent=lambda: failpoint("deliver.dot-sent"),
        wishes=_wishes(job, group, members, copied=copied),
    )
    failpoint("deliver.reply-read")
    return list(zip(members, outcomes, strict=True))


def _wishes(job: Job, group: SealedGroup, members: Sequence[Recipient], *, copied: bool) -> Wishes:
    """What the next hop is told that the sender asked of notices.

    Of an encrypted mail only the header shall come back, whatever was asked: behind the next hop
    another gateway may open it, and RET=FULL would have the plaintext sent back in a notice
    (docs/decisions/0014).
    """
    if not job.sender:
        # RFC 3461 §6.1: of a notice nobody reports anything.
        return Wishes(recipients={m.address: RcptOptions(NEVER, m.orcpt) for m in members})
    return Wishes(
        ret="HDRS" if group.treatment == "encrypted" else job.parameters.get("RET", ""),
        envid="" if copied else job.parameters.get("ENVID", ""),
        recipients={m.address: RcptOptions(m.notify, m.orcpt) for m in members},
    )


def record_outcomes(
    job: Job,
    outcomes: Sequence[tuple[Recipient, Outcome]],
    groups: Mapping[str, SealedGroup],
    *,
    now: datetime,
) -> tuple[list[Draft], list[Failure]]:
    """Set the state of each recipient; log entries, and the failures the sender must hear of."""
    micros = to_micros(now)
    entries: dict[tuple[str, str, int, str, str], list[tuple[Recipient, Outcome]]] = {}
    failures: list[Failure] = []
    for recipient, outcome in outcomes:
        assert recipient.group_id is not None
        kind = _settle(job, recipient, outcome, micros)
        if kind == "failed":
            encrypted = groups[recipient.group_id].treatment == "encrypted"
            problem = _problem(outcome, kind)
            failures.append(Failure(recipient, problem, outcome.status, encrypted))
        key = (kind, recipient.group_id, outcome.code, outcome.text, outcome.queued_as)
        entries.setdefault(key, []).append((recipient, outcome))
    drafts = []
    for (kind, group_id, *_), members in entries.items():
        outcome = members[0][1]
        fields = {
            "group": group_id.encode(),
            "emitted.sha256": groups[group_id].sha256.encode(),
            "next-hop": outcome.host.encode(),
            "tls": outcome.tls.encode(),
            "reply": f"{outcome.code} {outcome.status} {outcome.text}".encode(),
            "queued-as": outcome.queued_as.encode(),
            "uncertain": b"yes" if outcome.uncertain else b"no",
            **recipient_fields("recipient", [recipient.address for recipient, _ in members]),
        }
        drafts.append(Draft(kind, job.org, job.archive_id, fields))
    return drafts, failures


def _settle(job: Job, recipient: Recipient, outcome: Outcome, now: int) -> str:
    if outcome.result is Result.DELIVERED:
        recipient.state = State.DELIVERED
        recipient.next_attempt_at = None
        recipient.reason = ""
        return "delivered"
    final = outcome.result is Result.PERMANENT or job.expired(recipient, now)
    recipient.reason = problem_to_json(_problem(outcome, "failed" if final else "deferred"))
    if final:
        recipient.state = State.FAILED
        recipient.next_attempt_at = None
        return "failed"
    return "deferred"


def _problem(outcome: Outcome, kind: str) -> Problem:
    return Problem(f"delivery.{kind}", "{host} answered: {text}", _facts(outcome))


def _facts(outcome: Outcome) -> dict[str, str]:
    reply = f"{outcome.code} {outcome.status} {outcome.text}" if outcome.code else outcome.text
    facts = {"host": outcome.host or "-", "text": outcome.said or reply}
    # It may have arrived: only time and `queue.retry` make it go again, nothing hurries it.
    return {**facts, "uncertain": "yes"} if outcome.uncertain else facts


def failed_drafts(job: Job, failures: Sequence[Failure], *, by: str = "") -> list[Draft]:
    """Settle recipients who are refused before anything was sent; their `failed` entries.

    by: the person who decided it, where a person did.
    """
    drafts = []
    for failure in failures:
        recipient = failure.recipient
        recipient.state = State.FAILED
        recipient.next_attempt_at = None
        recipient.reason = problem_to_json(failure.problem)
        fields = {
            "reason": problem_to_json(failure.problem).encode(),
            "status": failure.status.encode(),
            "decision.000000": recipient.decision.encode(),
            **recipient_fields("recipient", [recipient.address]),
        }
        if by:
            fields["by"] = by.encode()
        drafts.append(Draft("failed", job.org, job.archive_id, fields))
    return drafts


def log_outcomes(
    job: Job,
    outcomes: Sequence[tuple[Recipient, Outcome]],
    groups: Mapping[str, SealedGroup],
) -> None:
    """One line a recipient: where it went and what was said."""
    for recipient, outcome in outcomes:
        group = groups.get(recipient.group_id or "")
        settled = recipient.state is State.DELIVERED
        (log.info if settled else log.warning)(
            str(recipient.state) if recipient.state is not State.QUEUED else "deferred",
            id=job.archive_id,
            recipient=recipient.address,
            route="-" if group is None else group.route,
            code=outcome.code or "no-reply",
            status=outcome.status,
            host=outcome.host,
            tls=outcome.tls,
            reply=f"{outcome.code} {outcome.status} {outcome.text}",
            attempt=recipient.attempts,
        )
