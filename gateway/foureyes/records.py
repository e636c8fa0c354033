"""What the decisions so far amount to: persons, anchors, and requests that wait. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from gateway.foureyes.request import Request
from gateway.foureyes.terms import Terms
from pki.anchors import Anchor
from pki.certificate import ParsedCertificate


class State(Enum):
    """Of a trust anchor. A proposal is a request until it is approved."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    SUPERSEDED = "superseded"


class Fate(Enum):
    """Of a request."""

    PROPOSED = "proposed"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Approval:
    """Who signed a request, with which certificate, when the log took it."""

    person: str
    certificate_sha256: str
    time: datetime


@dataclass(slots=True)
class Asked:
    """A request and what became of it. why: of a refusal."""

    request: Request
    approvals: list[Approval] = field(default_factory=list)
    fate: Fate = Fate.PROPOSED
    ended_at: datetime | None = None
    why: str = ""

    @property
    def id(self) -> str:
        """What people call it: the beginning of its SHA-256."""
        return self.request.sha256[:16]


@dataclass(frozen=True, slots=True)
class TrustedAnchor:
    """A record of a trust anchor. id: that of the request that made it.

    basis: the request by which it became what it is. approved_by: persons. why: of a suspension.
    """

    id: str
    certificate: ParsedCertificate
    terms: Terms
    state: State
    approved_by: tuple[str, ...]
    since: datetime
    basis: str
    why: str = ""

    @property
    def anchor(self) -> Anchor:
        """What `pki` trusts while the record is active."""
        return self.terms.anchor(self.certificate.der, self.certificate.sha256)
