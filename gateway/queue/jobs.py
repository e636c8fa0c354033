"""What the queue hands out and takes back: plain data, no database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway import sortedjson
from gateway.mail import RcptOptions
from gateway.policy import Membership
from gateway.queue.states import OPEN, State
from pki.errors import Problem

NOTICE = "notice"  # the kind of a message that the gateway wrote itself


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be queued in the same transaction as its archive entry.

    kind: "mail", or "notice" for a DSN of our own. sha256 (hex), size: of the bytes as they came.
    Times are microseconds since the epoch.
    """

    archive_id: str
    org: str
    kind: str
    sender: str
    author: str
    parameters: dict[str, str]
    sha256: str
    size: int
    accepted_at: int
    expires_at: int
    recipients: tuple[str, ...]
    options: Mapping[str, RcptOptions] = field(default_factory=dict)


@dataclass(slots=True)
class Recipient:
    """One recipient of a claimed message. The worker that holds the claim is its only owner.

    notify, orcpt: see `RcptOptions`. told: "", "delayed" or "held": what the sender was last told
    of him while he is open. held_at: since when he is held. stored_decision: what the database has
    of `decision`.
    """

    position: int
    address: str
    state: State
    group_id: str | None
    attempts: int
    next_attempt_at: int | None
    expires_at: int
    reason: str
    decision: str
    due: bool
    notify: str = ""
    orcpt: str = ""
    told: str = ""
    held_at: int | None = None
    copied_by: str = ""  # the rule that wanted a copy for him; "" for one of the envelope
    released: str = ""  # the rule that held him, once a person has released him
    stored_decision: str = ""


@dataclass(slots=True)
class Job:
    """A claimed message with all its recipients, open and settled."""

    archive_id: str
    org: str
    kind: str
    sender: str
    author: str
    parameters: dict[str, str]
    sha256: str
    size: int
    accepted_at: int
    suspect: bool  # a worker died while it had this message in hand
    recipients: list[Recipient]
    crashes: int = 0  # how often processes died or failed on it
    harmed: bool = False  # working on it has failed in a way that counts as a death
    may_expire: bool = True  # False while nobody knows whether the clock has just jumped
    # What directories said of groups, asked for before the mail is decided; by address.
    groups: Mapping[str, Membership] = field(default_factory=dict)

    @property
    def due(self) -> list[Recipient]:
        """Recipients to be worked on now."""
        return [r for r in self.recipients if r.due and r.state is State.QUEUED]

    @property
    def worked_on(self) -> list[Recipient]:
        """Recipients this claim is about, whatever has become of them since."""
        return [r for r in self.recipients if r.due]

    @property
    def next_due(self) -> int | None:
        """When the message is due again: the earliest attempt of a queued recipient."""
        times = [
            r.next_attempt_at
            for r in self.recipients
            if r.state is State.QUEUED and r.next_attempt_at is not None
        ]
        return min(times, default=None)

    def expired(self, recipient: Recipient, now: int) -> bool:
        """Whether a recipient who cannot be served now is given up."""
        return self.may_expire and now >= recipient.expires_at

    @property
    def settled(self) -> bool:
        """No recipient is open any more."""
        return all(r.state not in OPEN for r in self.recipients)


@dataclass(frozen=True, slots=True)
class SealedGroup:
    """Recipients sealed together, and the octets that leave for all of them."""

    id: str
    archive_id: str
    treatment: str
    route: str
    sha256: str
    size: int
    emitted: bytes
    tls: str = ""  # what a rule demands of the connection beyond the route


def problem_to_json(problem: Problem) -> str:
    """A problem as it stands in a queue row and in a log entry."""
    return sortedjson.encode(
        {"code": problem.code, "template": problem.template, "facts": problem.facts}
    )


def problem_from_json(text: str) -> Problem | None:
    """Inverse of `problem_to_json`; None for the empty string."""
    if not text:
        return None
    value = json.loads(text)
    return Problem(value["code"], value["template"], dict(value["facts"]))
