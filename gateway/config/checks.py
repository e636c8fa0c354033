"""What must hold between keys and between tables.

Each check is a generator for one subject. When some value could not be read, its own fault is
already told; a check that asks for it ends there, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import urlsplit

from gateway.config import sender_checks
from gateway.config.blob_sections import check_blobs
from gateway.config.directories import check_directory
from gateway.config.kinds.postgres import hosts_of, option_of
from gateway.config.policy_checks import POLICY_CHECKS
from gateway.config.reader import Finding, KeyPath
from gateway.config.sections import Config, Route
from gateway.config.senders import AuthDemand
from gateway.policy import Tls
from pki.directory import is_loopback

Check = Callable[[Config], Iterator[Finding]]

# The authority and the escrow: one lost key must not close the archive for ever (design §4).
LEAST_ARCHIVE_RECIPIENTS = 2

_LEAST_TAKEOVER = timedelta(seconds=3)


def check(config: Config, *, complete: bool, only: Iterable[Check] | None = None) -> list[Finding]:
    """All findings. complete: whether every value could be read. only: these checks alone."""
    findings: list[Finding] = []
    for subject in _SUBJECTS if only is None else only:
        try:
            findings.extend(subject(config))
        except AttributeError:
            if complete:
                raise
    return findings


def _wrong(path: KeyPath, template: str, example: str = "", **facts: str) -> Finding:
    return Finding(path, template, facts, example)


def _database(config: Config) -> Iterator[Finding]:
    section = config.database
    server = section.url.startswith("postgresql")
    if section.takeover < _LEAST_TAKEOVER:
        yield _wrong(
            ("database", "takeover"),
            "a machine that stutters for a moment would take mail away from a process at work",
            'takeover = "60s"',
        )
    if not server:
        for key, given in (
            ("password_file", section.password_file is not None),
            ("unsafe_plain", section.unsafe_plain),
        ):
            if given:
                yield _wrong(("database", key), "SQLite is a file; this is for PostgreSQL")
        return
    checked = option_of(section.url, "sslmode") in ("verify-full", "verify-ca")
    inside = all(host.startswith("/") or is_loopback(host) for host in hosts_of(section.url))
    if not checked and not inside and not section.unsafe_plain:
        # Who can change what comes from there chooses the certificates that mail is sealed for.
        yield _wrong(
            ("database", "url"),
            "the server is not on this machine, and nothing makes sure that it is the one meant",
            "?sslmode=verify-full&sslrootcert=/etc/sceau/anchors/database-ca.crt at its end, or "
            "unsafe_plain = true on a wire of your own",
        )
    if section.unsafe_plain and checked:
        yield _wrong(("database", "unsafe_plain"), "unsafe_plain contradicts TLS")


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
    # Who logs in or shows a certificate needs no relay.
    if not config.relays and config.listen.auth is AuthDemand.NONE and not config.clients:
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
    if config.pki.four_eyes and config.pki.anchors:
        yield _wrong(
            ("pki", "anchors", 0),
            "pki.four_eyes is true: who may write this file must not decide alone whom to trust; "
            "take the anchor out, and propose it: sceau pki anchor propose",
        )


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
        yield from check_directory(("pki", "directories", number), directory)


def _crls(config: Config) -> Iterator[Finding]:
    for number, crl in enumerate(config.pki.crls):
        path = ("pki", "crls", number)
        if bool(crl.url) == (crl.file is not None):
            yield _wrong(
                path,
                "a CRL has either url or file",
                'url = "http://crl.justice.example/issuing.crl"',
            )


_PORTS = {"http": 80, "https": 443, "ldap": 389, "ldaps": 636}


def _fetched(config: Config) -> Iterator[Finding]:
    urls = [("crls", number, crl.url) for number, crl in enumerate(config.pki.crls) if crl.url]
    urls += [("ocsp", number, each.url) for number, each in enumerate(config.pki.ocsp)]
    for section, number, url in urls:
        parts = urlsplit(url)
        name = parts.hostname or ""
        port = parts.port or _PORTS[parts.scheme]
        if f"{name}:{port}" not in config.pki.fetch.allow:
            place = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
            yield _wrong(
                ("pki", section, number, "url"),
                "{place} is not in the list of places that may be fetched from, pki.fetch.allow",
                f'[pki.fetch] with allow = ["{place}"]',
                place=place,
            )


def _seals(config: Config) -> Iterator[Finding]:
    sealed: dict[str, set[datetime | None]] = {}
    for number, seal in enumerate(config.seals):
        for domain in seal.domains:
            if domain not in config.gateway.domains:
                yield _wrong(
                    ("seals", number, "domains"),
                    "{domain} is not one of our domains (gateway.domains)",
                    domain=domain,
                )
            if seal.signs_from in sealed.setdefault(domain, set()):
                yield _wrong(
                    ("seals", number, "domains"),
                    "another seal already signs for {domain}",
                    'signs_from = "2027-01-04T06:00:00Z"',
                    domain=domain,
                )
            sealed[domain].add(seal.signs_from)
    for domain in config.gateway.domains:
        if domain not in sealed:
            yield _wrong(
                ("seals",),
                "no seal signs for our domain {domain}",
                f'domains = ["{domain}"]',
                domain=domain,
            )


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
    # A rule may demand verified TLS of a route that does not demand it of all mail.
    demanded = any(rule.tls is Tls.VERIFIED for _, _, rule in config.policy.every_rule())
    for number, route in enumerate(config.routes):
        yield from _route(("routes", number), route, demanded=demanded)


def _route(path: KeyPath, route: Route, *, demanded: bool) -> Iterator[Finding]:
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
    if route.tls is not Tls.VERIFIED and route.ca is not None and not demanded:
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


def _languages(config: Config) -> Iterator[Finding]:
    yield from _repeated(
        [(n, d) for n, each in enumerate(config.gateway.languages) for d in each.domains],
        ("gateway", "languages"),
    )
    for number, each in enumerate(config.gateway.languages):
        for domain in each.domains:
            if domain not in config.gateway.domains:
                yield _wrong(
                    ("gateway", "languages", number, "domains"),
                    "{domain} is not one of our domains (gateway.domains)",
                    domain=domain,
                )


def _metrics(config: Config) -> Iterator[Finding]:
    metrics, listen = config.metrics, config.listen
    if metrics.port is None:
        return
    if not metrics.address.is_loopback and not metrics.unsafe_public:
        # Who asks is not asked who he is: names of partners, and how much mail goes where.
        yield _wrong(
            ("metrics", "address"),
            "anyone who reaches {address} could read the metrics; unsafe_public = true allows that",
            'address = "127.0.0.1"',
            address=str(metrics.address),
        )
    everywhere = metrics.address.is_unspecified or listen.address.is_unspecified
    if metrics.port == listen.port and (metrics.address == listen.address or everywhere):
        yield _wrong(
            ("metrics", "port"),
            "mail comes in on this port (listen.port)",
            "port = 9109",
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
    _database,
    _listen,
    _relays,
    _networks,
    _vouched,
    _archive,
    check_blobs,
    _anchors,
    _keks,
    _directories,
    _crls,
    _fetched,
    _seals,
    *POLICY_CHECKS,
    _routes,
    _each_route,
    _queue,
    _metrics,
    _languages,
    *sender_checks.SUBJECTS,
)
