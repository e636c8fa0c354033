"""From the matching rules of the levels to one outcome: organisation, domain, person.

Each outcome comes from the most specific rule that says it. A level below may be stricter than
the one above, never laxer, unless the rule above says `allow_weaker`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.policy.outcomes import (
    ACTION_ORDER,
    CRYPTO_ORDER,
    TLS_ORDER,
    Action,
    Crypto,
    Encryption,
    Sign,
    Tls,
    WithoutCertificate,
)
from gateway.policy.rules import Rule

T = TypeVar("T")

Clear = tuple[Encryption, WithoutCertificate]
_SIGN_STRENGTH = {Sign.NONE: 0, Sign.SEAL: 1, Sign.PERSON: 1, Sign.PERSON_ONLY: 2}


@dataclass(frozen=True, slots=True)
class Copy:
    """An address that gets the mail too, and the rule that wants it."""

    address: str
    rule: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What some rules together say. crypto: None where none does (the partner's counts then).

    encryption_rule, action_rule: whose word holds, where a level above is stricter.
    """

    encryption: Encryption
    without_certificate: WithoutCertificate
    encryption_rule: str
    sign: Sign
    crypto: Crypto | None
    route: str
    tls: Tls | None
    receipt: bool
    action: Action
    action_rule: str
    text: str
    copies: tuple[Copy, ...]
    tell_held: bool


def strictness(clear: Clear) -> int:
    """How little clear text can leave: 3 is none, 0 is all."""
    match clear:
        case (Encryption.REQUIRED, _):
            return 3
        case (Encryption.IF_POSSIBLE, WithoutCertificate.SEND_SIGNED):
            return 1
        case (Encryption.IF_POSSIBLE, _):
            return 2
    return 0


@dataclass(slots=True)
class _Floor(Generic[T]):
    """A value that levels below may raise and not lower. by: name of the rule it is of."""

    rank: Callable[[T], int]
    value: T | None = None
    by: str = ""
    least: T | None = None
    least_by: str = ""

    def say(self, value: T | None, rule: Rule) -> None:
        """What a rule says (None: nothing); the levels in order, the most general first."""
        if value is not None:
            self.value, self.by = value, rule.name
            if self.least is not None and self.rank(value) < self.rank(self.least):
                self.value, self.by = self.least, self.least_by
        if not rule.allow_weaker and self.value is not None:
            self.least, self.least_by = self.value, self.by


def combine(rules: Sequence[Rule]) -> Outcome:
    """The outcome of the matching rules, the organisation's first, at most one of each level."""
    clear: _Floor[Clear] = _Floor(strictness)
    sign: _Floor[Sign] = _Floor(lambda value: _SIGN_STRENGTH[value])
    tls: _Floor[Tls] = _Floor(TLS_ORDER.index)
    crypto: _Floor[Crypto] = _Floor(CRYPTO_ORDER.index)
    action: _Floor[Action] = _Floor(ACTION_ORDER.index)
    copies: dict[str, Copy] = {}
    for rule in rules:
        clear.say(_clear(rule, clear.value), rule)
        sign.say(rule.sign, rule)
        tls.say(rule.tls, rule)
        crypto.say(rule.crypto, rule)
        action.say(rule.action, rule)
        for address in rule.copy:
            copies.setdefault(address, Copy(address, rule.name))
    encryption, without = clear.value or (Encryption.REQUIRED, WithoutCertificate.HOLD)
    signs = sign.value or Sign.SEAL
    if signs is Sign.NONE and encryption is not Encryption.NEVER:
        signs = Sign.SEAL  # encrypted mail is always signed inside
    return Outcome(
        encryption=encryption,
        without_certificate=without,
        encryption_rule=clear.by or rules[0].name,
        sign=signs,
        crypto=crypto.value,
        route=next((rule.route for rule in reversed(rules) if rule.route), ""),
        tls=tls.value,
        receipt=bool(_last(rules, lambda rule: rule.receipt)),
        action=action.value or Action.SEND,
        action_rule=action.by,
        text=next((rule.text for rule in rules if rule.name == action.by), ""),
        copies=tuple(copies.values()),
        tell_held=_last(rules, lambda rule: rule.tell_held) is not False,
    )


def _clear(rule: Rule, above: Clear | None) -> Clear | None:
    """What a rule says of clear text; half of it may come from the level above."""
    if rule.encryption is None and rule.without_certificate is None:
        return None
    if rule.encryption is not None:
        return rule.encryption, rule.without_certificate or WithoutCertificate.HOLD
    encryption, before = above or (Encryption.REQUIRED, WithoutCertificate.HOLD)
    return encryption, rule.without_certificate or before


def _last(rules: Sequence[Rule], get: Callable[[Rule], bool | None]) -> bool | None:
    found = [value for rule in rules if (value := get(rule)) is not None]
    return found[-1] if found else None
