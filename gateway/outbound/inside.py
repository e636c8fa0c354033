"""What is inside the envelope, or is the clear-signed body: signed once a mail and signer."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from gateway.clock import from_micros
from gateway.failpoint import failpoint
from gateway.mime.canonical import Transformation, to_7bit
from gateway.mime.entity import Message
from gateway.outbound.candidate import Candidate
from gateway.payload import payload
from gateway.policy import HeaderProtection
from gateway.queue.jobs import Job
from gateway.smime.receipt_request import ReceiptRequest
from gateway.smime.sign import Signed, sign


@dataclass(frozen=True, slots=True)
class Inside:
    """What is inside the envelope (or is the clear-signed body), and its hash before signing."""

    entity: bytes
    entity_sha256: str
    transformations: tuple[Transformation, ...]
    receipt: str  # identifier of the receipt request inside, "" for none
    outer: Message  # with the fields that stand outside
    header: dict[str, object] | None  # what was done about header fields, for the record


def make_inside(
    job: Job, message: Message, member: Candidate, done: dict[str, Inside], hostname: str
) -> Inside:
    """The (signed) entity for a group; signed once a mail and signer, however many groups.

    member: any of the group. done: what was made for this mail so far; what is made is added.
    Raises CannotConvert, CannotProtect, TokenTrouble.
    """
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
    request = _receipt_request(job, hostname) if asks else None
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
    done[key] = Inside(entity, digest, transformations, receipt, made_of.outer, made_of.record)
    return done[key]


def _receipt_request(job: Job, hostname: str) -> ReceiptRequest:
    """RFC 2634 §2.7: who asks, when, and a random number; receipts go to the author."""
    moment = from_micros(job.accepted_at)
    identifier = f"{hostname} {job.archive_id} {moment:%Y%m%d%H%M%SZ} "
    return ReceiptRequest((identifier + secrets.token_hex(16)).encode(), (job.author,))
