"""What another policy would have done with mail that is in the archive: nothing is sent or changed.

The log's open fields tell sender, recipients, size, time and what was decided then. What stands in
the header is sealed: it is opened only with a key of the archive, and each time the log says so
first (I7). Certificates are not looked for anew: what was found then counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

import sqlalchemy as sa

from archive.entry import decode
from archive.errors import ArchiveError
from archive.fields import Open
from archive.reading import Record, head, history, read_raw, records
from gateway.accept import SEALED_HEADERS
from gateway.mime.entity import split
from gateway.policy import (
    NO_HEADER,
    NO_POST_QUANTUM,
    Action,
    Crypto,
    Decision,
    Encryption,
    Header,
    Mail,
    Membership,
    PartOfHeader,
    Policy,
    Sign,
    Undecided,
    WholeHeader,
    WithoutCertificate,
)
from gateway.policy.conditions import UNKNOWN_HEADER
from pki.addresses import canonical
from pki.errors import AddressError, Problem

_WINDOW = 512


class Certificate(Enum):
    """What was known of a recipient's certificate when the mail was decided."""

    FOUND = "found"
    NONE = "none"
    CANNOT_TELL = "cannot-tell"
    NOT_ASKED = "not-asked"


@dataclass(frozen=True, slots=True)
class PastRecipient:
    """An envelope recipient of an archived mail, and what was decided for him.

    rule, outcome: as recorded; "" while nothing is decided. announced: he had told what he reads.
    second: whether there was a certificate for a second envelope; None where nobody says.
    """

    address: str
    rule: str
    outcome: str
    copies: tuple[str, ...]
    certificate: Certificate
    announced: bool
    second: bool | None = None


@dataclass(frozen=True, slots=True)
class PastMail:
    """An archived mail as far as the open fields of the log tell.

    author: canonical From as the decisions name it; None where none was made yet.
    """

    archive_id: str
    accepted: datetime
    author: str | None
    size: int | None
    recipients: tuple[PastRecipient, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One recipient under the other policy. outcome "": it depends on a certificate that nobody
    looked for then. problem: why the other policy cannot be applied; rule and outcome are "" then.
    """

    mail: PastMail
    before: PastRecipient
    rule: str
    outcome: str
    copies: tuple[str, ...]
    problem: Problem | None = None

    @property
    def kind(self) -> str:
        """ "same", "rule" (another rule, same outcome), "outcome", or "cannot-tell"."""
        if self.problem is not None or not self.before.rule:
            return "cannot-tell"
        if not self.outcome:
            return "cannot-tell"
        if (self.outcome, set(self.copies)) != (self.before.outcome, set(self.before.copies)):
            return "outcome"
        return "same" if self.rule == self.before.rule else "rule"


class Opener:
    """Opens headers of archived mail for a person with a key; each reading is logged before."""

    def __init__(
        self,
        fields: Callable[[str], Mapping[str, Open]],
        content: Callable[[str], bytes],
        names: frozenset[str],
    ) -> None:
        """fields, content: `archive.access` for one id. names: the fields the policy looks at."""
        self._fields = fields
        self._content = content
        self._enough = names <= frozenset(SEALED_HEADERS)

    def header(self, archive_id: str) -> Header:
        """The header, or the part of it that the policy looks at. Raises ArchiveError."""
        if not self._enough:
            return WholeHeader(split(self._content(archive_id)))
        known: dict[str, list[bytes]] = {name: [] for name in SEALED_HEADERS}
        for name, one in sorted(self._fields(archive_id).items()):
            area, _, rest = name.partition(".")
            if area == "header" and (field := rest.partition(".")[0]) in known:
                known[field].append(one.value)
        return PartOfHeader({name: tuple(values) for name, values in known.items()})


def last_mails(conn: sa.Connection, count: int) -> Iterator[PastMail]:
    """The last `count` mails that were taken for others, newest first. Raises ArchiveError."""
    for record in _accepted(conn):
        if count == 0:
            return
        if record.value("direction") == b"out":
            yield _past(conn, record)
            count -= 1


def differences(
    policy: Policy,
    mail: PastMail,
    *,
    groups: Callable[[set[str]], Mapping[str, Membership]],
    opener: Opener | None,
) -> Iterator[Difference]:
    """What `policy` would have done with a mail, recipient by recipient.

    groups: asks directories; as they are now, for nobody knows how they were. opener: None
        without a key; what hangs on the header cannot be told then. Raises ArchiveError.
    """
    header: Header = NO_HEADER
    for before in mail.recipients:
        try:
            recipient = canonical(before.address)
        except AddressError as error:
            yield Difference(mail, before, "", "", (), error.problem)
            continue
        if mail.author is None:
            problem = Problem("policy.not-decided-yet", "nothing was decided on this mail yet")
            yield Difference(mail, before, "", "", (), problem)
            continue
        facts = Mail(mail.author, mail.size, mail.accepted, header)
        known = groups(policy.group_members(facts, recipient))
        facts = Mail(mail.author, mail.size, mail.accepted, header, known)
        verdict = policy.decide(facts, recipient)
        if _wants_header(verdict) and opener is not None:
            header = opener.header(mail.archive_id)
            facts = Mail(mail.author, mail.size, mail.accepted, header, known)
            verdict = policy.decide(facts, recipient)
        if isinstance(verdict, Undecided):
            yield Difference(mail, before, "", "", (), verdict.problem)
        else:
            copies = tuple(copy.address for copy in verdict.copies)
            outcome = foreseen(
                verdict, before.certificate, announced=before.announced, second=before.second
            )
            if outcome in ("held", "refused", "deferred"):
                copies = ()  # made when the mail goes
            yield Difference(mail, before, verdict.rule, outcome, copies)


def foreseen(
    decision: Decision,
    certificate: Certificate,
    *,
    announced: bool,
    second: bool | None = None,
) -> str:
    """The outcome as records name it; "" where it hangs on a certificate nobody speaks of.

    The same as `policy.settle` would say (a test holds that), without a certificate in hand.
    """
    if decision.action is Action.REFUSE:
        return "refused"
    if decision.action is Action.HOLD:
        return "held"
    if decision.encryption is Encryption.NEVER:
        return "plain" if decision.sign is Sign.NONE else "signed"
    match certificate:
        case Certificate.FOUND if decision.crypto is Crypto.HYBRID:
            return {True: "encrypted", False: "held", None: ""}[second]
        case Certificate.FOUND:
            strict = decision.crypto is Crypto.STRICT and not announced
            return "held" if strict else "encrypted"
        case Certificate.CANNOT_TELL:
            return "deferred"
        case Certificate.NOT_ASKED:
            return ""
    if decision.without_certificate is WithoutCertificate.REFUSE:
        return "refused"
    allowed = decision.encryption is Encryption.IF_POSSIBLE
    if allowed and decision.without_certificate is WithoutCertificate.SEND_SIGNED:
        return "signed"
    return "held"


def _wants_header(verdict: Decision | Undecided) -> bool:
    return isinstance(verdict, Undecided) and verdict.problem.code == UNKNOWN_HEADER


def _accepted(conn: sa.Connection) -> Iterator[Record]:
    """`accepted` entries, newest first, a window of the log at a time."""
    end = head(conn).size
    while end > 0:
        begin = max(0, end - _WINDOW)
        raws = [raw for _, _, raw in read_raw(conn, begin, limit=end - begin)]
        wanted = [raw for raw in reversed(raws) if decode(raw).kind == "accepted"]
        for one in records(conn, wanted):
            if isinstance(one, ArchiveError):
                raise one
            yield one
        end = begin


def _past(conn: sa.Connection, accepted: Record) -> PastMail:
    decided: dict[str, dict[str, Any]] = {}
    for record in history(conn, accepted.entry.id):
        decided.update(_decisions(record))
    connection = json.loads(accepted.value("connection") or b"{}")
    received = connection.get("received")
    size = accepted.value("content.size")
    payload = accepted.payload or {}
    addresses = [
        one.value.decode("utf-8", "replace")
        for name, one in sorted(payload.items())
        if name.startswith("envelope.to.") and isinstance(one, Open)
    ]
    return PastMail(
        accepted.entry.id,
        datetime.fromisoformat(received) if received else accepted.entry.time,
        next((one["sender"] for one in decided.values() if "sender" in one), None),
        int(size) if size is not None else None,
        tuple(_recipient(address, decided.get(address, {})) for address in addresses),
    )


def _decisions(record: Record) -> dict[str, dict[str, Any]]:
    """Decision records of an entry by the address of their recipient; none of a delivery."""
    found = {}
    for name in record.payload or {}:
        area, _, number = name.partition(".")
        if area == "decision" and (value := record.value(name)):
            address = (record.value(f"recipient.{number}") or b"").decode("utf-8", "replace")
            found[address] = json.loads(value)
    return found


def _recipient(address: str, decision: Mapping[str, Any]) -> PastRecipient:
    because = decision.get("algorithms-because", {}).get("code", "")
    outcome = str(decision.get("outcome", ""))
    away = outcome in ("held", "refused", "deferred")
    return PastRecipient(
        address=address,
        rule=str(decision.get("rule", "")),
        outcome=outcome,
        copies=() if away else tuple(decision.get("copies", ())),
        certificate=_certificate(decision),
        announced=because == "crypto.capabilities",
        second=_second(decision),
    )


def _second(decision: Mapping[str, Any]) -> bool | None:
    """Whether there was a certificate with an ML-KEM key beside the other one."""
    if "outer-envelope" in decision:
        return True
    return False if _reason(decision) == NO_POST_QUANTUM else None


def _reason(decision: Mapping[str, Any]) -> str:
    return str(decision.get("reason", {}).get("code", ""))


def _certificate(decision: Mapping[str, Any]) -> Certificate:
    """What the record says was found; its reason names where the finding stopped."""
    if "certificate" in decision:
        return Certificate.FOUND
    if _reason(decision) == "crypto.unknown-strict":
        return Certificate.FOUND
    if "looked-in" not in decision:
        return Certificate.NOT_ASKED
    if decision.get("outcome") == "deferred":
        return Certificate.CANNOT_TELL
    if _reason(decision).startswith("policy."):
        return Certificate.NOT_ASKED  # held or refused by the rule, whatever was found
    return Certificate.NONE
