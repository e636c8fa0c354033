"""[policy] in the file: rules, lists, levels, partners (`gateway.policy` says what they mean)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.config import kinds
from gateway.config.reader import (
    KeyPath,
    named_tables,
    named_values,
    section,
    setting,
    table,
    tables,
)
from gateway.config.rules import rule_of
from gateway.policy import (
    Action,
    Crypto,
    Encryption,
    HeaderProtection,
    Levels,
    Partner,
    Pattern,
    Policy,
    Rule,
    Sensitivity,
    Sign,
    Tls,
    WithoutCertificate,
)
from gateway.policy.folding import Glob
from gateway.policy.times import Span
from pki.models import DomainCertificate


@section
class RuleSection:
    """[[policy.rules]]: see docs/policy.md. `rule_of` makes what `gateway.policy` takes.

    Outcomes that are None are not said. Sizes in bytes. sender, recipient: "list:NAME" stands for
    the patterns of a list. subject_mark, subject_start: as written, and folded. header: field name
    in lower case, pattern, as written.
    """

    name: str = setting(kinds.slug, example='"press"')
    sender: tuple[Pattern, ...] = setting(
        kinds.one_or_more(kinds.pattern_or_list),
        example='"@interior.example"',
        default=(Pattern("*"),),
    )
    recipient: tuple[Pattern, ...] = setting(
        kinds.one_or_more(kinds.pattern_or_list),
        example='["@justice.example", "*.justice.example"]',
        default=(Pattern("*"),),
    )
    sender_group: tuple[str, ...] = setting(
        kinds.one_or_more(kinds.group), example='"cabinet"', default=()
    )
    recipient_group: tuple[str, ...] = setting(
        kinds.one_or_more(kinds.group), example='["magistrats", "greffe"]', default=()
    )
    header: tuple[tuple[str, Glob, str], ...] = setting(
        kinds.one_or_more(kinds.header_pattern), example='"X-Classification: *restreint*"',
        default=(),
    )  # fmt: skip
    subject_mark: tuple[tuple[str, str], ...] = setting(
        kinds.one_or_more(kinds.mark), example='"[confidentiel]"', default=()
    )
    subject_start: tuple[tuple[str, str], ...] = setting(
        kinds.one_or_more(kinds.mark), example='["[secret]", "SECRET :"]', default=()
    )
    larger_than: int | None = setting(kinds.size, example='"10 MB"', default=None)
    smaller_than: int | None = setting(kinds.size, example='"1 MB"', default=None)
    sensitivity: tuple[Sensitivity, ...] = setting(
        kinds.one_or_more(kinds.choice(Sensitivity)),
        example='["private", "company-confidential"]',
        default=(),
    )
    time: tuple[Span, ...] = setting(
        kinds.one_or_more(kinds.span), example='"mon-fri 08:00-19:00 Europe/Paris"', default=()
    )
    encryption: Encryption | None = setting(
        kinds.choice(Encryption), example='"required"', default=None
    )
    without_certificate: WithoutCertificate | None = setting(
        kinds.choice(WithoutCertificate), example='"hold"', default=None
    )
    sign: Sign | None = setting(kinds.choice(Sign), example='"seal"', default=None)
    crypto: Crypto | None = setting(kinds.choice(Crypto), example='"modern"', default=None)
    request_receipt: bool | None = setting(kinds.boolean, example="true", default=None)
    route: str = setting(kinds.slug, example='"partners"', default="")
    tls: Tls | None = setting(kinds.choice(Tls), example='"verified"', default=None)
    action: Action | None = setting(kinds.choice(Action), example='"hold"', default=None)
    text: str = setting(
        kinds.text, example='"send this by the registry: +33 1 55 55 01 02"', default=""
    )
    copy: tuple[str, ...] = setting(
        kinds.one_or_more(kinds.mailbox), example='"registry@interior.example"', default=()
    )
    tell_sender_when_held: bool | None = setting(kinds.boolean, example="false", default=None)
    final: bool = setting(kinds.boolean, example="true", default=False)
    allow_weaker: bool = setting(kinds.boolean, example="true", default=False)


@section
class LevelSection:
    """[policy.domain."b.example"], [policy.person."a@b.example"]: rules of a level below."""

    rules: tuple[RuleSection, ...] = tables(RuleSection)


@section
class PartnerSection:
    """[[policy.partners]]: what was agreed with the owner of some domains."""

    domains: tuple[str, ...] = setting(
        kinds.list_of(kinds.domain, least=1), example='["justice.example"]'
    )
    crypto: Crypto = setting(kinds.choice(Crypto), example='"modern"')
    header_protection: HeaderProtection = setting(
        kinds.choice(HeaderProtection), example='"confidential"', default=HeaderProtection.OFF
    )
    domain_certificate: DomainCertificate = setting(
        kinds.choice(DomainCertificate),
        example='"preferred"',
        default=DomainCertificate.FALLBACK,
    )


@section
class PolicySection:
    """[policy]: rules in order, named lists, rules of domains and persons, partners."""

    lists: Mapping[str, tuple[Pattern, ...]] = named_values(kinds.address_list, name=kinds.slug)
    rules: tuple[RuleSection, ...] = tables(RuleSection)
    domain: Mapping[str, LevelSection] = named_tables(LevelSection, name=kinds.domain)
    person: Mapping[str, LevelSection] = named_tables(LevelSection, name=kinds.mailbox)
    partners: tuple[PartnerSection, ...] = tables(PartnerSection)

    def every_rule(self) -> Iterator[tuple[KeyPath, str, RuleSection]]:
        """All rules with where they stand, and the domain or person they are of ("" for none)."""
        for number, rule in enumerate(self.rules):
            yield ("policy", "rules", number), "", rule
        for kind, levels in (("domain", self.domain), ("person", self.person)):
            for name, level in levels.items():
                for number, rule in enumerate(level.rules):
                    yield ("policy", kind, name, "rules", number), name, rule

    def policy(self) -> Policy:
        """The policy in force, compiled."""

        def rules(sections: tuple[RuleSection, ...]) -> tuple[Rule, ...]:
            return tuple(rule_of(each, self.lists) for each in sections)

        return Policy(
            Levels(
                rules(self.rules),
                {name: rules(level.rules) for name, level in self.domain.items()},
                {name: rules(level.rules) for name, level in self.person.items()},
            ),
            (
                Partner(each.domains, each.crypto, each.header_protection, each.domain_certificate)
                for each in self.partners
            ),
        )


@section
class PolicyFile:
    """A file with nothing but a policy: for `sceau policy check` and `try`."""

    policy: PolicySection = table(PolicySection)
