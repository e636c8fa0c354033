"""Which sender is told what, and when (RFC 3461 §5.2, §6): notices as messages to be queued.

Each is written once: the transaction that stores what has happened to a recipient stores the
notice of it too, and that its sender knows (`told`). A crash before it leaves neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from archive.entry import new_archive_id
from archive.errors import ArchiveError
from archive.recipients import ArchiveRecipient
from archive.seal import seal
from archive.store import Draft
from archive.working import WorkingKeys
from gateway.accept import notice_fields, recipient_fields
from gateway.clock import from_micros, to_micros
from gateway.dsn import About, Event, Languages, Report, notice
from gateway.outbound.work import Failure
from gateway.private import for_sender
from gateway.queue.jobs import Job, NewMessage, Recipient, SealedGroup, problem_from_json
from gateway.queue.states import State
from gateway.smtp.nexthop import Outcome, Result
from gateway.smtp.notify import wants
from gateway.statuses import status_for
from pki.errors import Problem

log = structlog.get_logger()

# What a sender was told of an open recipient (`recipients.told`).
TOLD_DELAYED = "delayed"
TOLD_HELD = "held"


@dataclass(frozen=True, slots=True)
class Telling:
    """What is to be told of some recipients of one message: one event, one notice.

    secret: of one of them at least the mail had to be encrypted.
    """

    event: Event
    reports: Sequence[Report]
    secret: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice to be queued. drafts: its archive entry, and what stands at the mail's own id."""

    drafts: tuple[Draft, ...]
    message: NewMessage


def tells_held(recipient: Recipient) -> bool:
    """What the rule that decided says about telling a sender that his mail is held; else yes."""
    if not recipient.decision:
        return True
    return json.loads(recipient.decision).get("tell-sender-when-held", True) is not False


@dataclass(frozen=True, slots=True)
class Notices:
    """Chooses and writes.

    expire: how long a notice is tried. warn: after which time a sender hears that his mail is
        still on its way; None: never. held_expire: how long held mail is kept; None: for ever.
    tell_held: whether policy wants a sender told that the mail for this recipient is held.
    """

    org: str
    hostname: str
    postmaster: str
    languages: Languages
    recipients: tuple[ArchiveRecipient, ...]
    working_keys: WorkingKeys
    expire: timedelta
    warn: timedelta | None
    held_expire: timedelta | None
    tell_held: Callable[[Recipient], bool] = tells_held

    # -- what is to be told --------------------------------------------------------------------

    def of_failures(
        self, job: Job, failures: Sequence[Failure], *, attempted: datetime | None
    ) -> list[Telling]:
        """attempted: when the attempt was made that failed; None where nothing was tried."""
        wanted = [f for f in failures if self.wanted(job, f.recipient, Event.FAILED)]
        reports = [_failed(failure, attempted) for failure in wanted]
        return _telling(Event.FAILED, reports, secret=any(f.encrypted for f in wanted))

    def of_held(
        self, job: Job, members: Iterable[Recipient], *, now: datetime, asked: bool = False
    ) -> list[Telling]:
        """Of these recipients, those who have become held; remembers that it is told.

        Told once: what is released and held again is no news to its sender.
        asked: a person wants it told, whatever policy says.
        """
        reports = []
        for recipient in members:
            if recipient.state is not State.HELD or recipient.told == TOLD_HELD:
                continue
            if self.wanted(job, recipient, Event.HELD) and (asked or self.tell_held(recipient)):
                recipient.told = TOLD_HELD
                reports.append(self._held(recipient, now))
        return _telling(Event.HELD, reports, secret=True)

    def of_attempt(
        self,
        job: Job,
        outcomes: Sequence[tuple[Recipient, Outcome]],
        failures: Sequence[Failure],
        groups: Mapping[str, SealedGroup],
        *,
        now: datetime,
    ) -> list[Telling]:
        """Everything an attempt gives occasion to; [] for nearly all of them."""
        if not job.sender:
            return []
        found = self.of_failures(job, failures, attempted=now) if failures else []
        relayed = [
            (recipient, outcome)
            for recipient, outcome in outcomes
            if recipient.notify
            and outcome.result is Result.DELIVERED
            and not outcome.dsn
            and self.wanted(job, recipient, Event.RELAYED)
        ]
        if relayed:
            reports = [_relayed(recipient, outcome, now) for recipient, outcome in relayed]
            secret = any(_is_secret(recipient, groups) for recipient, _ in relayed)
            found += _telling(Event.RELAYED, reports, secret=secret)
        if self.warn is not None and now >= from_micros(job.accepted_at) + self.warn:
            found += self._delayed(job, dict(_by_position(outcomes)), groups, now)
        return found

    def _delayed(
        self,
        job: Job,
        outcomes: Mapping[int, Outcome],
        groups: Mapping[str, SealedGroup],
        now: datetime,
    ) -> list[Telling]:
        late = [r for r in job.worked_on if r.state is State.QUEUED and not r.told]
        reports = []
        secret = False
        for recipient in late:
            if self.wanted(job, recipient, Event.DELAYED):
                recipient.told = TOLD_DELAYED
                reports.append(_waiting(recipient, outcomes.get(recipient.position), now))
                secret = secret or _is_secret(recipient, groups)
        return _telling(Event.DELAYED, reports, secret=secret)

    def _held(self, recipient: Recipient, now: datetime) -> Report:
        problem = problem_from_json(recipient.reason)
        since = now if recipient.held_at is None else from_micros(recipient.held_at)
        return Report(
            recipient.address,
            "4.7.1" if problem is None else status_for(problem, "4"),
            reason=for_sender(problem),
            orcpt=recipient.orcpt,
            until=None if self.held_expire is None else since + self.held_expire,
        )

    def wanted(self, job: Job, recipient: Recipient, event: Event) -> bool:
        """Whether his NOTIFY asks for it; never for a notice (RFC 5321 §6.1: null sender), nor for
        a copy that policy sent: that is the organisation's business, not the sender's.
        """
        return (
            bool(job.sender) and not recipient.copied_by and wants(recipient.notify, event.keyword)
        )

    # -- writing -------------------------------------------------------------------------------

    def write(
        self,
        job: Job,
        tellings: Iterable[Telling],
        *,
        original: Callable[[], bytes],
        now: datetime,
    ) -> list[Notice]:
        """The notices, to be committed together with what they tell.

        original: gives the mail as it came; only called when a notice is written. Where it raises
            ArchiveError or KeyError, the notice comes without a part of the mail: a mail that
            cannot be opened any more is one whose sender must hear all the more.
        """
        found = list(tellings)
        if not found:
            return []
        raw = _readable(original, job.archive_id)
        return [self._write(job, telling, raw, now) for telling in found]

    def _write(self, job: Job, telling: Telling, raw: bytes, now: datetime) -> Notice:
        about = About(
            archive_id=job.archive_id,
            raw=raw,
            sender=job.sender,
            arrival=from_micros(job.accepted_at),
            envid=job.parameters.get("ENVID", ""),
            received_from=job.parameters.get("helo", ""),
            secret=telling.secret,
            headers_only=job.parameters.get("RET") == "HDRS",
            smtputf8="SMTPUTF8" in job.parameters,
        )
        content = notice(
            telling.event,
            about,
            telling.reports,
            reporting_mta=self.hostname,
            postmaster=self.postmaster,
            languages=self.languages,
            moment=now,
        )
        message, accepted = self.message(content, job.sender, about=job.archive_id, now=now)
        fields = {
            "event": telling.event.value.encode(),
            "notice": message.archive_id.encode(),
            **recipient_fields("recipient", [report.address for report in telling.reports]),
        }
        notified = Draft("notified", job.org, job.archive_id, fields)
        return Notice((accepted, notified), message)

    def message(
        self,
        content: bytes,
        to: str,
        *,
        about: str,
        now: datetime,
        parameters: Mapping[str, str] | None = None,
    ) -> tuple[NewMessage, Draft]:
        """A mail of our own with the null sender: its queue rows, its archive entry.

        about: archive id of what it speaks of, or "". parameters: for its row in the queue.
        """
        archive_id = new_archive_id()
        sealed = seal(content, {}, self.recipients, self.working_keys.current(now), archive_id)
        message = NewMessage(
            archive_id=archive_id,
            org=self.org,
            kind="notice",
            sender="",
            author="",
            parameters=dict(parameters or {}),
            sha256=sealed.content_sha256,
            size=len(content),
            accepted_at=to_micros(now),
            expires_at=to_micros(now + self.expire),
            recipients=(to,),
        )
        fields = notice_fields(to, about, now)
        return message, Draft("accepted", self.org, archive_id, fields, sealed)


def _telling(event: Event, reports: Sequence[Report], *, secret: bool) -> list[Telling]:
    return [Telling(event, reports, secret)] if reports else []


def _failed(failure: Failure, attempted: datetime | None) -> Report:
    problem, recipient = failure.problem, failure.recipient
    delivery = problem.code.startswith("delivery.")
    return Report(
        recipient.address,
        failure.status,
        said=problem.facts.get("text", "") if delivery else "",
        reason=None if delivery else problem,
        remote_mta=problem.facts.get("host", "") if delivery else "",
        last_attempt=attempted,
        orcpt=recipient.orcpt,
        # A final failure has a code of class 5; one of class 4 is what time has made final.
        expired=failure.status.startswith("4"),
    )


def _waiting(recipient: Recipient, outcome: Outcome | None, now: datetime) -> Report:
    problem = for_sender(problem_from_json(recipient.reason))
    until = from_micros(recipient.expires_at)
    if outcome is not None:
        said = problem.facts.get("text", "") if problem is not None else outcome.text
        return Report(
            recipient.address,
            outcome.status,
            said=said,
            remote_mta=outcome.host,
            last_attempt=now,
            orcpt=recipient.orcpt,
            until=until,
        )
    problem = problem or Problem("limits.internal", "it has not been tried yet")
    return Report(
        recipient.address,
        status_for(problem, "4"),
        reason=problem,
        last_attempt=now,
        orcpt=recipient.orcpt,
        until=until,
    )


def _relayed(recipient: Recipient, outcome: Outcome, now: datetime) -> Report:
    return Report(
        recipient.address,
        outcome.status,
        said=outcome.said or f"{outcome.code} {outcome.status} {outcome.text}",
        remote_mta=outcome.host,
        last_attempt=now,
        orcpt=recipient.orcpt,
    )


def _is_secret(recipient: Recipient, groups: Mapping[str, SealedGroup]) -> bool:
    """Unless it is known that the mail may leave in clear for him, it may not."""
    group = groups.get(recipient.group_id or "")
    return group is None or group.treatment == "encrypted"


def _by_position(
    outcomes: Sequence[tuple[Recipient, Outcome]],
) -> Iterable[tuple[int, Outcome]]:
    return ((recipient.position, outcome) for recipient, outcome in outcomes)


def _readable(original: Callable[[], bytes], archive_id: str) -> bytes:
    try:
        return original()
    except (ArchiveError, KeyError) as error:
        log.error("notice_without_original", id=archive_id, reason=str(error))
        return b""
