"""A group of recipients treated alike, steps 5 and 6 of docs/flow.md: sign, encrypt, record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.clock import from_micros
from gateway.failpoint import failpoint
from gateway.mime.canonical import CannotConvert
from gateway.mime.entity import Message
from gateway.mime.outgoing import assemble, forward, header
from gateway.mime.protect import CannotProtect
from gateway.mime.received import received_field
from gateway.outbound.candidate import Candidate
from gateway.outbound.inside import Inside, make_inside
from gateway.outbound.sealed import add_group
from gateway.outbound.unserved import refuse
from gateway.outbound.work import Work
from gateway.policy import Crypto
from gateway.queue.jobs import Job
from gateway.record import decision_record
from gateway.smime.encrypt import encrypt
from gateway.smime.nested import encrypt_hybrid
from pki.errors import Problem


def seal_group(
    work: Work,
    message: Message,
    members: Sequence[Candidate],
    signed: dict[str, Inside],
    hostname: str,
) -> Iterator[None]:
    """Steps 5 and 6 for recipients who are treated alike: sign, encrypt, record.

    signed: what was signed for this mail so far.
    """
    first = members[0]
    try:
        inside = make_inside(work.job, message, first, signed, hostname)
    except CannotConvert as error:
        problem = Problem("structure.cannot-convert", error.template, error.facts)
        for member in members:
            record = decision_record(member.decision, "refused", reason=problem)
            refuse(work, member.recipient, problem, record, encrypted=False)
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
            refuse(work, member.recipient, problem, record, encrypted=True)
        return
    yield
    received = _received(work.job, hostname)
    envelopes = [m.envelope for m in members if m.envelope is not None]
    if len(envelopes) == len(members):
        assert first.cipher is not None
        before = header(inside.outer, received=received)
        outer = [m.outer for m in members if m.outer is not None]
        if outer or any(m.decision.crypto is Crypto.HYBRID for m in members):
            emitted = encrypt_hybrid(inside.entity, envelopes, outer, first.cipher, before=before)
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
    add_group(work, members=members, outcome=outcome, emitted=emitted, inside=inside)


def _received(job: Job, hostname: str) -> bytes:
    return received_field(
        helo=job.parameters.get("helo", ""),
        ip=job.parameters.get("peer", "127.0.0.1"),
        by=hostname,
        protocol=job.parameters.get("with") or ("ESMTPS" if job.parameters.get("tls") else "ESMTP"),
        identity=job.archive_id,
        moment=from_micros(job.accepted_at),
        tls=job.parameters.get("tls", ""),
    )
