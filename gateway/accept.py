"""Taking a mail: who may send it, then archive entry and queue rows in one transaction.

This is steps 1 and 2 of the way out (docs/flow.md). Nothing here asks the network: what a local
table cannot decide is decided after the 250, by the worker.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import sqlalchemy as sa
import structlog

from archive.appender import Appender
from archive.batch import BatchKey, BatchKeys
from archive.entry import new_archive_id
from archive.recipients import ArchiveRecipient
from archive.seal import Sealed, seal
from archive.store import Draft
from archive.working import WorkingKeys
from gateway import sortedjson
from gateway.clock import to_micros
from gateway.errors import Refusal
from gateway.failpoint import failpoint
from gateway.mail import Peer, Submission
from gateway.mime.authors import authorship
from gateway.mime.entity import Message, split
from gateway.mime.headers import HeaderAmbiguous
from gateway.mime.received import protocol
from gateway.outside import Outside
from gateway.queue.batches import Batches
from gateway.queue.crowded import Backlog
from gateway.queue.jobs import NewMessage
from gateway.queue.store.enqueue import enqueue
from gateway.senders.proof import proof_of
from gateway.senders.rights import NotYours, Relay, Rights
from gateway.smtp.routed import has_route
from gateway.storage_gate import StorageGate
from pki.addresses import canonical
from pki.errors import AddressError

log = structlog.get_logger()

# Above this size hashing, compressing and encrypting would hold up the other sessions of the
# process for more than a few milliseconds: they move to a thread.
_INLINE_LIMIT = 200_000
# Above this one at a time is sealed: each takes memory for some copies of the mail.
_ALONE_ABOVE = 4_000_000

# Header fields that become sealed payload: they can be shown to someone, or withheld, apart
# from the content (docs/archive-format.md).
SEALED_HEADERS = ("from", "sender", "to", "cc", "subject", "date", "message-id")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A mail ready to be stored: its log entry with sealed content, its queue rows."""

    draft: Draft
    row: NewMessage


def _rows(conn: sa.Connection, batch: Sequence[Accepted]) -> None:
    enqueue(conn, [one.row for one in batch])
    failpoint("accept.rows-written")


@dataclass
class Intake:
    """Decides on sessions of the way out and stores what they bring.

    rights: who may send as whom. strangers_may_prove: who is in no relay's network is greeted, and
        may show what he has: a login or a certificate.
    hopeless: tells whether mail to this address could never be sealed, by local tables alone
        (must be encrypted, and there is neither a directory nor a stored certificate).
    room: octets that must be free for the largest mail and what is made of it.
    outside: where large content goes; None: all of it lies in the database.
    gate: what clients are told while the database is in trouble.
    backlog: how much mail may wait; None: as much as there is disk.
    """

    org: str
    relays: tuple[Relay, ...]
    recipients: tuple[ArchiveRecipient, ...]
    working_keys: WorkingKeys
    appender: Appender
    hopeless: Callable[[str, str], bool]
    expire: timedelta
    data_folder: Path
    room: int
    rights: Rights
    strangers_may_prove: bool = False
    outside: Outside | None = None
    gate: StorageGate = field(default_factory=StorageGate)
    backlog: Backlog | None = None
    _alone: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _batches: Batches[Accepted] = field(init=False)
    _batch_keys: BatchKeys = field(init=False)

    def __post_init__(self) -> None:
        self._batch_keys = BatchKeys(self.recipients)
        self._batches = Batches(self.appender, lambda one: [one.draft], _rows)

    # -- questions the session asks, in the order of the dialogue ------------------------------

    def admit(self, ip: str) -> str | None:
        """See `gateway.smtp.intake.Intake`."""
        address = ip_address(ip)
        for relay in self.relays:
            if any(address in network for network in relay.networks):
                return relay.name
        return "" if self.strangers_may_prove else None

    def sender(self, peer: Peer, mail_from: str, size: int | None) -> None:
        """Refuse at MAIL what can be refused there. Raises Refusal."""
        self.gate.check()
        free = os.statvfs(self.data_folder)
        if free.f_bavail * free.f_frsize < self.room:
            raise Refusal(452, "4.3.1", "insufficient system storage, try again later")
        if self.backlog is not None and self.backlog.full:
            raise Refusal(452, "4.3.1", "too much mail is waiting here already, try again later")
        self.rights.proved(peer)
        if self.outside is not None:
            self.outside.check_room(self.room)
        if mail_from:  # the null sender is for notices; the From of the mail decides
            address = _canonical_sender(mail_from)
            if has_route(address):  # our notices go there
                raise Refusal(553, "5.1.7", "a sender address with a route (% ! @) is not taken")
            self._granted(peer, "mail", address, envelope=None)

    def recipient(self, peer: Peer, mail_from: str, rcpt_to: str) -> None:
        """Refuse at RCPT an address that could never be served. Raises Refusal."""
        try:
            address = canonical(rcpt_to)
        except AddressError as error:
            raise Refusal(553, "5.1.3", "recipient address is not valid") from error
        if has_route(address):
            raise Refusal(553, "5.1.3", "a recipient address with a route (% ! @) is not taken")
        with self.gate.guard():
            hopeless = bool(mail_from) and self.hopeless(canonical(mail_from), address)
        if hopeless:
            raise Refusal(
                550, "5.7.1", "mail to this address must be encrypted and no certificate is known"
            )

    async def accept(self, submission: Submission) -> str:
        """Store the mail for good; returns its archive id. Raises Refusal.

        When this returns, log entry, sealed content and queue rows are durable (I1). When it
        raises, nothing is stored.
        """
        message = split(submission.raw)
        author, rules = self._author(submission, message)
        archive_id = new_archive_id()
        with self._batch_keys.lease() as batch, self.gate.guard(commits=True):
            await self._store(archive_id, message, submission, author, rules, batch)
        if self.backlog is not None:
            self.backlog.took()
        log.info(
            "accepted",
            id=archive_id,
            sender=submission.mail_from,
            recipients=len(submission.rcpt_to),
            size=len(submission.raw),
            relay=submission.peer.relay,
            peer=submission.peer.ip,
        )
        return archive_id

    async def _store(
        self,
        archive_id: str,
        message: Message,
        submission: Submission,
        author: str,
        rules: dict[str, str],
        batch: BatchKey,
    ) -> None:
        if len(submission.raw) > _ALONE_ABOVE:
            async with self._alone:
                sealed = await asyncio.to_thread(self._seal, archive_id, message, submission, batch)
        elif len(submission.raw) > _INLINE_LIMIT:
            sealed = await asyncio.to_thread(self._seal, archive_id, message, submission, batch)
        else:
            sealed = self._seal(archive_id, message, submission, batch)
        failpoint("accept.content-sealed")
        outside = self.outside
        if outside is not None and outside.wants(sealed):
            sealed = await outside.keep(sealed, submission.received_at)
        draft = Draft("accepted", self.org, archive_id, accepted_fields(submission, rules), sealed)
        accepted_at = to_micros(submission.received_at)
        row = NewMessage(
            archive_id=archive_id,
            org=self.org,
            kind="mail",
            sender=submission.mail_from,
            author=author,
            parameters={**submission.parameters, **_trace(submission)},
            sha256=sealed.content_sha256,
            size=len(submission.raw),
            accepted_at=accepted_at,
            expires_at=accepted_at + self.expire // timedelta(microseconds=1),
            recipients=submission.rcpt_to,
            options=submission.rcpt_options,
        )

        try:
            await self._batches.commit(Accepted(draft, row))
        except Exception as error:
            if outside is not None:
                outside.not_committed(sealed, error)
            raise

    # -- parts ---------------------------------------------------------------------------------

    def _author(self, submission: Submission, message: Message) -> tuple[str, dict[str, str]]:
        """The one From address, and by which rule each field that names an author may name it.

        The gateway signs for this address: a gateway that signs for anyone is worse than none.
        Raises Refusal (550 5.7.1).
        """
        peer = submission.peer
        try:
            found = authorship(message)
        except HeaderAmbiguous as error:
            log.info("author_refused", peer=peer.ip, relay=peer.relay, reason=error.template)
            text = str(error).encode("ascii", "replace").decode("ascii")
            raise Refusal(550, "5.7.1", text) from error
        envelope = _canonical_sender(submission.mail_from) if submission.mail_from else ""
        rules = {"from": self._granted(peer, "from", found.author, envelope=envelope)}
        for claim in found.others:
            rules[claim.field] = self._granted(peer, claim.field, claim.address, envelope=envelope)
        return found.author, rules

    def _granted(self, peer: Peer, field: str, address: str, *, envelope: str | None) -> str:
        try:
            return self.rights.grant(peer, address, envelope=envelope)
        except NotYours as error:
            log.info(
                "sender_refused",
                field=field,
                address=address,
                reason=error.reason,
                login=peer.identity.name if peer.identity else "",
                method=peer.identity.method if peer.identity else "relay",
                relay=peer.via or peer.relay,
                peer=peer.ip,
            )
            where = "" if field in ("mail", "from") else f" ({field.title()})"
            raise Refusal(error.code, error.status, error.text + where) from error

    def _seal(
        self, archive_id: str, message: Message, submission: Submission, batch: BatchKey
    ) -> Sealed:
        return seal(
            submission.raw,
            sealed_headers(message),
            batch,
            self.working_keys.current(submission.received_at),
            archive_id,
        )


def _canonical_sender(address: str) -> str:
    try:
        return canonical(address)
    except AddressError as error:
        raise Refusal(550, "5.7.1", "sender address is not valid") from error


def _trace(submission: Submission) -> dict[str, str]:
    """What the Received field needs to know of the connection (RFC 5321 §4.4), and who sent it."""
    peer = submission.peer
    who = peer.identity
    trace = {
        "helo": peer.helo,
        "peer": peer.ip,
        "tls": peer.tls,
        "with": protocol(
            esmtp=peer.esmtp,
            tls=bool(peer.tls),
            authenticated=who is not None and who.method in ("auth-file", "auth-ldap"),
            smtputf8="SMTPUTF8" in submission.parameters,
        ),
    }
    if who is not None:
        trace |= {"method": who.method, "login": who.name}
    return trace


def sealed_headers(message: Message) -> dict[str, bytes]:
    """Header fields that are kept as sealed payload: `header.NAME`, repeated ones numbered."""
    found: dict[str, bytes] = {}
    seen: dict[str, int] = {}
    for one in message.fields:
        if one.name in SEALED_HEADERS:
            count = seen[one.name] = seen.get(one.name, -1) + 1
            found[f"header.{one.name}.{count}" if count else f"header.{one.name}"] = one.value
    return found


def accepted_fields(submission: Submission, rules: Mapping[str, str]) -> dict[str, bytes]:
    """The open fields of an `accepted` entry: envelope, connection, how the sender was proved.

    rules: for each field that names an author, the rule that allowed it.

    The connection is one field, so that it can end earlier than the content; every recipient is a
    field of his own, so that a Bcc name can be withheld from a bundle that still verifies. What was
    asked for him (RFC 3461) may name him again, and is a field of its own for the same reason.
    """
    peer = submission.peer
    connection = {
        "address": peer.ip,
        "helo": peer.helo,
        "tls": peer.tls,
        "received": submission.received_at.isoformat(timespec="microseconds"),
    }
    fields = {
        "direction": b"out",
        "connection": _json(connection),
        "sender.proof": _json(proof_of(peer, rules)),
        "envelope.from": submission.mail_from.encode(),
        "envelope.parameters": _json(submission.parameters),
    }
    fields.update(recipient_fields("envelope.to", submission.rcpt_to))
    if submission.rcpt_options:
        for n, address in enumerate(submission.rcpt_to):
            if asked := submission.rcpt_options.get(address):
                wishes = {"notify": asked.notify, "orcpt": asked.orcpt}
                fields[f"envelope.dsn.{n:06d}"] = _json({k: v for k, v in wishes.items() if v})
    return fields


def _json(value: dict[str, str]) -> bytes:
    return sortedjson.encode(value).encode()


def recipient_fields(name: str, addresses: Sequence[str]) -> dict[str, bytes]:
    """`NAME.000000`, `NAME.000001`, …: one field an address, in order."""
    return {f"{name}.{n:06d}": address.encode() for n, address in enumerate(addresses)}


def notice_fields(recipient: str, about: str, moment: datetime) -> dict[str, bytes]:
    """The open fields of an `accepted` entry for a notice (DSN) that the gateway wrote itself."""
    return {
        "direction": b"notice",
        "about": about.encode(),
        "envelope.from": b"",
        "written": moment.isoformat(timespec="microseconds").encode(),
        **recipient_fields("envelope.to", [recipient]),
    }
