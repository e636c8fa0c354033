"""From a rule as it is written to a rule as `gateway.policy` takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.config.kinds.policy import LIST
from gateway.policy import Pattern, Rule
from gateway.policy.conditions import (
    AtTime,
    Condition,
    HeaderField,
    LargerThan,
    OfSensitivity,
    RecipientGroup,
    SenderGroup,
    SmallerThan,
    SubjectMark,
    SubjectStart,
)

if TYPE_CHECKING:
    from gateway.config.policy_sections import RuleSection

Lists = Mapping[str, tuple[Pattern, ...]]


def rule_of(section: RuleSection, lists: Lists) -> Rule:
    """The rule. Raises KeyError for a list that is not there (a check has told it)."""
    return Rule(
        name=section.name,
        sender=_resolved(section.sender, lists),
        recipient=_resolved(section.recipient, lists),
        conditions=tuple(_conditions(section)),
        encryption=section.encryption,
        without_certificate=section.without_certificate,
        sign=section.sign,
        crypto=section.crypto,
        receipt=section.request_receipt,
        route=section.route,
        tls=section.tls,
        action=section.action,
        text=section.text,
        copy=section.copy,
        tell_held=section.tell_sender_when_held,
        final=section.final,
        allow_weaker=section.allow_weaker,
    )


def lists_named(section: RuleSection) -> list[tuple[str, str]]:
    """The lists that a rule names, each with the key it stands in."""
    return [
        (key, pattern.text.removeprefix(LIST))
        for key, patterns in (("sender", section.sender), ("recipient", section.recipient))
        for pattern in patterns
        if pattern.text.startswith(LIST)
    ]


def _resolved(patterns: tuple[Pattern, ...], lists: Lists) -> tuple[Pattern, ...]:
    found: list[Pattern] = []
    for pattern in patterns:
        if pattern.text.startswith(LIST):
            name = pattern.text.removeprefix(LIST)
            found += [Pattern(one.text, of=name) for one in lists[name]]
        else:
            found.append(pattern)
    return tuple(found)


def _conditions(section: RuleSection) -> list[Condition]:
    """In the order of what they cost: numbers, then the header, then what a directory says."""
    found: list[Condition] = []
    if section.larger_than is not None:
        found.append(LargerThan(section.larger_than))
    if section.smaller_than is not None:
        found.append(SmallerThan(section.smaller_than))
    if section.time:
        found.append(AtTime(section.time))
    if section.sensitivity:
        found.append(OfSensitivity(section.sensitivity))
    if section.subject_start:
        found.append(SubjectStart(section.subject_start))
    if section.subject_mark:
        found.append(SubjectMark(section.subject_mark))
    if section.header:
        found.append(HeaderField(section.header))
    if section.sender_group:
        found.append(SenderGroup(section.sender_group))
    if section.recipient_group:
        found.append(RecipientGroup(section.recipient_group))
    return found
