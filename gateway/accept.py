"""Taking a mail: who may send it, then archive entry and queue rows in one transaction.

This is steps 1 and 2 of the way out (docs/flow.md). Nothing here asks the network: what a local
table cannot decide is decided after the 250, by the worker.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path

import sqlalchemy as sa
import structlog

from archive.appender import Appender
from archive.entry import new_archive_id
from archive.recipients import ArchiveRecipient
from archive.seal import Sealed, seal
from archive.store import Draft
from archive.working import WorkingKeys
from gateway.clock import to_micros
from gateway.errors import Refusal
from gateway.failpoints import hit
from gateway.mail import Peer, Submission
from gateway.mime.entity import Message, split
from gateway.mime.headers import HeaderAmbiguous, from_addresses
from gateway.outside import Outside
from gateway.queue.batches import Batches
from gateway.queue.jobs import NewMessage
from gateway.queue.store import enqueue
from pki.addresses import canonical, in_domain
from pki.errors import AddressError

log = structlog.get_logger()

# Above this size hashing, compressing and encrypting would hold up the other sessions of the
# process for more than a few milliseconds: they move to a thread.
_INLINE_LIMIT = 200_000

# Header fields that become sealed payload: they can be shown to someone, or withheld, apart
# from the content (docs/archive-format.md).
_SEALED_HEADERS = ("from", "sender", "to", "cc", "subject", "date", "message-id")


@dataclass(frozen=True, slots=True)
class Relay:
    """A network whose machines vouch for the senders of some domains."""

    name: str
    networks: tuple[IPv4Network | IPv6Network, ...]
    domains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A mail ready to be stored: its log entry with sealed content, its queue rows."""

    draft: Draft
    row: NewMessage


def _rows(conn: sa.Connection, batch: Sequence[Accepted]) -> None:
    enqueue(conn, [one.row for one in batch])
    hit("accept.rows-written")


@dataclass
class Intake:
    """Decides on sessions of the way out and stores what they bring.

    hopeless: tells whether mail to this address could never be sealed, by local tables alone
        (must be encrypted, and there is neither a directory nor a stored certificate).
    outside: where large content goes; None: all of it lies in the database.
    """

    org: str
    relays: tuple[Relay, ...]
    recipients: tuple[ArchiveRecipient, ...]
    working_keys: WorkingKeys
    appender: Appender
    hopeless: Callable[[str, str], bool]
    expire: timedelta
    data_folder: Path
    max_size: int
    outside: Outside | None = None
    _batches: Batches[Accepted] = field(init=False)

    def __post_init__(self) -> None:
        self._batches = Batches(self.appender, lambda one: [one.draft], _rows)

    # -- questions the session asks, in the order of the dialogue ------------------------------

    def admit(self, ip: str) -> str | None:
        """Name of the relay entry that covers this address; None if no entry does."""
        address = ip_address(ip)
        for relay in self.relays:
            if any(address in network for network in relay.networks):
                return relay.name
        return None

    def sender(self, peer: Peer, mail_from: str, size: int | None) -> None:
        """Refuse at MAIL what can be refused there. Raises Refusal."""
        free = os.statvfs(self.data_folder)
        if free.f_bavail * free.f_frsize < self.max_size * 3 // 2:
            raise Refusal(452, "4.3.1", "insufficient system storage, try again later")
        if self.outside is not None:
            self.outside.check_room(self.max_size * 3 // 2)
        if mail_from:  # the null sender is for notices; the From of the mail decides
            self._vouched(peer, mail_from)

    def recipient(self, peer: Peer, mail_from: str, rcpt_to: str) -> None:
        """Refuse at RCPT an address that could never be served. Raises Refusal."""
        try:
            address = canonical(rcpt_to)
        except AddressError as error:
            raise Refusal(553, "5.1.3", "recipient address is not valid") from error
        if mail_from and self.hopeless(canonical(mail_from), address):
            raise Refusal(
                550, "5.7.1", "mail to this address must be encrypted and no certificate is known"
            )

    async def accept(self, submission: Submission) -> str:
        """Store the mail for good; returns its archive id. Raises Refusal.

        When this returns, log entry, sealed content and queue rows are durable (I1). When it
        raises, nothing is stored.
        """
        message = split(submission.raw)
        author = self._author(submission.peer, message)
        archive_id = new_archive_id()
        if len(submission.raw) > _INLINE_LIMIT:
            sealed = await asyncio.to_thread(self._seal, archive_id, message, submission)
        else:
            sealed = self._seal(archive_id, message, submission)
        hit("accept.content-sealed")
        outside = self.outside
        if outside is not None and outside.wants(sealed):
            sealed = await outside.keep(sealed, submission.received_at)
        draft = Draft("accepted", self.org, archive_id, accepted_fields(submission), sealed)
        accepted_at = to_micros(submission.received_at)
        row = NewMessage(
            archive_id=archive_id,
            org=self.org,
            kind="mail",
            sender=submission.mail_from,
            author=author,
            parameters={**submission.parameters, **_trace(submission.peer)},
            sha256=sealed.content_sha256,
            size=len(submission.raw),
            accepted_at=accepted_at,
            expires_at=accepted_at + self.expire // timedelta(microseconds=1),
            recipients=submission.rcpt_to,
        )

        try:
            await self._batches.commit(Accepted(draft, row))
        except Exception as error:
            if outside is not None:
                outside.not_committed(sealed, error)
            raise
        hit("accept.committed")
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

    # -- parts ---------------------------------------------------------------------------------

    def _author(self, peer: Peer, message: Message) -> str:
        """The one From address, if the relay may vouch for it (550 5.7.1 otherwise).

        The gateway signs for this address: a gateway that signs for anyone is worse than none.
        """
        try:
            addresses = from_addresses(message)
        except HeaderAmbiguous as error:
            raise Refusal(
                550, "5.7.1", "the From field can be read in more than one way"
            ) from error
        if len(addresses) != 1:
            raise Refusal(
                550, "5.7.1", f"exactly one From address is required, found {len(addresses)}"
            )
        return self._vouched(peer, addresses[0])

    def _vouched(self, peer: Peer, address: str) -> str:
        try:
            author = canonical(address)
        except AddressError as error:
            raise Refusal(550, "5.7.1", "sender address is not valid") from error
        for relay in self.relays:
            if relay.name == peer.relay:
                if any(in_domain(author, domain) for domain in relay.domains):
                    return author
                break
        raise Refusal(550, "5.7.1", "this host may not send for that sender's domain")

    def _seal(self, archive_id: str, message: Message, submission: Submission) -> Sealed:
        return seal(
            submission.raw,
            sealed_headers(message),
            self.recipients,
            self.working_keys.current(submission.received_at),
            archive_id,
        )


def _trace(peer: Peer) -> dict[str, str]:
    """What the Received field needs to know of the connection (RFC 5321 §4.4)."""
    return {"helo": peer.helo, "peer": peer.ip, "tls": peer.tls}


def sealed_headers(message: Message) -> dict[str, bytes]:
    """Header fields that are kept as sealed payload: `header.NAME`, repeated ones numbered."""
    found: dict[str, bytes] = {}
    for one in message.fields:
        if one.name in _SEALED_HEADERS:
            key = f"header.{one.name}"
            if key in found:
                key = f"{key}.{sum(k.startswith(key) for k in found)}"
            found[key] = one.value
    return found


def accepted_fields(submission: Submission) -> dict[str, bytes]:
    """The open fields of an `accepted` entry: envelope, connection, how the sender was proved.

    The connection is one field, so that it can end earlier than the content; every recipient is a
    field of his own, so that a Bcc name can be withheld from a bundle that still verifies.
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
        "sender.proof": _json({"method": "relay", "relay": peer.relay, "address": peer.ip}),
        "envelope.from": submission.mail_from.encode(),
        "envelope.parameters": _json(submission.parameters),
    }
    fields.update(recipient_fields("envelope.to", submission.rcpt_to))
    return fields


def _json(value: dict[str, str]) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


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
