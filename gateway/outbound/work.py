"""What sealing one message comes to."""

from __future__ import annotations

from dataclasses import dataclass, field

from archive.store import Draft
from gateway.queue.jobs import Job, Recipient, SealedGroup
from pki.errors import Problem
from pki.models import CheckedCertificate


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
