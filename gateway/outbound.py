"""The way out, steps 3 to 6 of docs/flow.md: decide, find, choose, sign, encrypt.

Everything here is done on one mail in memory; what comes out (`Work`) is committed by the worker
in one transaction before anything is sent.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from archive.store import Draft
from gateway.accept import recipient_fields
from gateway.clock import from_micros, to_micros
from gateway.failpoint import failpoint
from gateway.groups import memberships
from gateway.mime.canonical import CannotConvert, Transformation, to_7bit
from gateway.mime.entity import Message, split
from gateway.mime.headers import HeaderAmbiguous, visible_recipients
from gateway.mime.outgoing import assemble, forward, header
from gateway.mime.protect import CannotProtect
from gateway.mime.received import received_field
from gateway.payload import payload
from gateway.policy import (
    NO_HEADER,
    Action,
    ClearTextAllowed,
    Crypto,
    Decision,
    Encrypt,
    Header,
    HeaderProtection,
    Hold,
    Mail,
    Policy,
    Refuse,
    SendPlain,
    SendSigned,
    Undecided,
    WholeHeader,
    notice_in_clear,
    settle,
)
from gateway.queue.jobs import Job, Recipient, SealedGroup, problem_to_json
from gateway.queue.states import State
from gateway.record import decision_record, undecided_record
from gateway.routes import Route, Routes
from gateway.signers import CannotSign, Chosen, Signers
from gateway.smime.algorithms import Cipher
from gateway.smime.choose import DomainCrypto, Treatment, choose, choose_outer
from gateway.smime.encrypt import Recipient as EnvelopeRecipient
from gateway.smime.encrypt import encrypt
from gateway.smime.nested import encrypt_hybrid
from gateway.smime.receipt_request import ReceiptRequest
from gateway.smime.sign import Signed, sign
from gateway.statuses import status_for
from pki.addresses import canonical
from pki.errors import AddressError, Problem, TokenTrouble
from pki.groups import GroupSource
from pki.models import Certified, CheckedCertificate, Finding

log = structlog.get_logger()

# Octets sealed or sent for one message at a time: for hundreds of blind recipients the memory would
# have to hold a large one hundreds of times.
AT_ONCE = 16_000_000


@dataclass(frozen=True, slots=True)
class Failure:
    """A recipient for whom the mail will not leave, and why: told to the sender."""

    recipient: Recipient
    problem: Problem
    status: str
    encrypted: bool


@dataclass(slots=True)
class Work:
    """What sealing one message came to: rows and log entries that are committed together.

    certificates: DER of all that the decisions name by hash; they are kept as evidence.
    copies: recipients whom a rule added; they stand in `job` already.
    """

    job: Job
    groups: list[SealedGroup] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    copies: list[Recipient] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    certificates: set[bytes] = field(default_factory=set)

    def name(self, certificate: CheckedCertificate) -> None:
        """A decision names this one, and with it its path."""
        self.certificates.update((*certificate.path, certificate.der))


@dataclass(slots=True)
class _Candidate:
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


@dataclass(frozen=True, slots=True)
class Outbound:
    """The crafts of the way out, wired together."""

    hostname: str
    policy: Policy
    routes: Routes
    signers: Signers
    groups: GroupSource | None = None  # None: no directory tells of groups

    # -- step 3: policy ------------------------------------------------------------------------

    def addresses_to_find(self, jobs: Iterable[Job]) -> list[str]:
        """Canonical addresses whose certificates the policy asks for, each once."""
        wanted: dict[str, None] = {}
        for job in jobs:
            if job.kind == "notice":
                continue
            for recipient in job.due:
                if recipient.group_id is None and (address := _canonical(recipient)):
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
                if (address := _canonical(recipient))
            }
            for one in tuple(recipients):
                recipients |= self.policy.possible_copies(mail, one)
            members = {m for one in recipients for m in self.policy.group_members(mail, one)}
            job.groups = memberships(self.groups, sorted(members))

    # -- steps 4 to 6 --------------------------------------------------------------------------

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
            self._seal_notice(work, waiting, raw, moment)
            return
        message = split(raw)
        mail = _mail(job, WholeHeader(message))
        candidates = [
            candidate
            for recipient in waiting
            if (candidate := self._candidate(work, recipient, findings, mail, moment)) is not None
        ]
        for source in tuple(candidates):
            for recipient in _copies(work, source):
                candidate = self._candidate(work, recipient, findings, mail, moment)
                candidates += [candidate] if candidate is not None else []
        yield
        signed: dict[str, _Inside] = {}
        counted = octets = 0  # of groups; counted anew for each one, hundreds would cost the most
        for members in _treated_alike(candidates, _visible(message)):
            octets += sum(group.size for group in work.groups[counted:])
            counted = len(work.groups)
            if octets > AT_ONCE:
                put_off([member.recipient for member in members], moment)
                continue
            before = [replace(member.recipient) for member in members]
            try:
                yield from self._seal_group(work, message, members, signed)
            except (MemoryError, RecursionError):
                raise  # the mail itself is to blame
            except Exception as error:  # noqa: BLE001 - one group's fault is not that of the others
                for member, old in zip(members, before, strict=True):
                    member.recipient.group_id = old.group_id
                    member.recipient.decision = old.decision
                # A token that is away is no fault of ours, and comes back.
                trouble = error.problem if isinstance(error, TokenTrouble) else None
                note_fault(work, [member.recipient for member in members], moment, trouble)

    def _candidate(
        self,
        work: Work,
        recipient: Recipient,
        findings: Mapping[str, Finding],
        mail: Mail,
        moment: datetime,
    ) -> _Candidate | None:
        """Steps 3 and 4 for one recipient; None when he is held, deferred or refused instead."""
        address = _canonical(recipient)
        if not address:
            problem = Problem(
                "identity.address",
                "{address} is not an address that can be compared",
                {"address": recipient.address},
            )
            self._refuse(work, recipient, problem, "", encrypted=True)
            return None
        decision = self.policy.decide(mail, address)
        if isinstance(decision, Undecided):
            reason, record = decision.problem, undecided_record(decision)
            self._wait(work, recipient, reason, record, moment=moment, held=False)
            return None
        if decision.action is Action.HOLD and recipient.released == decision.action_rule:
            decision = replace(decision, action=Action.SEND)
        finding = findings.get(address)
        treatment = settle(decision, finding)
        if isinstance(treatment, Refuse) and recipient.copied_by:
            # Nobody outside is told of a copy: what keeps it from going must be seen here.
            treatment = Hold(treatment.reason, temporary=False)
        if isinstance(treatment, Refuse):
            record = decision_record(decision, "refused", reason=treatment.reason, finding=finding)
            self._refuse(work, recipient, treatment.reason, record, encrypted=True)
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
            self._wait(
                work,
                recipient,
                treatment.reason,
                record,
                moment=moment,
                held=not treatment.temporary,
            )
            return None
        route = self.routes.find(address, named=decision.route)
        signer = self.signers.choose(work.job.author, decision.sign, moment)
        problem_ = _no_route(address) if route is None else _no_ca(route, decision)
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
            self._wait(work, recipient, problem_, record, moment=moment, held=held)
            return None
        candidate = _Candidate(recipient, address, decision, finding, route, signer)
        if isinstance(treatment, Encrypt):
            algorithms = choose(treatment.certificate, DomainCrypto(decision.crypto.value))
            if not isinstance(algorithms, Treatment):
                reason = Problem(
                    algorithms.reason.code, algorithms.reason.template, algorithms.reason.facts
                )
                record = decision_record(
                    decision,
                    "held",
                    reason=reason,
                    finding=finding,
                    copied_by=recipient.copied_by,
                )
                self._wait(work, recipient, reason, record, moment=moment, held=True)
                return None
            candidate.algorithms = algorithms
            candidate.envelope = EnvelopeRecipient(treatment.certificate, algorithms.transport)
            if treatment.post_quantum is not None:
                around = choose_outer(treatment.post_quantum)
                candidate.outer_algorithms = around
                candidate.outer = EnvelopeRecipient(treatment.post_quantum, around.transport)
        elif isinstance(treatment, SendSigned | SendPlain):
            candidate.clear = treatment.clear
            candidate.reason = treatment.reason
        return candidate

    def _seal_group(
        self,
        work: Work,
        message: Message,
        members: Sequence[_Candidate],
        signed: dict[str, _Inside],
    ) -> Iterator[None]:
        """Steps 5 and 6 for recipients who are treated alike: sign, encrypt, record."""
        first = members[0]
        try:
            inside = self._inside(work.job, message, first, signed)
        except CannotConvert as error:
            problem = Problem("structure.cannot-convert", error.template, error.facts)
            for member in members:
                record = decision_record(member.decision, "refused", reason=problem)
                self._refuse(work, member.recipient, problem, record, encrypted=False)
            return
        except CannotProtect as error:
            problem = Problem(
                "structure.header-protection",
                "its subject cannot be kept from servers on the way, as was agreed for this "
                "recipient: " + error.template,
                error.facts,
            )
            for member in members:
                record = decision_record(member.decision, "refused", reason=problem)
                self._refuse(work, member.recipient, problem, record, encrypted=True)
            return
        yield
        received = self._received(work.job)
        envelopes = [m.envelope for m in members if m.envelope is not None]
        if len(envelopes) == len(members):
            assert first.cipher is not None
            before = header(inside.outer, received=received)
            outer = [m.outer for m in members if m.outer is not None]
            if outer or any(m.decision.crypto is Crypto.HYBRID for m in members):
                emitted = encrypt_hybrid(
                    inside.entity, envelopes, outer, first.cipher, before=before
                )
            else:
                emitted = encrypt(inside.entity, envelopes, first.cipher, before=before)
            failpoint("seal.encrypted")
            outcome = "encrypted"
        else:
            # Clear text: only with a rule's permission for every single recipient (I3).
            clear = [m.clear for m in members if m.clear is not None]
            if len(clear) != len(members):
                raise AssertionError("a recipient who must get ciphertext is in a clear group")
            outcome = "signed" if first.signer is not None else "plain"
            emitted = (
                assemble(inside.outer, inside.entity, received=received)
                if first.signer is not None
                else forward(message, received=received)
            )
        yield
        self._add_group(work, members=members, outcome=outcome, emitted=emitted, inside=inside)

    def _add_group(
        self,
        work: Work,
        *,
        members: Sequence[_Candidate],
        outcome: str,
        emitted: bytes,
        inside: _Inside,
    ) -> None:
        job = work.job
        group = SealedGroup(
            id=secrets.token_hex(16),
            archive_id=job.archive_id,
            treatment=outcome,
            route=members[0].route.name,
            sha256=hashlib.sha256(emitted).hexdigest(),
            size=len(emitted),
            emitted=emitted,
            tls=_tls(members[0].decision),
        )
        fields = {
            "group": group.id.encode(),
            "treatment": outcome.encode(),
            "route": group.route.encode(),
            # Opening the content has compared it with this hash, which accept has committed.
            "plaintext.sha256": job.sha256.encode(),
            "entity.sha256": inside.entity_sha256.encode(),
            "emitted.sha256": group.sha256.encode(),
            "emitted.size": str(group.size).encode(),
            **recipient_fields("recipient", [m.recipient.address for m in members]),
        }
        for n, change in enumerate(inside.transformations):
            fields[f"transformation.{n:06d}"] = (
                f"{change.part or 'root'} {change.before}->{change.after} "
                f"{change.sha256_before} {change.sha256_after}".encode()
            )
        for n, member in enumerate(members):
            signer = member.signer
            if member.envelope is not None:
                work.name(member.envelope.certificate)
            if member.outer is not None:
                work.name(member.outer.certificate)
            if signer is not None:
                work.certificates.update((signer.signer.certificate, *signer.signer.chain))
            record = decision_record(
                member.decision,
                outcome,
                reason=member.reason,
                finding=member.finding,
                certificate=None if member.envelope is None else member.envelope.certificate,
                algorithms=member.algorithms,
                outer=None if member.outer is None else member.outer.certificate,
                outer_algorithms=member.outer_algorithms,
                signer=None if signer is None else signer.record,
                receipt=inside.receipt,
                header=inside.header,
                copied_by=member.recipient.copied_by,
            )
            fields[f"decision.{n:06d}"] = record.encode()
            member.recipient.group_id = group.id
            member.recipient.decision = record
            member.recipient.reason = ""
        work.groups.append(group)
        work.drafts.append(Draft("sealed", job.org, job.archive_id, fields))

    def _seal_notice(
        self, work: Work, waiting: Sequence[Recipient], raw: bytes, moment: datetime
    ) -> None:
        """A notice that the gateway wrote itself goes to its one recipient as it is."""
        for recipient in waiting:
            clear = notice_in_clear(recipient.address)
            route = self.routes.find(canonical(recipient.address))
            if route is None:
                problem = _no_route(recipient.address)
                self._wait(work, recipient, problem, "", moment=moment, held=False)
                continue
            digest = hashlib.sha256(raw).hexdigest()
            group = SealedGroup(
                secrets.token_hex(16),
                work.job.archive_id,
                "plain",
                route.name,
                digest,
                len(raw),
                raw,
            )
            fields = {
                "group": group.id.encode(),
                "treatment": b"plain",
                "rule": clear.rule.encode(),
                "route": route.name.encode(),
                "emitted.sha256": digest.encode(),
                "emitted.size": str(len(raw)).encode(),
                **recipient_fields("recipient", [recipient.address]),
            }
            recipient.group_id = group.id
            work.groups.append(group)
            work.drafts.append(Draft("sealed", work.job.org, work.job.archive_id, fields))

    # -- recipients who get nothing now --------------------------------------------------------

    def _wait(
        self,
        work: Work,
        recipient: Recipient,
        problem: Problem,
        record: str,
        *,
        moment: datetime,
        held: bool,
    ) -> None:
        """Held until a person decides, or asked again by the schedule until the mail expires."""
        if not held and work.job.expired(recipient, to_micros(moment)):
            status = status_for(problem, "4")
            self._refuse(work, recipient, problem, record, encrypted=True, status=status)
            return
        before = (recipient.state, recipient.reason)
        if held:
            recipient.state = State.HELD
            recipient.next_attempt_at = None
            recipient.held_at = to_micros(moment)
        recipient.reason = problem_to_json(problem)
        recipient.decision = record
        if before == (recipient.state, recipient.reason):
            return  # still the same reason: the log need not say it at every attempt
        work.drafts.append(
            Draft(
                "held" if held else "deferred",
                work.job.org,
                work.job.archive_id,
                {
                    "reason": problem_to_json(problem).encode(),
                    "decision.000000": record.encode(),
                    **recipient_fields("recipient", [recipient.address]),
                },
            )
        )

    def _refuse(
        self,
        work: Work,
        recipient: Recipient,
        problem: Problem,
        record: str,
        *,
        encrypted: bool,
        status: str = "",
    ) -> None:
        recipient.decision = record
        status = status or status_for(problem, "5")
        work.failures.append(Failure(recipient, problem, status, encrypted))

    def _inside(
        self, job: Job, message: Message, member: _Candidate, done: dict[str, _Inside]
    ) -> _Inside:
        """The (signed) entity for a group; signed once a mail and signer, however many groups."""
        clear = member.clear is not None
        asks = member.decision.receipt and member.signer is not None
        agreed = member.decision.header_protection
        if member.signer is None:
            agreed = HeaderProtection.OFF  # hp= says that a signature or ciphertext is around it
        signer = member.signer.certificate_sha256 if member.signer else ""
        key = f"{signer}/{clear}/{asks}/{agreed.value}"
        if key in done:
            return done[key]
        made_of = payload(message, agreed, encrypted=not clear)
        entity, transformations = made_of.entity, made_of.changes
        if clear and member.signer is not None:
            entity, encoded = to_7bit(entity)
            transformations += encoded
        request = self._receipt_request(job) if asks else None
        if member.signer is None:
            digest = hashlib.sha256(entity).hexdigest()
        else:
            made: Signed = sign(entity, member.signer.signer, receipt_request=request)
            failpoint("seal.signed")
            if made.digest == "sha256":
                digest = made.content_digest  # it was computed for the signature already
            else:  # the digest follows the key
                digest = hashlib.sha256(entity).hexdigest()
            entity = made.entity
        receipt = "" if request is None else request.identifier.decode()
        done[key] = _Inside(entity, digest, transformations, receipt, made_of.outer, made_of.record)
        return done[key]

    def _receipt_request(self, job: Job) -> ReceiptRequest:
        """RFC 2634 §2.7: who asks, when, and a random number; receipts go to the author."""
        moment = from_micros(job.accepted_at)
        identifier = f"{self.hostname} {job.archive_id} {moment:%Y%m%d%H%M%SZ} "
        return ReceiptRequest((identifier + secrets.token_hex(16)).encode(), (job.author,))

    def _received(self, job: Job) -> bytes:
        return received_field(
            helo=job.parameters.get("helo", ""),
            ip=job.parameters.get("peer", "127.0.0.1"),
            by=self.hostname,
            protocol=job.parameters.get("with")
            or ("ESMTPS" if job.parameters.get("tls") else "ESMTP"),
            identity=job.archive_id,
            moment=from_micros(job.accepted_at),
            tls=job.parameters.get("tls", ""),
        )


def put_off(recipients: Iterable[Recipient], moment: datetime) -> None:
    """Their turn comes when those before them are served: the message is due again at once."""
    for recipient in recipients:
        recipient.attempts -= 1  # none was made
        recipient.next_attempt_at = to_micros(moment)


def note_fault(
    work: Work, recipients: Iterable[Recipient], moment: datetime, trouble: Problem | None = None
) -> None:
    """A fault of ours while sealing: nothing leaves for these recipients, the log says where.

    They stay queued until the mail expires: then the sender hears of it as of any other failure.
    trouble: what kept the mail, where that is known and nothing to look for in a stack trace.
    """
    problem = trouble if trouble is not None else _incident(work)
    if trouble is not None:
        log.warning("seal_waits", id=work.job.archive_id, code=trouble.code, text=trouble.text)
    for recipient in recipients:
        if recipient.group_id is not None:
            continue  # sealed by an earlier attempt: it goes out from the stored octets
        recipient.reason = problem_to_json(problem)
        if work.job.expired(recipient, to_micros(moment)):
            status = status_for(problem, "4")
            work.failures.append(Failure(recipient, problem, status, encrypted=True))


def _incident(work: Work) -> Problem:
    incident = secrets.token_hex(6)
    log.exception("seal_fault", id=work.job.archive_id, incident=incident)
    return Problem(
        "limits.internal",
        "an internal fault kept the message from being sealed (incident {incident})",
        {"incident": incident},
    )


@dataclass(frozen=True, slots=True)
class _Inside:
    """What is inside the envelope (or is the clear-signed body), and its hash before signing."""

    entity: bytes
    entity_sha256: str
    transformations: tuple[Transformation, ...]
    receipt: str  # identifier of the receipt request inside, "" for none
    outer: Message  # with the fields that stand outside
    header: dict[str, object] | None  # what was done about header fields, for the record


def _visible(message: Message) -> set[str] | None:
    """Canonical addresses that a reader of the header sees; None when it cannot be told."""
    try:
        named = visible_recipients(message)
    except HeaderAmbiguous:
        return None
    visible = set()
    for address in named:
        try:
            visible.add(canonical(address))
        except AddressError:
            continue
    return visible


def _treated_alike(
    candidates: Sequence[_Candidate], visible: set[str] | None
) -> list[list[_Candidate]]:
    """Recipients sealed together (design, step 5). A blind one is always alone: nobody else's
    RecipientInfos may show him (threats S23). An unreadable header makes everyone blind; a copy is
    so even for somebody whom the header names: he is no recipient of the sender's.
    """
    alike: dict[tuple[object, ...], list[_Candidate]] = {}
    for candidate in candidates:
        copied = bool(candidate.recipient.copied_by)
        blind = copied or visible is None or candidate.address not in visible
        key = (
            candidate.clear is not None,
            candidate.cipher,
            candidate.outer is not None,
            candidate.signer and candidate.signer.certificate_sha256,
            candidate.route.name,
            _tls(candidate.decision),
            candidate.decision.receipt,
            candidate.decision.header_protection,
            candidate.recipient.position if blind else None,
        )
        alike.setdefault(key, []).append(candidate)
    return list(alike.values())


def _canonical(recipient: Recipient) -> str:
    """His address in canonical form; "" where it has none."""
    try:
        return canonical(recipient.address)
    except AddressError:
        return ""


def _mail(job: Job, header: Header = NO_HEADER) -> Mail:
    """What rules can ask of a mail."""
    return Mail(job.author, job.size, from_micros(job.accepted_at), header, job.groups)


def _tls(decision: Decision) -> str:
    return "" if decision.tls is None else decision.tls.value


def _copies(work: Work, source: _Candidate) -> list[Recipient]:
    """New recipients for the copies that the decision for one wants.

    A copy is never copied, and nobody gets the mail twice: no rules can make a loop.
    """
    if source.recipient.copied_by or not source.decision.copies:
        return []
    job = work.job
    known = {_canonical(recipient) for recipient in job.recipients}
    made = []
    for copy in source.decision.copies:
        if copy.address in known:
            continue
        known.add(copy.address)
        recipient = replace(
            source.recipient,
            position=max(one.position for one in job.recipients) + 1,
            address=copy.address,
            group_id=None,
            reason="",
            decision="",
            stored_decision="",
            copied_by=copy.rule,
            released="",
            # What the sender wants to hear of the one says nothing of the other.
            notify="",
            orcpt="",
            told="",
        )
        job.recipients.append(recipient)
        work.copies.append(recipient)
        made.append(recipient)
        fields = {
            "rule": copy.rule.encode(),
            "of": source.recipient.address.encode(),
            **recipient_fields("recipient", [copy.address]),
        }
        work.drafts.append(Draft("copied", job.org, job.archive_id, fields))
        log.info("copied", id=job.archive_id, recipient=copy.address, rule=copy.rule)
    return made


def _no_ca(route: Route, decision: Decision) -> Problem | None:
    if route.hop_with(_tls(decision)) is not None:
        return None
    return Problem(
        "policy.no-ca",
        "a rule demands verified TLS, and the route {name} has no CA to check against",
        {"name": route.name},
    )


def _no_route(address: str) -> Problem:
    return Problem(
        "limits.no-route",
        "no route leads to {address}: configure one for its domain, or a default",
        {"address": address},
    )
