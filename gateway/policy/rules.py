"""Rules as data: what they ask of a mail, and what they say is done with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.policy.conditions import Condition, LargerThan, Recipient, Sender, SmallerThan
from gateway.policy.mails import Mail
from gateway.policy.outcomes import (
    Action,
    Crypto,
    Encryption,
    HeaderProtection,
    Sign,
    Tls,
    WithoutCertificate,
)
from gateway.policy.patterns import AddressSet, Pattern
from pki.models import DomainCertificate


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One rule. It matches when one of `sender`, one of `recipient` and all conditions match.

    Outcomes that are None (or empty) are not said: a rule of a domain or a person leaves them to
    the level above, a rule of the organisation to the built-in defaults.

    conditions: the others, in the order in which they are looked at, dear ones last.
    route: name of the route to use instead of the one chosen by domain, or "".
    text: what the sender (refuse) or the operator (hold) reads. copy: canonical addresses.
    final: no level below is asked. allow_weaker: levels below may be laxer than this rule.
    """

    name: str
    sender: tuple[Pattern, ...]
    recipient: tuple[Pattern, ...]
    encryption: Encryption | None = None
    without_certificate: WithoutCertificate | None = None
    sign: Sign | None = None
    route: str = ""
    conditions: tuple[Condition, ...] = ()
    crypto: Crypto | None = None
    receipt: bool | None = None
    tls: Tls | None = None
    action: Action | None = None
    text: str = ""
    copy: tuple[str, ...] = ()
    tell_held: bool | None = None
    final: bool = False
    allow_weaker: bool = False
    senders: AddressSet = field(init=False, repr=False)
    recipients: AddressSet = field(init=False, repr=False)
    compiled: tuple[Condition, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        senders, recipients = AddressSet(self.sender), AddressSet(self.recipient)
        object.__setattr__(self, "senders", senders)
        object.__setattr__(self, "recipients", recipients)
        who: list[Condition] = []
        if not senders.every:
            who.append(Sender(senders))
        if not recipients.every:
            who.append(Recipient(recipients))
        object.__setattr__(self, "compiled", (*who, *self.conditions))

    def match(self, mail: Mail, recipient: str) -> tuple[bool | None, Condition | None]:
        """Whether it matches (None: nobody can tell), and the condition it hangs on.

        A condition that does not hold decides against the rule even where another is not known.
        """
        unknown: Condition | None = None
        for condition in self.compiled:
            found = condition.check(mail, recipient)
            if found:
                continue
            if found is False:
                return False, condition
            unknown = unknown or condition
        return (True, None) if unknown is None else (None, unknown)

    def covers(self, other: Rule) -> bool:
        """Whether this one matches whenever `other` does. Never True where it does not."""
        return (
            self.senders.covers(other.senders)
            and self.recipients.covers(other.recipients)
            and all(
                any(mine.covers(theirs) for theirs in other.conditions) for mine in self.conditions
            )
        )

    def meets(self, other: Rule) -> bool:
        """Whether a mail may match both. Never False where one does."""
        return (
            self.senders.meets(other.senders)
            and self.recipients.meets(other.recipients)
            and _range_left((*self.conditions, *other.conditions))
        )

    @property
    def possible(self) -> bool:
        """Whether any size of mail could match. Never False where one does."""
        return _range_left(self.conditions)


def _range_left(conditions: tuple[Condition, ...]) -> bool:
    least = max((c.size for c in conditions if isinstance(c, LargerThan)), default=-1)
    most = min((c.size for c in conditions if isinstance(c, SmallerThan)), default=None)
    return most is None or least + 1 < most


ANYONE = (Pattern("*"),)

# The last rule of every policy. It fails closed: what no rule speaks of must be encrypted, and
# waits for a person when it cannot be.
DEFAULT_RULE = Rule(
    name="default",
    sender=ANYONE,
    recipient=ANYONE,
    encryption=Encryption.REQUIRED,
    without_certificate=WithoutCertificate.HOLD,
    sign=Sign.SEAL,
)


@dataclass(frozen=True, slots=True)
class Partner:
    """What was agreed with the owner of some domains. domains: canonical, exact."""

    domains: tuple[str, ...]
    crypto: Crypto
    header_protection: HeaderProtection = HeaderProtection.OFF
    domain_certificate: DomainCertificate = DomainCertificate.FALLBACK


@dataclass(frozen=True, slots=True)
class Levels:
    """Rules by level, each list in its order; the organisation's without the built-in last one.

    domains, persons: by canonical domain and address of the author.
    """

    organisation: tuple[Rule, ...]
    domains: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    persons: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
