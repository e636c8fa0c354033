"""Which rule decides, and what is to be done: one function for the gateway and for `explain`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from gateway.policy.canonical import canonical_text, fingerprint
from gateway.policy.conditions import RecipientGroup, SenderGroup, fields_of
from gateway.policy.inherit import Copy, Outcome, combine
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
from gateway.policy.rules import DEFAULT_RULE, Levels, Partner, Rule
from pki.errors import Problem
from pki.models import DomainCertificate

# Decisions that are kept, where sender and recipient alone decide.
_REMEMBERED = 16_384


class Level(Enum):
    """Who wrote a rule, the most general first."""

    ORGANISATION = "organisation"
    DOMAIN = "domain"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Decision:
    """What policy wants for one sender and one recipient, and the rules that said so.

    rule: the most specific rule that matched. rules: all that matched, the organisation's first.
    encryption_rule, action_rule: whose word on this holds ("" for no action): not `rule` where a
        level above is stricter.
    text: for an action, what the rule says to people. copies: who gets the mail too.
    tell_held: whether the sender hears of it when the mail is held.
    policy: beginning of the hash of the policy, as the log names it.
    """

    rule: str
    rules: tuple[str, ...]
    sender: str
    recipient: str
    encryption: Encryption
    without_certificate: WithoutCertificate
    encryption_rule: str
    sign: Sign
    crypto: Crypto
    header_protection: HeaderProtection
    route: str
    tls: Tls | None
    receipt: bool
    action: Action
    action_rule: str
    text: str
    copies: tuple[Copy, ...]
    tell_held: bool
    policy: str


@dataclass(frozen=True, slots=True)
class Undecided:
    """Nobody can tell whether a rule matches: the mail waits, for it might be the strictest.

    rule: the first rule that hangs on what is not known. problem: what that is.
    """

    rule: str
    sender: str
    recipient: str
    problem: Problem
    policy: str


@dataclass(frozen=True, slots=True)
class Step:
    """A rule that was looked at. matched: None where nobody can tell. why: None for a match."""

    level: Level
    rule: Rule
    matched: bool | None
    why: Problem | None


Verdict = Decision | Undecided


class Policy:
    """The rules in force and what was agreed with partners. Immutable; compiled once."""

    def __init__(
        self,
        rules: Iterable[Rule] | Levels,
        partners: Iterable[Partner] = (),
    ) -> None:
        self.levels = rules if isinstance(rules, Levels) else Levels(tuple(rules))
        self.partners = tuple(partners)
        self.rules = (*self.levels.organisation, DEFAULT_RULE)
        self.text = canonical_text(self.levels, self.partners)
        self.sha256 = fingerprint(self.text)
        self._short = self.sha256[:16]
        self._agreed = {domain: each for each in self.partners for domain in each.domains}
        self._outcomes: dict[tuple[str, ...], tuple[Outcome, tuple[str, ...]]] = {}
        every = list(self.every_rule())
        self._rules_with_two = any(rule.crypto is Crypto.HYBRID for _, _, rule in every)
        self.asks_groups = any(_group_conditions(rule) for _, _, rule in every)
        # Without conditions on the mail itself, sender and recipient alone decide.
        self.asks_mail = any(rule.conditions for _, _, rule in every)
        self._plain = lru_cache(maxsize=_REMEMBERED)(self._decide_plain)
        self._copies = any(rule.copy for _, _, rule in every)

    def every_rule(self) -> Iterator[tuple[Level, str, Rule]]:
        """All rules with level and the domain or person they are of, the built-in one last."""
        for domain, rules in self.levels.domains.items():
            yield from ((Level.DOMAIN, domain, rule) for rule in rules)
        for person, rules in self.levels.persons.items():
            yield from ((Level.PERSON, person, rule) for rule in rules)
        yield from ((Level.ORGANISATION, "", rule) for rule in self.rules)

    def decide(self, mail: Mail, recipient: str, trace: list[Step] | None = None) -> Verdict:
        """What is done with this mail for this recipient.

        recipient: the envelope's, canonical (`pki.addresses.canonical`).
        trace: where each rule that was looked at is written down, in order.
        """
        if trace is None and not self.asks_mail:
            # Sender and recipient alone decide: the same pair has the same decision for ever.
            return self._plain(mail.author, recipient)
        return self._decide(mail, recipient, trace)

    def _decide_plain(self, author: str | None, recipient: str) -> Verdict:
        return self._decide(Mail(author), recipient, None)

    def _decide(self, mail: Mail, recipient: str, trace: list[Step] | None) -> Verdict:
        matched: list[Rule] = []
        for level, rules in self._asked(mail.author):
            found = self._first(level, rules, mail, recipient, trace)
            if isinstance(found, Undecided):
                return found
            if found is not None:
                matched.append(found)
                if found.final:
                    break
        return self._decision(matched, mail.author or "", recipient)

    def _asked(self, author: str | None) -> Sequence[tuple[Level, tuple[Rule, ...]]]:
        """The lists of rules that are looked through for an author, the most general first."""
        organisation = ((Level.ORGANISATION, self.rules),)
        levels = self.levels
        if not author or not (levels.domains or levels.persons):
            return organisation
        return (
            *organisation,
            (Level.DOMAIN, levels.domains.get(_domain(author), ())),
            (Level.PERSON, levels.persons.get(author, ())),
        )

    def _first(
        self,
        level: Level,
        rules: tuple[Rule, ...],
        mail: Mail,
        recipient: str,
        trace: list[Step] | None,
    ) -> Rule | Undecided | None:
        for rule in rules:
            matched, condition = rule.match(mail, recipient)
            if trace is not None:
                why = None if condition is None else condition.why(mail, recipient)
                trace.append(Step(level, rule, matched, why))
            if matched:
                return rule
            if matched is None:
                assert condition is not None
                # Not the next rule: it may be laxer than the one that nobody can judge (I3).
                return Undecided(
                    rule.name,
                    mail.author or "",
                    recipient,
                    condition.why(mail, recipient),
                    self._short,
                )
        return None

    def _decision(self, matched: Sequence[Rule], author: str, recipient: str) -> Decision:
        key = tuple(rule.name for rule in matched)
        cached = self._outcomes.get(key)
        if cached is None:
            cached = self._outcomes[key] = (combine(matched), key)
        outcome, names = cached
        crypto = outcome.crypto or self.agreed_with(recipient)
        return Decision(
            names[-1],
            names,
            author,
            recipient,
            outcome.encryption,
            outcome.without_certificate,
            outcome.encryption_rule,
            outcome.sign,
            crypto,
            self.protected_for(recipient),
            outcome.route,
            outcome.tls,
            outcome.receipt,
            outcome.action,
            outcome.action_rule,
            outcome.text,
            outcome.copies,
            outcome.tell_held,
            self._short,
        )

    def header_names(self) -> frozenset[str]:
        """The header fields (lower case) that any rule looks at."""
        return frozenset(
            name
            for _, _, rule in self.every_rule()
            for condition in rule.conditions
            for name in fields_of(condition)
        )

    def agreed_with(self, recipient: str) -> Crypto:
        """The algorithms agreed with the owner of an address's domain, where no rule names any."""
        agreed = self._agreed.get(_domain(recipient))
        return Crypto.READABLE if agreed is None else agreed.crypto

    def two_envelopes(self, recipient: str) -> bool:
        """Whether mail to this address may need a second envelope, whoever writes it."""
        return self._rules_with_two or self.agreed_with(recipient) is Crypto.HYBRID

    @property
    def two_envelopes_anywhere(self) -> bool:
        """Whether any rule or partner asks for two."""
        return self._rules_with_two or any(p.crypto is Crypto.HYBRID for p in self.partners)

    def two_envelopes_possible(self, recipient: str) -> bool:
        """Whether a rule that may decide for him asks for two, or leaves them to what was agreed.

        Of an author and a mail that nobody knows yet, as `always_required`.
        """
        possible = self.possible(Mail(None), recipient)
        if any(rule.crypto is Crypto.HYBRID for _, rule in possible):
            return True
        # What a rule says comes before what was agreed; that of a level below may not match.
        silent = any(
            level is Level.ORGANISATION and rule.crypto is None for level, rule in possible
        )
        return silent and self.agreed_with(recipient) is Crypto.HYBRID

    def protected_for(self, recipient: str) -> HeaderProtection:
        """What was agreed with the owner of an address's domain about header fields."""
        agreed = self._agreed.get(_domain(recipient))
        return HeaderProtection.OFF if agreed is None else agreed.header_protection

    def domain_certificate_of(self, recipient: str) -> DomainCertificate:
        """How a certificate of the whole domain is used for an address of it, if one is pinned."""
        agreed = self._agreed.get(_domain(recipient))
        return DomainCertificate.FALLBACK if agreed is None else agreed.domain_certificate

    # -- before everything is known ------------------------------------------------------------

    def possible(self, mail: Mail, recipient: str) -> list[tuple[Level, Rule]]:
        """Every rule that might decide once what is not known now is known; all of them.

        An author that is not known may be any: the rules of all domains and persons count.
        """
        lists = list(self._asked(mail.author))
        if mail.author is None:
            lists += [(Level.DOMAIN, rules) for rules in self.levels.domains.values()]
            lists += [(Level.PERSON, rules) for rules in self.levels.persons.values()]
        found: list[tuple[Level, Rule]] = []
        for level, rules in lists:
            for rule in rules:
                matched, _ = rule.match(mail, recipient)
                if matched is not False:
                    found.append((level, rule))
                if matched:
                    break
        return found

    def group_members(self, mail: Mail, recipient: str) -> set[str]:
        """Addresses whose groups must be known before this mail can be decided."""
        if not self.asks_groups:
            return set()
        return {
            member
            for _, rule in self.possible(mail, recipient)
            for condition in _group_conditions(rule)
            if (member := condition.member(mail, recipient)) is not None
            and member not in mail.groups
        }

    def addresses_to_find(self, mail: Mail, recipient: str) -> set[str]:
        """Who may need a certificate: the recipient, and those who may get a copy.

        Of mail whose header is not known yet these are more than in the end: a look-up too many
        costs time, one too few would make the mail wait.
        """
        if not self.asks_mail:
            verdict = self.decide(mail, recipient)
            copies = verdict.copies if isinstance(verdict, Decision) else ()
            wanted = {copy.address for copy in copies}
            if isinstance(verdict, Undecided) or verdict.encryption is not Encryption.NEVER:
                wanted.add(recipient)
            return wanted
        possible = self.possible(mail, recipient)
        wanted = {address for _, rule in possible for address in rule.copy}
        if any(_may_encrypt(level, rule) for level, rule in possible):
            wanted.add(recipient)
        return wanted

    def possible_copies(self, mail: Mail, recipient: str) -> set[str]:
        """Addresses that may get a copy of what goes to this recipient."""
        if not self._copies:
            return set()
        return {address for _, rule in self.possible(mail, recipient) for address in rule.copy}

    def always_required(self, recipient: str) -> str | None:
        """The rule by which mail to him must be encrypted whatever else the mail is; None where
        any rule might let it leave otherwise, or wants a person to look at it.

        For the refusal at RCPT, where neither From nor the mail is known yet: refused is only
        what no possible rule would let through.
        """
        possible = self.possible(Mail(None), recipient)
        above = [rule for level, rule in possible if level is Level.ORGANISATION]
        below = [rule for level, rule in possible if level is not Level.ORGANISATION]
        for rule in above:
            if rule.encryption is not Encryption.REQUIRED or rule.action is Action.HOLD:
                return None
            if rule.allow_weaker and any(_may_weaken(each) for each in below):
                return None
        if any(rule.action is Action.HOLD for rule in below):
            return None
        return above[0].name


def _domain(address: str) -> str:
    return address[address.rfind("@") + 1 :]


def _may_encrypt(level: Level, rule: Rule) -> bool:
    """Where a rule of the organisation says nothing, `required` is meant."""
    if rule.encryption is None:
        return level is Level.ORGANISATION
    return rule.encryption is not Encryption.NEVER


def _may_weaken(rule: Rule) -> bool:
    return rule.encryption is not None and rule.encryption is not Encryption.REQUIRED


def _group_conditions(rule: Rule) -> list[SenderGroup | RecipientGroup]:
    return [c for c in rule.conditions if isinstance(c, SenderGroup | RecipientGroup)]
