"""What must hold between the rules of a policy, and between them and the rest of the file.

Everything here is certain: a rule that is told to be without effect has none, whatever mail comes.
Where it could only be suspected, nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gateway.config.policy_sections import RuleSection
from gateway.config.reader import Finding, KeyPath
from gateway.config.rules import lists_named, rule_of
from gateway.config.sections import Config, Route
from gateway.policy import (
    DEFAULT_RULE,
    Action,
    AddressSet,
    Encryption,
    Pattern,
    Rule,
    Sign,
    Tls,
    WithoutCertificate,
)
from gateway.policy.inherit import strictness
from gateway.policy.outcomes import TLS_ORDER
from pki.addresses import in_domain

Check = Callable[[Config], Iterator[Finding]]


def _wrong(path: KeyPath, template: str, example: str = "", **facts: str) -> Finding:
    return Finding(path, template, facts, example)


def _names(config: Config) -> Iterator[Finding]:
    """Names stand in decisions: one name is one rule, on whatever level."""
    seen: set[str] = set()
    for path, _, rule in config.policy.every_rule():
        if rule.name == DEFAULT_RULE.name:
            yield _wrong(
                (*path, "name"),
                '"default" is the name of the built-in last rule',
                'name = "everybody-else"',
            )
        elif rule.name in seen:
            yield _wrong((*path, "name"), "another one is already called {name}", name=rule.name)
        seen.add(rule.name)


def _partners(config: Config) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for number, partner in enumerate(config.policy.partners):
        for domain in partner.domains:
            if domain in seen:
                yield _wrong(
                    ("policy", "partners", number, "domains"),
                    "{domain} already stands in number {other}",
                    domain=domain,
                    other=str(seen[domain] + 1),
                )
            seen.setdefault(domain, number)


def _lists(config: Config) -> Iterator[Finding]:
    known = config.policy.lists
    for path, _, rule in config.policy.every_rule():
        for key, name in lists_named(rule):
            if name not in known:
                yield _wrong(
                    (*path, key),
                    "there is no list {name}; there are: {names}",
                    '[policy.lists] with press = ["@news.example"]',
                    name=name,
                    names=", ".join(known) or "-",
                )


def _lists_good(config: Config) -> bool:
    """Whether rules can be compiled: a list that could not be read would match nobody."""
    return all(
        config.policy.lists.get(name)
        for _, _, rule in config.policy.every_rule()
        for _, name in lists_named(rule)
    )


def _outcomes(config: Config) -> Iterator[Finding]:
    for path, level, rule in config.policy.every_rule():
        if rule.action is Action.REFUSE:
            yield from _refusing(path, rule)
            continue
        if rule.encryption is None and not level:
            yield _wrong((*path, "encryption"), "this key is missing", 'encryption = "required"')
        yield from _encryption(path, rule)
        if rule.text and rule.action is not Action.HOLD:
            yield _wrong(
                (*path, "text"),
                "nobody would read this text: it is for mail that a rule refuses or holds",
                'action = "refuse"',
            )


def _refusing(path: KeyPath, rule: RuleSection) -> Iterator[Finding]:
    if not rule.text:
        yield _wrong(
            (*path, "text"),
            "a rule that refuses mail must tell the sender why",
            'text = "mail of this kind goes through the registry"',
        )
    for key in (
        "encryption", "without_certificate", "sign", "crypto", "request_receipt", "route", "tls",
        "copy", "tell_sender_when_held", "allow_weaker",
    ):  # fmt: skip
        if getattr(rule, key):
            yield _wrong(
                (*path, key),
                "mail that this rule refuses never leaves, so this contradicts it",
                'action = "hold"',
            )


def _encryption(path: KeyPath, rule: RuleSection) -> Iterator[Finding]:
    outcome = rule.without_certificate
    if rule.encryption is Encryption.REQUIRED and outcome is WithoutCertificate.SEND_SIGNED:
        yield _wrong(
            (*path, "without_certificate"),
            "mail that must be encrypted never leaves in clear text: required and send-signed "
            "contradict each other",
            'without_certificate = "hold", or encryption = "if-possible"',
        )
    if rule.encryption is Encryption.IF_POSSIBLE and outcome is None:
        yield _wrong(
            (*path, "without_certificate"),
            "this rule must say what happens when encryption is not possible",
            'without_certificate = "send-signed"',
        )
    if rule.encryption is Encryption.NEVER:
        if outcome is not None:
            yield _wrong(
                (*path, "without_certificate"),
                'with encryption = "never" no certificate is looked for, so this says nothing',
            )
        if rule.crypto is not None:
            yield _wrong(
                (*path, "crypto"),
                'with encryption = "never" nothing is encrypted, so this says nothing',
            )
        if rule.sign is Sign.NONE and rule.request_receipt:
            yield _wrong(
                (*path, "request_receipt"),
                "a receipt is asked for inside a signature (RFC 2634), and this rule has none",
                'sign = "seal"',
            )
    elif rule.sign is Sign.NONE and rule.encryption is not None:
        yield _wrong(
            (*path, "sign"),
            "encrypted mail is always signed inside, or nobody would notice tampering: none is "
            'only possible with encryption = "never"',
            'sign = "seal"',
        )


def _routes(config: Config) -> Iterator[Finding]:
    routes = {route.name: route for route in config.routes}
    for path, _, rule in config.policy.every_rule():
        route = routes.get(rule.route)
        if rule.route and route is None:
            yield _wrong(
                (*path, "route"),
                "there is no route {name}; there are: {names}",
                name=rule.route,
                names=", ".join(routes) or "-",
            )
        if rule.tls is not None:
            yield from _tls(path, rule, [route] if route else _reached(config, rule))


def _reached(config: Config, rule: RuleSection) -> list[Route]:
    """The routes that mail of a rule may take, by the recipients it speaks of."""
    if not _lists_good(config):
        return []
    recipients = AddressSet(rule_of(rule, config.policy.lists).recipient)
    if recipients.every or recipients.below:
        return list(config.routes)
    domains = recipients.domains | {text.rpartition("@")[2] for text in recipients.exact}
    found = {}
    for domain in domains:
        fitting = [
            (not named.startswith("."), len(named), route)
            for route in config.routes
            for named in route.domains
            if in_domain(f"x@{domain}", named)
        ]
        best = max(fitting, key=lambda one: one[:2])[2] if fitting else None
        for route in config.routes:
            if route is best or (best is None and route.default):
                found[route.name] = route
    return list(found.values())


def _tls(path: KeyPath, rule: RuleSection, routes: Sequence[Route]) -> Iterator[Finding]:
    assert rule.tls is not None
    wanted = TLS_ORDER.index(rule.tls)
    if rule.tls is Tls.VERIFIED:
        for route in routes:
            if route.ca is None:
                yield _wrong(
                    (*path, "tls"),
                    "verified TLS needs the CA that the next hop's certificate is checked "
                    "against, and the route {name} has none",
                    'ca = "anchors/mx-ca.crt" under [[routes]]',
                    name=route.name,
                )
    elif routes and all(TLS_ORDER.index(route.tls) > wanted for route in routes):
        yield _wrong(
            (*path, "tls"),
            "the route {name} demands more already, and a rule can only demand more than a route",
            'tls = "verified"',
            name=routes[0].name,
        )


def _ours(config: Config) -> Iterator[Finding]:
    """Rules that no mail can match: mail is only taken From our own domains."""
    ours = AddressSet(Pattern("@" + domain) for domain in config.gateway.domains)
    names = ", ".join(config.gateway.domains)
    for domain in config.policy.domain:
        if domain not in config.gateway.domains:
            yield _wrong(
                ("policy", "domain", domain),
                "{domain} is not one of our domains ({names}), and these rules are for senders",
                domain=domain,
                names=names,
            )
    for person in config.policy.person:
        if not ours.has(person):
            yield _wrong(
                ("policy", "person", person),
                "{address} is not in one of our domains ({names}), and these rules are for senders",
                address=person,
                names=names,
            )
    if not _lists_good(config):
        return
    for path, level, rule in config.policy.every_rule():
        senders = AddressSet(rule_of(rule, config.policy.lists).sender)
        if level and "@" in level:
            if not senders.every:
                yield _wrong(
                    (*path, "sender"),
                    "this table is for mail of {address} alone: leave sender out",
                    address=level,
                )
        elif level and not senders.meets(AddressSet((Pattern("@" + level),))):
            yield _wrong(
                (*path, "sender"),
                "this rule never decides: the table is for senders of {domain}",
                domain=level,
            )
        elif not level and not senders.meets(ours):
            yield _wrong(
                (*path, "sender"),
                "this rule never decides: no sender is in one of our domains ({names})",
                names=names,
            )


def _sizes(config: Config) -> Iterator[Finding]:
    if not _lists_good(config):
        return
    for path, _, section in config.policy.every_rule():
        if not rule_of(section, config.policy.lists).possible:
            yield _wrong(
                (*path, "smaller_than"),
                "this rule never decides: no mail is larger and smaller than that",
                'larger_than = "1 MB" with smaller_than = "10 MB"',
            )


def _taken(config: Config) -> Iterator[Finding]:
    most = config.listen.max_size
    for path, _, section in config.policy.every_rule():
        if section.larger_than is not None and section.larger_than >= most:
            yield _wrong(
                (*path, "larger_than"),
                "this rule never decides: mail of more than {size} bytes is not taken "
                "(listen.max_size)",
                size=str(most),
            )


def _groups(config: Config) -> Iterator[Finding]:
    if any(each.groups.base for each in config.pki.directories):
        return
    for path, _, rule in config.policy.every_rule():
        for key in ("sender_group", "recipient_group"):
            if getattr(rule, key):
                yield _wrong(
                    (*path, key),
                    "no directory could tell who is in a group: none has [pki.directories.groups]",
                    'base = "ou=groups,dc=interior,dc=example" in [pki.directories.groups]',
                )


@dataclass(frozen=True, slots=True)
class _Placed:
    path: KeyPath
    rule: Rule
    effective: Rule  # with the senders that its table leaves it


def _placed(config: Config) -> dict[str, list[_Placed]]:
    """Compiled rules by the domain or person they are of, "" for the organisation's."""
    found: dict[str, list[_Placed]] = {"": []}
    if not _lists_good(config):
        return found
    for path, level, section in config.policy.every_rule():
        rule = rule_of(section, config.policy.lists)
        effective = rule
        if level and rule.senders.every:
            of = Pattern(level if "@" in level else "@" + level)
            effective = Rule(rule.name, (of,), rule.recipient, conditions=rule.conditions)
        found.setdefault(level, []).append(_Placed(path, rule, effective))
    return found


def _unreachable(config: Config) -> Iterator[Finding]:
    placed = _placed(config)
    for rules in placed.values():
        for number, one in enumerate(rules):
            before = next(
                (other for other in rules[:number] if other.effective.covers(one.effective)), None
            )
            if before:
                yield _wrong(
                    one.path,
                    "this rule never decides: the rule {name} stands before it and matches all "
                    "its mail",
                    name=before.rule.name,
                )
    for level, rules in placed.items():
        above = [placed[""]]
        if "@" in level:
            above.append(placed.get(level.rpartition("@")[2], []))
        for one in rules if level else ():
            last = next(filter(None, (_final_over(one, each) for each in above)), None)
            if last:
                yield _wrong(
                    one.path,
                    "this rule never decides: the rule {name} above it is final and matches all "
                    "its mail",
                    name=last.rule.name,
                )


def _final_over(one: _Placed, above: Sequence[_Placed]) -> _Placed | None:
    """The final rule that decides all mail of `one`: none before it lets any of it through."""
    for other in above:
        if not other.effective.meets(one.effective):
            continue
        if not other.rule.final:
            return None
        if other.effective.covers(one.effective):
            return other
    return None


def _weaker(config: Config) -> Iterator[Finding]:
    """Rules below whose word on encryption is never heard."""
    placed = _placed(config)
    for level, rules in placed.items():
        for one in rules if level else ():
            encryption = one.rule.encryption
            if encryption is None:
                continue
            without = one.rule.without_certificate or WithoutCertificate.HOLD
            mine = strictness((encryption, without))
            above = _above(one, placed[""])
            if all(not other.allow_weaker and _said(other) > mine for other in above):
                yield _wrong(
                    (*one.path, "encryption"),
                    "this never counts: the rule {name} of the organisation is stricter, and "
                    "does not allow levels below to be weaker",
                    "a rule of the organisation for this mail with allow_weaker = true",
                    name=above[0].name,
                )


def _above(one: _Placed, organisation: Sequence[_Placed]) -> list[Rule]:
    """The rules of the organisation that may match mail of a rule below."""
    found = []
    for other in organisation:
        if other.effective.meets(one.effective):
            found.append(other.rule)
            if other.effective.covers(one.effective):
                return found
    return [*found, DEFAULT_RULE]


def _said(rule: Rule) -> int:
    if rule.encryption is None:
        return 3
    return strictness((rule.encryption, rule.without_certificate or WithoutCertificate.HOLD))


POLICY_CHECKS: tuple[Check, ...] = (
    _names,
    _partners,
    _lists,
    _outcomes,
    _routes,
    _ours,
    _sizes,
    _taken,
    _groups,
    _unreachable,
    _weaker,
)
