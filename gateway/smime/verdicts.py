"""What verification says, as data (docs: the JSON of `sceau smime verify`). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from gateway.mime.protection import Protection
from gateway.smime.ess import facts
from gateway.smime.signed import Attribute
from pki.errors import Problem
from pki.path import ValidPath


class Status(Enum):
    """One word for a signer, a layer or a message. Worst first: the worst of all counts."""

    MALFORMED = "malformed"  # a structure that nobody can read in one way
    INVALID = "invalid"  # checked, and not so
    INDETERMINATE = "indeterminate"  # something is missing: an anchor, a CRL, a certificate, a key
    PARTLY_SIGNED = "partly-signed"  # something is signed, and not all that a reader shows
    UNSIGNED = "unsigned"
    VALID = "valid"


_ORDER = tuple(Status)


def worst(statuses: Iterable[Status], default: Status = Status.VALID) -> Status:
    """The status that counts among several."""
    return min(statuses, key=_ORDER.index, default=default)


@dataclass(slots=True)
class Findings:
    """Problems as they are found, and the worst status among them."""

    status: Status = Status.VALID
    problems: list[Problem] = field(default_factory=list)

    def add(self, *problems: Problem | None, status: Status = Status.INVALID) -> None:
        """These, if they are any. status: what they make of it."""
        if any(problems):
            self.problems += [one for one in problems if one is not None]
            self.status = worst((self.status, status))


class Role(Enum):
    """For whom a signer's certificate speaks."""

    PERSON = "person"
    DOMAIN = "domain"  # RFC 3183: the organisation, not the person
    UNKNOWN = "unknown"  # no certificate, or none with an address


class Match(Enum):
    """How the signer's certificate and the one From address go together."""

    EXACT = "exact"
    DOMAIN = "domain"  # a pinned certificate of From's own domain
    NO = "no"


@dataclass(frozen=True, slots=True)
class SignerReport:
    """One SignerInfo. signing_time: what the signer claims, checked against nothing.

    digest, signature: names of the dated table, or OIDs; path: where a valid one was found.
    legacy: what was accepted only because the caller reads old evidence.
    attributes: the signed ones as they came; in JSON what those of RFC 2634 say, which decides
    nothing here.
    """

    status: Status
    role: Role
    certificate_sha256: str | None
    subject: str
    emails: tuple[str, ...]
    from_matches: Match
    digest: str
    signature: str
    signing_time: datetime | None
    problems: tuple[Problem, ...]
    path: ValidPath | None = None
    attributes: tuple[Attribute, ...] = ()
    legacy: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        claimed = self.signing_time
        return {
            "status": self.status.value,
            "role": self.role.value,
            "certificate_sha256": self.certificate_sha256,
            "subject": self.subject,
            "emails": list(self.emails),
            "from_matches": self.from_matches.value,
            "digest": self.digest,
            "signature": self.signature,
            "signing_time": claimed.strftime("%Y-%m-%dT%H:%M:%SZ") if claimed else None,
            "attributes": [said for one in self.attributes if (said := facts(one.oid, one.values))],
            "problems": _plain(self.problems),
        }


@dataclass(frozen=True, slots=True)
class LayerReport:
    """One layer. kind: "signed", "encrypted", "auth-encrypted", "compressed".

    opened: whether what is inside could be looked at. status: of this layer alone.
    """

    kind: str
    opened: bool
    status: Status
    problems: tuple[Problem, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"kind": self.kind, "opened": self.opened, "problems": _plain(self.problems)}


@dataclass(frozen=True, slots=True)
class Verification:
    """What one message is worth.

    authors: addr-specs of From as they stand. layers: outermost first; signers in their order.
    remarks: what a person should know and what changes no status.
    payload: the entity inside all layers that were opened, None where there is none to see.
    protection: fields of the header that were signed or encrypted with it (RFC 9788).
    """

    status: Status
    authors: tuple[str, ...]
    signers: tuple[SignerReport, ...]
    layers: tuple[LayerReport, ...]
    problems: tuple[Problem, ...]
    remarks: tuple[Problem, ...] = ()
    payload: bytes | None = None
    protection: Protection = field(default_factory=Protection)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON (design §6)."""
        return {
            "status": self.status.value,
            "from": list(self.authors),
            "signers": [one.as_dict() for one in self.signers],
            "layers": [one.as_dict() for one in self.layers],
            "header_protection": self.protection.as_dict() if self.protection.scheme else None,
            "problems": _plain(self.problems),
            "remarks": _plain(self.remarks),
        }


def _plain(problems: Iterable[Problem]) -> list[dict[str, str]]:
    return [{"code": one.code, "text": one.text} for one in problems]
