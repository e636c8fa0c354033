"""What leaves for a group, and the log entry `sealed` that says why: step 6 of docs/flow.md."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from archive.store import Draft
from gateway.accept import recipient_fields
from gateway.outbound.candidate import Candidate
from gateway.outbound.inside import Inside
from gateway.outbound.route import tls_of
from gateway.outbound.work import Work
from gateway.queue.jobs import SealedGroup
from gateway.record import decision_record


def add_group(
    work: Work,
    *,
    members: Sequence[Candidate],
    outcome: str,
    emitted: bytes,
    inside: Inside,
) -> None:
    """The group and its entry, a decision record for each member, and the evidence they name.

    outcome: "encrypted", "signed" or "plain". emitted: the mail as it leaves.
    """
    job = work.job
    group = SealedGroup(
        id=secrets.token_hex(16),
        archive_id=job.archive_id,
        treatment=outcome,
        route=members[0].route.name,
        sha256=hashlib.sha256(emitted).hexdigest(),
        size=len(emitted),
        emitted=emitted,
        tls=tls_of(members[0].decision),
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
