"""What a rule can ask of a mail. Each condition holds, does not hold, or nobody can tell.

`check` gives True, False or None (cannot tell). A rule matches when all its conditions hold; one
that does not hold decides against it, whatever else is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from gateway.i18n import message
from gateway.policy import times
from gateway.policy.folding import Glob
from gateway.policy.mails import Mail
from gateway.policy.outcomes import Sensitivity
from gateway.policy.patterns import AddressSet
from pki.errors import Problem

# A condition on the header of a mail whose header is not known.
UNKNOWN_HEADER = "policy.unknown-header"

# What mail programs put before the subject of an answer or of a mail passed on.
_ANSWER = re.compile(r"(?:(?:re|aw|sv|fw|fwd|tr|wg|rv|ref|rep) ?+(?:\[\d++\])? ?+: ?+)*+")


class Condition(Protocol):
    """One condition of a rule. key: as the configuration calls it."""

    key: ClassVar[str]

    def check(self, mail: Mail, recipient: str) -> bool | None:
        """recipient: canonical."""
        ...

    def why(self, mail: Mail, recipient: str) -> Problem:
        """Why it does not hold, or what is not known: for `explain`, and for mail that waits."""
        ...

    def covers(self, other: Condition) -> bool:
        """Whether it holds whenever `other`, of the same kind, does. Never True otherwise."""
        ...

    @property
    def words(self) -> tuple[str, ...]:
        """As the configuration writes it."""
        ...


@dataclass(frozen=True, slots=True)
class Sender:
    """The address in From is one of these."""

    addresses: AddressSet
    key: ClassVar[str] = "sender"

    def check(self, mail: Mail, recipient: str) -> bool | None:
        """See `Condition`."""
        return None if mail.author is None else self.addresses.has(mail.author)

    def why(self, mail: Mail, recipient: str) -> Problem:
        """See `Condition`."""
        if mail.author is None:
            return Problem("policy.unknown-sender", "the sender is not known yet")
        return _none_of("sender", "the sender {value} is not {wanted}", mail.author, self.words)

    def covers(self, other: Condition) -> bool:
        """See `Condition`."""
        return isinstance(other, Sender) and self.addresses.covers(other.addresses)

    @property
    def words(self) -> tuple[str, ...]:
        """See `Condition`."""
        return self.addresses.words


@dataclass(frozen=True, slots=True)
class Recipient:
    """The recipient is one of these."""

    addresses: AddressSet
    key: ClassVar[str] = "recipient"

    def check(self, mail: Mail, recipient: str) -> bool:
        """See `Condition`."""
        return self.addresses.has(recipient)

    def why(self, mail: Mail, recipient: str) -> Problem:
        """See `Condition`."""
        return _none_of("recipient", "the recipient {value} is not {wanted}", recipient, self.words)

    def covers(self, other: Condition) -> bool:
        """See `Condition`."""
        return isinstance(other, Recipient) and self.addresses.covers(other.addresses)

    @property
    def words(self) -> tuple[str, ...]:
        """See `Condition`."""
        return self.addresses.words


@dataclass(frozen=True, slots=True)
class LargerThan:
    """The mail has more bytes than that."""

    size: int
    key: ClassVar[str] = "larger_than"

    def check(self, mail: Mail, recipient: str) -> bool | None:
        """See `Condition`."""
        return None if mail.size is None else mail.size > self.size

    def why(self, mail: Mail, recipient: str) -> Problem:
        """See `Condition`."""
        template = message("the mail has {value} bytes, not more than {wanted}")
        return _size("larger-than", template, mail.size, self.size)

    def covers(self, other: Condition) -> bool:
        """See `Condition`."""
        return isinstance(other, LargerThan) and self.size <= other.size

    @property
    def words(self) -> tuple[str, ...]:
        """See `Condition`."""
        return (f"{self.size} B",)


@dataclass(frozen=True, slots=True)
class SmallerThan:
    """The mail has fewer bytes than that."""

    size: int
    key: ClassVar[str] = "smaller_than"

    def check(self, mail: Mail, recipient: str) -> bool | None:
        """See `Condition`."""
        return None if mail.size is None else mail.size < self.size

    def why(self, mail: Mail, recipient: str) -> Problem:
        """See `Condition`."""
        template = message("the mail has {value} bytes, not fewer than {wanted}")
        return _size("smaller-than", template, mail.size, self.size)

    def covers(self, other: Condition) -> bool:
        """See `Condition`."""
        return isinstance(other, SmallerThan) and self.size >= other.size

    @property
    def words(self) -> tuple[str, ...]:
        """See `Condition`."""
        return (f"{self.size} B",)


@dataclass(frozen=True, slots=True)
class AtTime:
    """The mail was accepted in one of these spans of the week."""

    spans: tuple[times.Span, ...]
    key: ClassVar[str] = "time"

    def check(self, mail: Mail, recipient: str) -> bool | None:
        """See `Condition`."""
        moment = mail.moment
        return None if moment is None else any(span.has(moment) for span in self.spans)

    def why(self, mail: Mail, recipient: str) -> Problem:
        """See `Condition`."""
        if mail.moment is None:
            return Problem("policy.unknown-time", "the time of acceptance is not known")
        value = mail.moment.strftime("%Y-%m-%d %H:%M:%S%z")
        return _none_of("time", "the mail came at {value}, not in {wanted}", value, self.words)

    def covers(self, other: Condition) -> bool:
        """See `Condition`."""
        return isinstance(other, AtTime) and times.covers(self.spans, other.spans)

    @property
    def words(self) -> tuple[str, ...]:
        """See `Condition`."""
        return tuple(span.text for span in self.spans)


@dataclass(frozen=True, slots=True)
class OfSensitivity:
    """The header says one of these sensitivities (RFC 2156, RFC 4021)."""

    levels: tuple[Sensitivity, ...]
    key: ClassVar[str] = "sensitivity"

    def check(self, mail: Mail, recipient: str) -> bool | None:
        """See `Condition`."""
        values = mail.header.values("sensitivity")
        if values is None:
            return None
        return any(level.value == value for level in self.levels for value in values)

    def why(self, mail: Mail, recipient: str) -> Problem:
        """See `Condition`."""
        if mail.header.values("sensitivity") is None:
            return _unknown_header("Sensitivity")
        return Problem(
            "policy.not-sensitivity",
            "the header does not say Sensitivity: {wanted}",
            {"wanted": ", ".join(self.words)},
        )

    def covers(self, other: Condition) -> bool:
        """See `Condition`."""
        return isinstance(other, OfSensitivity) and set(self.levels) >= set(other.levels)

    @property
    def words(self) -> tuple[str, ...]:
        """See `Condition`."""
        return tuple(level.value for level in self.levels)


@dataclass(frozen=True, slots=True)
class SubjectMark:
    """One of these marks stands in a subject, wherever. marks: as written, and folded."""

    marks: tuple[tuple[str, str], ...]
    key: ClassVar[str] = "subject_mark"

    def check(self, mail: Mail, recipient: str) -> bool | None:
        """See `Condition`."""
        return _subjects(mail, lambda subject: any(mark in subject for _, mark in self.marks))

    def why(self, mail: Mail, recipient: str) -> Problem:
        """See `Condition`."""
        template = message("no subject has the mark {wanted}")
        return _no_mark("subject-mark", template, mail, self.words)

    def covers(self, other: Condition) -> bool:
        """See `Condition`."""
        return isinstance(other, SubjectMark) and all(
            any(mine in theirs for _, mine in self.marks) for _, theirs in other.marks
        )

    @property
    def words(self) -> tuple[str, ...]:
        """See `Condition`."""
        return tuple(text for text, _ in self.marks)


@dataclass(frozen=True, slots=True)
class SubjectStart:
    """A subject begins with one of these marks, "Re:" and the like not counted."""

    marks: tuple[tuple[str, str], ...]
    key: ClassVar[str] = "subject_start"

    def check(self, mail: Mail, recipient: str) -> bool | None:
        """See `Condition`."""
        marks = tuple(mark for _, mark in self.marks)

        def begins(subject: str) -> bool:
            if subject.startswith(marks):
                return True
            answer = _ANSWER.match(subject)
            return answer is not None and subject.startswith(marks, answer.end())

        return _subjects(mail, begins)

    def why(self, mail: Mail, recipient: str) -> Problem:
        """See `Condition`."""
        template = message("no subject begins with the mark {wanted}")
        return _no_mark("subject-start", template, mail, self.words)

    def covers(self, other: Condition) -> bool:
        """See `Condition`."""
        return isinstance(other, SubjectStart) and all(
            any(theirs.startswith(mine) for _, mine in self.marks) for _, theirs in other.marks
        )

    @property
    def words(self) -> tuple[str, ...]:
        """See `Condition`."""
        return tuple(text for text, _ in self.marks)


@dataclass(frozen=True, slots=True)
class HeaderField:
    """A header field fits one of these patterns.

    fields: name in lower case, pattern for the folded value, and both as they are written.
    """

    fields: tuple[tuple[str, Glob, str], ...]
    key: ClassVar[str] = "header"

    def check(self, mail: Mail, recipient: str) -> bool | None:
        """See `Condition`."""
        result: bool | None = False
        for name, glob, _ in self.fields:
            values = mail.header.values(name)
            if values is None:
                result = None
            elif any(glob.matches(value) for value in values):
                return True
        return result

    def why(self, mail: Mail, recipient: str) -> Problem:
        """See `Condition`."""
        unknown = [name for name, _, _ in self.fields if mail.header.values(name) is None]
        if unknown:
            return _unknown_header(unknown[0])
        return Problem(
            "policy.not-header",
            "no header field is {wanted}",
            {"wanted": ", ".join(self.words)},
        )

    def covers(self, other: Condition) -> bool:
        """See `Condition`."""
        return isinstance(other, HeaderField) and all(
            any(name == theirs and glob.covers(their_glob) for name, glob, _ in self.fields)
            for theirs, their_glob, _ in other.fields
        )

    @property
    def words(self) -> tuple[str, ...]:
        """See `Condition`."""
        return tuple(text for _, _, text in self.fields)


@dataclass(frozen=True, slots=True)
class SenderGroup:
    """A directory says that the author is in one of these groups. names: lower case."""

    names: tuple[str, ...]
    key: ClassVar[str] = "sender_group"

    def check(self, mail: Mail, recipient: str) -> bool | None:
        """See `Condition`."""
        return _in_group(mail, mail.author, self.names)

    def member(self, mail: Mail, recipient: str) -> str | None:
        """Whose groups must be asked for."""
        return mail.author

    def why(self, mail: Mail, recipient: str) -> Problem:
        """See `Condition`."""
        return _not_in_group(mail, mail.author, self.names)

    def covers(self, other: Condition) -> bool:
        """See `Condition`."""
        return isinstance(other, SenderGroup) and set(self.names) >= set(other.names)

    @property
    def words(self) -> tuple[str, ...]:
        """See `Condition`."""
        return self.names


@dataclass(frozen=True, slots=True)
class RecipientGroup:
    """A directory says that the recipient is in one of these groups. names: lower case."""

    names: tuple[str, ...]
    key: ClassVar[str] = "recipient_group"

    def check(self, mail: Mail, recipient: str) -> bool | None:
        """See `Condition`."""
        return _in_group(mail, recipient, self.names)

    def member(self, mail: Mail, recipient: str) -> str | None:
        """Whose groups must be asked for."""
        return recipient

    def why(self, mail: Mail, recipient: str) -> Problem:
        """See `Condition`."""
        return _not_in_group(mail, recipient, self.names)

    def covers(self, other: Condition) -> bool:
        """See `Condition`."""
        return isinstance(other, RecipientGroup) and set(self.names) >= set(other.names)

    @property
    def words(self) -> tuple[str, ...]:
        """See `Condition`."""
        return self.names


def fields_of(condition: Condition) -> tuple[str, ...]:
    """The header fields, in lower case, that a condition looks at."""
    match condition:
        case HeaderField(fields):
            return tuple(name for name, _, _ in fields)
        case SubjectMark() | SubjectStart():
            return ("subject",)
        case OfSensitivity():
            return ("sensitivity",)
    return ()


def _subjects(mail: Mail, holds: Callable[[str], bool]) -> bool | None:
    """Of several subjects one is enough: programs show different ones of them."""
    subjects = mail.header.values("subject")
    return None if subjects is None else any(map(holds, subjects))


def _no_mark(code: str, template: str, mail: Mail, wanted: tuple[str, ...]) -> Problem:
    if mail.header.values("subject") is None:
        return _unknown_header("Subject")
    # The subject itself is not shown: reasons stand in logs and records.
    return Problem(f"policy.not-{code}", template, {"wanted": " / ".join(wanted)})


def _unknown_header(name: str) -> Problem:
    return Problem(
        UNKNOWN_HEADER,
        "the header field {name} is not known here: only the mail itself can tell",
        {"name": name},
    )


def _none_of(key: str, template: str, value: str, wanted: tuple[str, ...]) -> Problem:
    return Problem(f"policy.not-{key}", template, {"value": value, "wanted": " / ".join(wanted)})


def _size(key: str, template: str, size: int | None, wanted: int) -> Problem:
    if size is None:
        return Problem("policy.unknown-size", "the size of the mail is not known yet")
    return Problem(f"policy.not-{key}", template, {"value": str(size), "wanted": str(wanted)})


def _in_group(mail: Mail, address: str | None, names: tuple[str, ...]) -> bool | None:
    groups = mail.groups.get(address) if address is not None else None
    if groups is None or isinstance(groups, Problem):
        # A look-up that failed is never "in no group": the rule might be the one that protects.
        return None
    return not groups.isdisjoint(names)


def _not_in_group(mail: Mail, address: str | None, names: tuple[str, ...]) -> Problem:
    groups = mail.groups.get(address) if address is not None else None
    if isinstance(groups, Problem):
        return groups
    facts = {"value": address or "-", "wanted": " / ".join(names)}
    if groups is None:
        return Problem(
            "directory.groups", "nobody could tell whether {value} is in the group {wanted}", facts
        )
    return Problem("policy.not-group", "{value} is not in the group {wanted}", facts)
