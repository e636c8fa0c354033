"""Rules in order; the first that matches decides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from gateway.policy.patterns import Pattern


class Encryption(Enum):
    """Whether a mail must be encrypted for a recipient."""

    REQUIRED = "required"  # it leaves encrypted or it does not leave
    IF_POSSIBLE = "if-possible"  # without a certificate, what `without_certificate` names
    NEVER = "never"  # it leaves in clear text; no certificate is looked for


class WithoutCertificate(Enum):
    """What happens when every directory answered and there is no usable certificate."""

    REFUSE = "refuse"  # the sender gets a notice, the mail does not leave
    HOLD = "hold"  # the mail waits, visibly, for a person
    SEND_SIGNED = "send-signed"  # it leaves signed, in clear text


class Sign(Enum):
    """Who signs."""

    SEAL = "seal"  # the organisation's certificate for the sender's domain (RFC 3183)
    PERSON = "person"  # the sender, where a consent record and a key exist, else the seal
    NONE = "none"  # nobody


class Crypto(Enum):
    """Which algorithms a recipient gets whose own capabilities are not known (design §5)."""

    READABLE = "readable"  # what every client opens: AES-256-CBC, RSA PKCS#1 v1.5 or ECDH
    MODERN = "modern"  # agreed with the partner: AES-256-GCM, RSA-OAEP or ECDH
    STRICT = "strict"  # modern, and a recipient who is not known to read it is held


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. It matches when one of `sender` and one of `recipient` match.

    route: name of the route to use instead of the one chosen by domain, or "".
    """

    name: str
    sender: tuple[Pattern, ...]
    recipient: tuple[Pattern, ...]
    encryption: Encryption
    without_certificate: WithoutCertificate
    sign: Sign
    route: str = ""

    def matches(self, sender: str, recipient: str) -> bool:
        """Both canonical; sender "" where there is no address."""
        return any(pattern.matches(sender) for pattern in self.sender) and any(
            pattern.matches(recipient) for pattern in self.recipient
        )

    def covers(self, other: Rule) -> bool:
        """Whether `other`, standing after this one, can never decide anything."""
        return all(
            any(mine.covers(theirs) for mine in ours)
            for ours, all_theirs in ((self.sender, other.sender), (self.recipient, other.recipient))
            for theirs in all_theirs
        )


_ANYONE = (Pattern("*"),)

# The last rule of every policy. It fails closed: what no rule speaks of must be encrypted, and
# waits for a person when it cannot be.
DEFAULT_RULE = Rule(
    name="default",
    sender=_ANYONE,
    recipient=_ANYONE,
    encryption=Encryption.REQUIRED,
    without_certificate=WithoutCertificate.HOLD,
    sign=Sign.SEAL,
)


@dataclass(frozen=True, slots=True)
class Partner:
    """What was agreed with the owner of some domains. domains: canonical, exact."""

    domains: tuple[str, ...]
    crypto: Crypto


@dataclass(frozen=True, slots=True)
class Decision:
    """What policy wants for one sender and one recipient, and the rule that said so."""

    rule: str
    sender: str
    recipient: str
    encryption: Encryption
    without_certificate: WithoutCertificate
    sign: Sign
    crypto: Crypto
    route: str


class Policy:
    """The rules in force and what was agreed with partners. Immutable."""

    def __init__(self, rules: Iterable[Rule], partners: Iterable[Partner] = ()) -> None:
        self.rules = (*rules, DEFAULT_RULE)
        self._crypto = {domain: each.crypto for each in partners for domain in each.domains}

    def decide(self, sender: str, recipient: str) -> Decision:
        """The decision of the first rule that matches; there always is one.

        sender: the address in From, not the envelope's: the latter is not proved, and whoever can
            choose it could choose a rule that lets clear text out. "" where there is none.
        recipient: the envelope's. Both canonical (`pki.addresses.canonical`).
        """
        rule = next(rule for rule in self.rules if rule.matches(sender, recipient))
        return Decision(
            rule=rule.name,
            sender=sender,
            recipient=recipient,
            encryption=rule.encryption,
            without_certificate=rule.without_certificate,
            sign=rule.sign,
            crypto=self._crypto.get(recipient.rpartition("@")[2], Crypto.READABLE),
            route=rule.route,
        )
