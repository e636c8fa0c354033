"""What must hold between keys and between tables.

Each check is a generator for one subject. When some value could not be read, its own fault is
already told; a check that asks for it ends there, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import urlsplit

from gateway.config.reader import Finding, KeyPath
from gateway.config.sections import Config, Directory, Route, RuleSection, Tls
from gateway.policy import DEFAULT_RULE, Encryption, Sign, WithoutCertificate

Check = Callable[[Config], Iterator[Finding]]

# The authority and the escrow: one lost key must not close the archive for ever (design §4).
LEAST_ARCHIVE_RECIPIENTS = 2


def check(config: Config, *, complete: bool) -> list[Finding]:
    """All findings. complete: whether every value could be read."""
    findings: list[Finding] = []
    for subject in _SUBJECTS:
        try:
            findings.extend(subject(config))
        except AttributeError:
            if complete:
                raise
    return findings


def _wrong(path: KeyPath, template: str, example: str = "", **facts: str) -> Finding:
    return Finding(path, template, facts, example)


def _listen(config: Config) -> Iterator[Finding]:
    listen = config.listen
    if (listen.tls_certificate is None) != (listen.tls_key is None):
        yield _wrong(
            ("listen", "tls_key"),
            "tls_certificate and tls_key go together",
            'tls_certificate = "keys/smtp.crt" with tls_key = "keys/smtp.key"',
        )
    if listen.require_tls and listen.tls_certificate is None:
        yield _wrong(
            ("listen", "require_tls"),
            "nobody can use TLS here: there is no tls_certificate",
            'tls_certificate = "keys/smtp.crt"',
        )


def _relays(config: Config) -> Iterator[Finding]:
    if not config.relays:
        yield _wrong(("relays",), "nobody may hand in mail: there is no [[relays]]", "[[relays]]")
    yield from _twice("relays", "name", [relay.name for relay in config.relays])


def _networks(config: Config) -> Iterator[Finding]:
    """The first relay whose network holds a client's address decides what it may vouch for: a
    narrower network behind a wider one would be taken for the other relay, with its domains.
    """
    before: list[tuple[IPv4Network | IPv6Network, str]] = []
    for number, relay in enumerate(config.relays):
        for network in relay.networks:
            wider = next((name for other, name in before if _covers(other, network)), None)
            if wider is not None:
                yield _wrong(
                    ("relays", number, "networks"),
                    "{network} is never looked at: the relay {name} stands before it and has it "
                    "in its networks",
                    network=str(network),
                    name=wider,
                )
        before += [(network, relay.name) for network in relay.networks]


def _covers(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and other.subnet_of(one)
    return isinstance(other, IPv6Network) and other.subnet_of(one)


def _vouched(config: Config) -> Iterator[Finding]:
    for number, relay in enumerate(config.relays):
        # A gateway that signs for anyone is worse than none.
        for domain in relay.domains:
            if domain not in config.gateway.domains:
                yield _wrong(
                    ("relays", number, "domains"),
                    "{domain} is not one of our domains (gateway.domains)",
                    domain=domain,
                )


def _archive(config: Config) -> Iterator[Finding]:
    if len(config.archive.recipients) < LEAST_ARCHIVE_RECIPIENTS:
        yield _wrong(
            ("archive", "recipients"),
            "the archive needs two recipients at least, of whom neither alone is the only one "
            "who can open it",
            'recipients = ["recipients/authority.pub", "recipients/escrow.pub"]',
        )


def _anchors(config: Config) -> Iterator[Finding]:
    yield from _twice("pki.anchors", "name", [each.name for each in config.pki.anchors])


def _keks(config: Config) -> Iterator[Finding]:
    if config.pki.former_key_encryption_key == config.pki.key_encryption_key:
        yield _wrong(
            ("pki", "former_key_encryption_key"),
            "this is the key in force; the former one is the one before it",
            'former_key_encryption_key = "keys/kek-2025"',
        )


def _directories(config: Config) -> Iterator[Finding]:
    yield from _twice("pki.directories", "name", [each.name for each in config.pki.directories])
    for number, directory in enumerate(config.pki.directories):
        yield from _directory(("pki", "directories", number), directory)


def _directory(path: KeyPath, directory: Directory) -> Iterator[Finding]:
    secure = directory.url.startswith("ldaps:")
    if secure and directory.starttls:
        yield _wrong((*path, "starttls"), "ldaps:// is TLS from the start; starttls is for ldap://")
    plain = not secure and not directory.starttls
    if plain and not directory.unsafe_plain and not _is_loopback(directory.url):
        yield _wrong(
            (*path, "url"),
            "this connection would be in clear text, and anyone on the way could give us his "
            "own certificates",
            'url = "ldaps://ldap.justice.example", or starttls = true',
        )
    if directory.unsafe_plain and (secure or directory.starttls):
        yield _wrong((*path, "unsafe_plain"), "unsafe_plain contradicts TLS")
    if (secure or directory.starttls) and directory.ca is None:
        yield _wrong(
            (*path, "ca"),
            "TLS needs the CA that the server's certificate is checked against; the system's "
            "roots are not trusted",
            'ca = "anchors/ldap-ca.crt"',
        )
    if bool(directory.bind_dn) != (directory.password_file is not None):
        yield _wrong(
            (*path, "bind_dn"),
            "bind_dn and password_file go together",
            'bind_dn = "cn=sceau,dc=justice,dc=example" with password_file = "keys/ldap.password"',
        )


def _is_loopback(url: str) -> bool:
    name = urlsplit(url).hostname or ""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _crls(config: Config) -> Iterator[Finding]:
    for number, crl in enumerate(config.pki.crls):
        path = ("pki", "crls", number)
        if bool(crl.url) == (crl.file is not None):
            yield _wrong(
                path,
                "a CRL has either url or file",
                'url = "http://crl.justice.example/issuing.crl"',
            )


def _fetched(config: Config) -> Iterator[Finding]:
    for number, crl in enumerate(config.pki.crls):
        if not crl.url:
            continue
        parts = urlsplit(crl.url)
        name = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if f"{name}:{port}" not in config.pki.fetch.allow:
            place = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
            yield _wrong(
                ("pki", "crls", number, "url"),
                "{place} is not in the list of places that may be fetched from, pki.fetch.allow",
                f'[pki.fetch] with allow = ["{place}"]',
                place=place,
            )


def _seals(config: Config) -> Iterator[Finding]:
    sealed: set[str] = set()
    for number, seal in enumerate(config.seals):
        for domain in seal.domains:
            if domain not in config.gateway.domains:
                yield _wrong(
                    ("seals", number, "domains"),
                    "{domain} is not one of our domains (gateway.domains)",
                    domain=domain,
                )
            if domain in sealed:
                yield _wrong(
                    ("seals", number, "domains"),
                    "another seal already signs for {domain}",
                    domain=domain,
                )
            sealed.add(domain)
    for domain in config.gateway.domains:
        if domain not in sealed:
            yield _wrong(
                ("seals",),
                "no seal signs for our domain {domain}",
                f'domains = ["{domain}"]',
                domain=domain,
            )


def _rule_names(config: Config) -> Iterator[Finding]:
    names = [rule.name for rule in config.policy.rules]
    yield from _twice("policy.rules", "name", names)
    for number, name in enumerate(names):
        if name == DEFAULT_RULE.name:
            yield _wrong(
                ("policy", "rules", number, "name"),
                '"default" is the name of the built-in last rule',
                'name = "everybody-else"',
            )


def _rules(config: Config) -> Iterator[Finding]:
    for number, rule in enumerate(config.policy.rules):
        yield from _rule(("policy", "rules", number), rule)


def _rule(path: KeyPath, rule: RuleSection) -> Iterator[Finding]:
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
    if rule.encryption is Encryption.NEVER and outcome is not None:
        yield _wrong(
            (*path, "without_certificate"),
            'with encryption = "never" no certificate is looked for, so this says nothing',
        )
    if rule.sign is Sign.NONE and rule.encryption is not Encryption.NEVER:
        yield _wrong(
            (*path, "sign"),
            "encrypted mail is always signed inside, or nobody would notice tampering: none is "
            'only possible with encryption = "never"',
            'sign = "seal"',
        )


def _unreachable(config: Config) -> Iterator[Finding]:
    rules = [each.rule() for each in config.policy.rules]
    for number, rule in enumerate(rules):
        before = next((other for other in rules[:number] if other.covers(rule)), None)
        if before:
            yield _wrong(
                ("policy", "rules", number),
                "this rule never decides: the rule {name} stands before it and matches all its "
                "mail",
                name=before.name,
            )


def _rule_routes(config: Config) -> Iterator[Finding]:
    names = [route.name for route in config.routes]
    for number, rule in enumerate(config.policy.rules):
        if rule.route and rule.route not in names:
            yield _wrong(
                ("policy", "rules", number, "route"),
                "there is no route {name}; there are: {names}",
                name=rule.route,
                names=", ".join(names) or "-",
            )


def _partners(config: Config) -> Iterator[Finding]:
    domains = [(n, d) for n, each in enumerate(config.policy.partners) for d in each.domains]
    yield from _repeated(domains, ("policy", "partners"))


def _routes(config: Config) -> Iterator[Finding]:
    yield from _twice("routes", "name", [route.name for route in config.routes])
    yield from _repeated(
        [(n, d) for n, route in enumerate(config.routes) for d in route.domains], ("routes",)
    )
    defaults = [number for number, route in enumerate(config.routes) if route.default]
    if not defaults:
        yield _wrong(
            ("routes",),
            "there is no way for mail to domains that no route names",
            "[[routes]] with default = true",
        )
    for number in defaults[1:]:
        yield _wrong(("routes", number, "default"), "another route is already the default")


def _each_route(config: Config) -> Iterator[Finding]:
    for number, route in enumerate(config.routes):
        yield from _route(("routes", number), route)


def _route(path: KeyPath, route: Route) -> Iterator[Finding]:
    if bool(route.domains) == route.default:
        yield _wrong(
            path, "a route has either domains or default = true", 'domains = ["justice.example"]'
        )
    if route.tls is Tls.VERIFIED and route.ca is None:
        yield _wrong(
            (*path, "ca"),
            "verified TLS needs the CA that the next hop's certificate is checked against",
            'ca = "anchors/mx-ca.crt"',
        )
    if route.tls is not Tls.VERIFIED and route.ca is not None:
        yield _wrong(
            (*path, "ca"),
            "only verified TLS looks at certificates",
            'tls = "verified"',
        )


def _queue(config: Config) -> Iterator[Finding]:
    longest = max(config.queue.retry)
    if longest > config.queue.expire:
        yield _wrong(
            ("queue", "expire"),
            "mail would be given up before it is tried a second time",
            'expire = "5d"',
        )


def _twice(table: str, key: str, names: list[str]) -> Iterator[Finding]:
    for number, name in enumerate(names):
        if name in names[:number]:
            yield _wrong(
                (*table.split("."), number, key), "another one is already called {name}", name=name
            )


def _repeated(domains: Iterable[tuple[int, str]], table: KeyPath) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for number, domain in domains:
        if domain in seen:
            yield _wrong(
                (*table, number, "domains"),
                "{domain} already stands in number {other}",
                domain=domain,
                other=str(seen[domain] + 1),
            )
        seen.setdefault(domain, number)


_SUBJECTS: tuple[Check, ...] = (
    _listen,
    _relays,
    _networks,
    _vouched,
    _archive,
    _anchors,
    _keks,
    _directories,
    _crls,
    _fetched,
    _seals,
    _rule_names,
    _rules,
    _unreachable,
    _rule_routes,
    _partners,
    _routes,
    _each_route,
    _queue,
)
