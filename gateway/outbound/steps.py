"""Steps 3 to 6 in order: what is asked beforehand, who can be served, group after group sealed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from gateway.clock import from_micros
from gateway.groups import memberships
from gateway.mime.entity import split
from gateway.outbound.alike import treated_alike
from gateway.outbound.candidate import address_of, find_candidate
from gateway.outbound.copies import add_copies
from gateway.outbound.group import seal_group
from gateway.outbound.inside import Inside
from gateway.outbound.notice import seal_notice
from gateway.outbound.unserved import note_fault, put_off
from gateway.outbound.work import Work
from gateway.policy import NO_HEADER, Header, Mail, Policy, WholeHeader
from gateway.queue.jobs import Job
from gateway.routes import Routes
from gateway.signers import Signers
from pki.errors import TokenTrouble
from pki.groups import GroupSource
from pki.models import Finding

# Octets sealed or sent for one message at a time: for hundreds of blind recipients the memory would
# have to hold a large one hundreds of times.
AT_ONCE = 16_000_000


@dataclass(frozen=True, slots=True)
class Outbound:
    """The crafts of the way out, wired together."""

    hostname: str
    policy: Policy
    routes: Routes
    signers: Signers
    groups: GroupSource | None = None  # None: no directory tells of groups

    # -- before step 3: what rules hang on -----------------------------------------------------

    def addresses_to_find(self, jobs: Iterable[Job]) -> list[str]:
        """Canonical addresses whose certificates the policy asks for, each once."""
        wanted: dict[str, None] = {}
        for job in jobs:
            if job.kind == "notice":
                continue
            for recipient in job.due:
                if recipient.group_id is None and (address := address_of(recipient)):
                    found = self.policy.addresses_to_find(_mail(job), address)
                    wanted.update(dict.fromkeys(found))
        return list(wanted)

    def learn_groups(self, jobs: Iterable[Job]) -> None:
        """Ask directories for the groups that rules hang on; may block on the network."""
        for job in jobs:
            mail = _mail(job)
            recipients = {
                address
                for recipient in job.due
                if job.kind != "notice" and recipient.group_id is None
                if (address := address_of(recipient))
            }
            for one in tuple(recipients):
                recipients |= self.policy.possible_copies(mail, one)
            members = {m for one in recipients for m in self.policy.group_members(mail, one)}
            job.groups = memberships(self.groups, sorted(members))

    # -- steps 3 to 6 --------------------------------------------------------------------------

    def seal(
        self, job: Job, raw: bytes, findings: Mapping[str, Finding], *, moment: datetime
    ) -> Work:
        """Seal a mail for those of its due recipients who have no sealed group yet.

        Recipients of `job` are changed in place (held, refused, deferred, or given a group).
        """
        work = Work(job)
        for _ in self.sealing(work, raw, findings, moment=moment):
            pass
        return work

    def sealing(
        self, work: Work, raw: bytes, findings: Mapping[str, Finding], *, moment: datetime
    ) -> Iterator[None]:
        """The same in steps, for whoever seals many small mails: a step of all of them, then the
        next. What a mail goes through is more than the processor's caches hold, so that done for
        one mail after the other each step finds them full of the others.
        """
        job = work.job
        waiting = [r for r in job.due if r.group_id is None]
        if job.kind == "notice":
            seal_notice(work, waiting, raw, moment, self.routes)
            return
        message = split(raw)
        candidate_for = partial(
            find_candidate,
            work,
            _mail(job, WholeHeader(message)),
            findings,
            moment,
            policy=self.policy,
            routes=self.routes,
            signers=self.signers,
        )
        candidates = [
            candidate
            for recipient in waiting
            if (candidate := candidate_for(recipient)) is not None
        ]
        for source in tuple(candidates):
            for recipient in add_copies(work, source):
                candidate = candidate_for(recipient)
                candidates += [candidate] if candidate is not None else []
        yield
        signed: dict[str, Inside] = {}
        counted = octets = 0  # of groups; counted anew for each one, hundreds would cost the most
        for members in treated_alike(candidates, message):
            octets += sum(group.size for group in work.groups[counted:])
            counted = len(work.groups)
            if octets > AT_ONCE:
                put_off([member.recipient for member in members], moment)
                continue
            before = [replace(member.recipient) for member in members]
            try:
                yield from seal_group(work, message, members, signed, self.hostname)
            except (MemoryError, RecursionError):
                raise  # the mail itself is to blame
            except Exception as error:  # noqa: BLE001 - one group's fault is not that of the others
                for member, old in zip(members, before, strict=True):
                    member.recipient.group_id = old.group_id
                    member.recipient.decision = old.decision
                # A token that is away is no fault of ours, and comes back.
                trouble = error.problem if isinstance(error, TokenTrouble) else None
                note_fault(work, [member.recipient for member in members], moment, trouble)


def _mail(job: Job, header: Header = NO_HEADER) -> Mail:
    """What rules can ask of a mail."""
    return Mail(job.author, job.size, from_micros(job.accepted_at), header, job.groups)
