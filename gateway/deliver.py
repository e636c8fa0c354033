"""The way out, step 7: sealed octets go to the next hop, and what became of them is recorded.

Sending (`send`) and recording (`record_outcomes`) are apart: nothing is recorded that the peer
did not say, and what is recorded is committed by the worker in one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from archive.entry import new_archive_id
from archive.errors import ArchiveError
from archive.recipients import ArchiveRecipient
from archive.seal import seal
from archive.store import Draft
from archive.working import WorkingKeys
from gateway.accept import notice_fields, recipient_fields
from gateway.clock import from_micros, to_micros
from gateway.dsn import FailedRecipient, failure_notice
from gateway.failpoints import hit
from gateway.outbound import Failure
from gateway.queue.jobs import Job, NewMessage, Recipient, SealedGroup, problem_to_json
from gateway.queue.states import State
from gateway.routes import Routes
from gateway.smtp.client import Deliverer, Outcome, Result
from pki.errors import Problem

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice to be queued, with its archive entry."""

    draft: Draft
    message: NewMessage


async def send(
    deliverer: Deliverer, routes: Routes, job: Job, groups: Mapping[str, SealedGroup]
) -> list[tuple[Recipient, Outcome]]:
    """One delivery a group, side by side; an outcome for each due recipient that has a group."""
    transactions = []
    for group in groups.values():
        members = [r for r in job.due if r.group_id == group.id]
        if members:
            transactions.append(_send_group(deliverer, routes, job, group, members))
    results = await asyncio.gather(*transactions)
    return [pair for result in results for pair in result]


async def _send_group(
    deliverer: Deliverer,
    routes: Routes,
    job: Job,
    group: SealedGroup,
    members: Sequence[Recipient],
) -> list[tuple[Recipient, Outcome]]:
    route = routes.get(group.route)
    if route is None:
        text = f"the route {group.route} is no longer configured"
        lost = [Outcome(m.address, Result.TEMPORARY, 0, "4.4.4", text, "") for m in members]
        return list(zip(members, lost, strict=True))
    hit("deliver.connecting")
    outcomes = await deliverer.deliver(
        route.hop,
        job.sender,
        [m.address for m in members],
        group.emitted,
        eight_bit=not group.emitted.isascii(),
        smtputf8="SMTPUTF8" in job.parameters,
        on_dot_sent=lambda: hit("deliver.dot-sent"),
    )
    hit("deliver.reply-read")
    return list(zip(members, outcomes, strict=True))


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
        kind = _settle(recipient, outcome, micros)
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


def _settle(recipient: Recipient, outcome: Outcome, now: int) -> str:
    if outcome.result is Result.DELIVERED:
        recipient.state = State.DELIVERED
        recipient.next_attempt_at = None
        recipient.reason = ""
        return "delivered"
    final = outcome.result is Result.PERMANENT or now >= recipient.expires_at
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
    return {"host": outcome.host or "-", "text": reply}


@dataclass(frozen=True, slots=True)
class Notices:
    """Writes DSNs: what a sender must know of recipients who will not get the mail."""

    org: str
    hostname: str
    postmaster: str
    language: str
    recipients: tuple[ArchiveRecipient, ...]
    working_keys: WorkingKeys
    expire_micros: int

    def write(
        self, job: Job, failures: Sequence[Failure], *, original: Callable[[], bytes], now: datetime
    ) -> Notice | None:
        """The notice for these failures; None when the mail has the null sender (RFC 5321 §6.1:
        never a notice for a notice).

        original: gives the mail as it came; only called when a notice is written. Where it raises
            ArchiveError or KeyError, the notice comes without a part of the mail: a mail that
            cannot be opened any more is one whose sender must hear all the more.
        """
        if not failures or not job.sender:
            return None
        failed = [
            FailedRecipient(
                address=failure.recipient.address,
                status=failure.status,
                diagnostic=failure.problem.facts.get("text", "")
                if failure.problem.code.startswith("delivery.")
                else failure.problem.text,
                remote_mta=failure.problem.facts.get("host", ""),
                last_attempt=now,
            )
            for failure in failures
        ]
        content = failure_notice(
            reporting_mta=self.hostname,
            postmaster=self.postmaster,
            original=_readable(original, job.archive_id),
            original_sender=job.sender,
            failed=failed,
            arrival=from_micros(job.accepted_at),
            moment=now,
            archive_id=job.archive_id,
            language="fr" if self.language == "fr" else "en",
            headers_only=any(failure.encrypted for failure in failures),
        )
        archive_id = new_archive_id()
        sealed = seal(content, {}, self.recipients, self.working_keys.current(now), archive_id)
        micros = to_micros(now)
        return Notice(
            Draft(
                "accepted",
                self.org,
                archive_id,
                notice_fields(job.sender, job.archive_id, now),
                sealed,
            ),
            NewMessage(
                archive_id=archive_id,
                org=self.org,
                kind="notice",
                sender="",
                author="",
                parameters={},
                sha256=sealed.content_sha256,
                size=len(content),
                accepted_at=micros,
                expires_at=micros + self.expire_micros,
                recipients=(job.sender,),
            ),
        )


def _readable(original: Callable[[], bytes], archive_id: str) -> bytes:
    try:
        return original()
    except (ArchiveError, KeyError) as error:
        log.error("notice_without_original", id=archive_id, reason=str(error))
        return b""


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
