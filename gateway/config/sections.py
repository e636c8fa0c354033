"""The configuration as objects: one class for each table of the file, one field for each key.

This file is the list of what can be configured. Paths are absolute, durations `timedelta`, sizes
bytes, domains and host names lower case.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from gateway.config import kinds
from gateway.config.reader import section, setting, table, tables
from gateway.policy import (
    Crypto,
    Encryption,
    Partner,
    Pattern,
    Policy,
    Rule,
    Sign,
    WithoutCertificate,
)
from pki.models import Purpose


class Language(Enum):
    """Language of what the gateway writes to people (notices, the log's texts)."""

    ENGLISH = "en"
    FRENCH = "fr"


class Tls(Enum):
    """What a route demands of the next hop."""

    NONE = "none"  # no TLS at all: loopback, or a wire that is protected otherwise
    OPPORTUNISTIC = "opportunistic"  # STARTTLS where offered, certificate not checked
    VERIFIED = "verified"  # STARTTLS with a certificate for `host` under `ca`, or no mail


class LogFormat(Enum):
    """How log lines look."""

    JSON = "json"
    TEXT = "text"


class LogLevel(Enum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@section
class Gateway:
    """[gateway]: who runs this gateway."""

    organisation: str = setting(kinds.slug, example='"interior"')
    hostname: str = setting(kinds.host_name, example='"sceau.interior.example"')
    domains: tuple[str, ...] = setting(
        kinds.list_of(kinds.domain, least=1), example='["interior.example"]'
    )
    postmaster: str = setting(kinds.mailbox, example='"postmaster@interior.example"')
    language: Language = setting(kinds.choice(Language), example='"fr"', default=Language.ENGLISH)


@section
class DatabaseSection:
    """[database]: where everything is kept. url: absolute, for `gateway.database`."""

    url: str = setting(kinds.database_url, example='"sqlite:///data/sceau.db"')


@section
class Listen:
    """[listen]: where mail comes in. Sizes in bytes."""

    address: kinds.IPAddress = setting(
        kinds.ip_address, example='"127.0.0.1"', default=kinds.ip_address.read("127.0.0.1", Path())
    )
    port: int = setting(kinds.port, example="10025", default=10025)
    tls_certificate: Path | None = setting(kinds.file, example='"keys/smtp.crt"', default=None)
    tls_key: Path | None = setting(kinds.file, example='"keys/smtp.key"', default=None)
    require_tls: bool = setting(kinds.boolean, example="true", default=False)
    max_size: int = setting(kinds.size, example='"50 MB"', default=50_000_000)
    max_line: int = setting(kinds.size, example='"1 MB"', default=1_000_000)
    max_recipients: int = setting(kinds.count(least=1), example="1000", default=1000)
    max_connections: int = setting(kinds.count(least=1), example="200", default=200)
    timeout: timedelta = setting(kinds.duration, example='"5m"', default=timedelta(minutes=5))


@section
class Relay:
    """[[relays]]: a mail server that may hand in mail, and the domains it may vouch for."""

    name: str = setting(kinds.slug, example='"postfix"')
    networks: tuple[IPv4Network | IPv6Network, ...] = setting(
        kinds.list_of(kinds.network, least=1), example='["10.1.2.3/32"]'
    )
    domains: tuple[str, ...] = setting(
        kinds.list_of(kinds.domain, least=1), example='["interior.example"]'
    )


@section
class Archive:
    """[archive]: the log's name, who can open the archive, where its parts lie."""

    origin: str = setting(kinds.origin, example='"sceau.interior.example/archive"')
    recipients: tuple[Path, ...] = setting(
        kinds.list_of(kinds.file), example='["recipients/authority.pub", "recipients/escrow.pub"]'
    )
    working_keys: Path = setting(kinds.folder, example='"keys/working"')
    index: Path = setting(kinds.folder, example='"data/index"')


@section
class Anchor:
    """[[pki.anchors]]: a certificate that is trusted of itself, for what and for whom.

    sha256: 64 hex digits, lower case. domains: as `pki.addresses.in_domain` takes them
    (".b.example" for every domain below b.example), empty for all.
    revocation: how long a CRL may be used past its nextUpdate; zero is a hard fail.
    """

    name: str = setting(kinds.slug, example='"justice-root"')
    certificate: Path = setting(kinds.file, example='"anchors/justice-root.crt"')
    sha256: str = setting(kinds.fingerprint, example='"5f:1a:… (32 pairs of hex digits)"')
    purposes: tuple[Purpose, ...] = setting(
        kinds.list_of(kinds.choice(Purpose), least=1), example='["encrypt", "sign"]'
    )
    domains: tuple[str, ...] = setting(
        kinds.domains_or_all,
        example='["justice.example", "*.justice.example"]',
    )
    revocation: timedelta = setting(kinds.revocation, example='"hard-fail"', default=timedelta())
    comment: str = setting(
        kinds.text, example='"fingerprint read out by phone, 2026-03-02"', default=""
    )


@section
class Directory:
    """[[pki.directories]]: an LDAP server with certificates of some domains' people."""

    name: str = setting(kinds.slug, example='"justice"')
    url: str = setting(kinds.ldap_url, example='"ldaps://ldap.justice.example"')
    base: str = setting(kinds.distinguished_name, example='"ou=people,dc=justice,dc=example"')
    domains: tuple[str, ...] = setting(
        kinds.list_of(kinds.domain_or_below, least=1),
        example='["justice.example", "*.justice.example"]',
    )
    starttls: bool = setting(kinds.boolean, example="true", default=False)
    ca: Path | None = setting(kinds.file, example='"anchors/ldap-ca.crt"', default=None)
    bind_dn: str = setting(
        kinds.distinguished_name, example='"cn=sceau,dc=justice,dc=example"', default=""
    )
    password_file: Path | None = setting(kinds.file, example='"keys/ldap.password"', default=None)
    network_timeout: timedelta = setting(
        kinds.duration, example='"3s"', default=timedelta(seconds=3)
    )
    operation_timeout: timedelta = setting(
        kinds.duration, example='"5s"', default=timedelta(seconds=5)
    )
    unsafe_plain: bool = setting(kinds.boolean, example="true", default=False)
    ignore_references: bool = setting(kinds.boolean, example="true", default=False)


@section
class Crl:
    """[[pki.crls]]: a revocation list, fetched ahead of need. Exactly one of url and file."""

    url: str = setting(
        kinds.http_url, example='"http://crl.justice.example/issuing.crl"', default=""
    )
    file: Path | None = setting(kinds.file, example='"crls/issuing.crl"', default=None, live=True)
    every: timedelta = setting(kinds.duration, example='"1h"', default=timedelta(hours=1))


@section
class CrlFetch:
    """[pki.fetch]: where the gateway may go to fetch CRLs, and nowhere else.

    allow: "host:port", exact. allow_private: networks inside that may be reached none the less.
    """

    allow: tuple[str, ...] = setting(
        kinds.list_of(kinds.host_port), example='["crl.justice.example:80"]', default=()
    )
    allow_private: tuple[IPv4Network | IPv6Network, ...] = setting(
        kinds.list_of(kinds.network), example='["10.0.0.0/8"]', default=()
    )
    max_size: int = setting(kinds.size, example='"64 MB"', default=64_000_000)
    timeout: timedelta = setting(kinds.duration, example='"10s"', default=timedelta(seconds=10))


@section
class Pki:
    """[pki]: certificates of others, and the key that wraps the keys of our people."""

    key_encryption_key: Path = setting(kinds.file, example='"keys/kek"')
    intermediates: tuple[Path, ...] = setting(
        kinds.list_of(kinds.file_or_folder), example='["intermediates"]', default=()
    )
    found_ttl: timedelta = setting(kinds.duration, example='"1h"', default=timedelta(hours=1))
    not_found_ttl: timedelta = setting(kinds.duration, example='"5m"', default=timedelta(minutes=5))
    fetch: CrlFetch = table(CrlFetch)
    anchors: tuple[Anchor, ...] = tables(Anchor)
    directories: tuple[Directory, ...] = tables(Directory)
    crls: tuple[Crl, ...] = tables(Crl)


@section
class Seal:
    """[[seals]]: a key of the organisation that signs for some of its domains (RFC 3183).

    key: PKCS#12, or PEM with `certificate` beside it.
    """

    domains: tuple[str, ...] = setting(
        kinds.list_of(kinds.domain, least=1), example='["interior.example"]'
    )
    key: Path = setting(kinds.file, example='"keys/seal.p12"')
    certificate: Path | None = setting(kinds.file, example='"keys/seal.crt"', default=None)
    password_file: Path | None = setting(kinds.file, example='"keys/seal.password"', default=None)


@section
class RuleSection:
    """[[policy.rules]]: see docs/policy.md. `rule()` gives what `gateway.policy` takes."""

    name: str = setting(kinds.slug, example='"press"')
    sender: tuple[Pattern, ...] = setting(
        kinds.one_or_more(kinds.pattern), example='"@interior.example"', default=(Pattern("*"),)
    )
    recipient: tuple[Pattern, ...] = setting(
        kinds.one_or_more(kinds.pattern),
        example='["@justice.example", "*.justice.example"]',
        default=(Pattern("*"),),
    )
    encryption: Encryption = setting(kinds.choice(Encryption), example='"required"')
    without_certificate: WithoutCertificate | None = setting(
        kinds.choice(WithoutCertificate), example='"hold"', default=None
    )
    sign: Sign = setting(kinds.choice(Sign), example='"seal"', default=Sign.SEAL)
    route: str = setting(kinds.slug, example='"partners"', default="")

    def rule(self) -> Rule:
        """The rule; where nothing is said, mail without a certificate is held."""
        return Rule(
            name=self.name,
            sender=self.sender,
            recipient=self.recipient,
            encryption=self.encryption,
            without_certificate=self.without_certificate or WithoutCertificate.HOLD,
            sign=self.sign,
            route=self.route,
        )


@section
class PartnerSection:
    """[[policy.partners]]: algorithms agreed with the owner of some domains."""

    domains: tuple[str, ...] = setting(
        kinds.list_of(kinds.domain, least=1), example='["justice.example"]'
    )
    crypto: Crypto = setting(kinds.choice(Crypto), example='"modern"')


@section
class PolicySection:
    """[policy]: rules in order, and what was agreed with partners."""

    rules: tuple[RuleSection, ...] = tables(RuleSection)
    partners: tuple[PartnerSection, ...] = tables(PartnerSection)

    def policy(self) -> Policy:
        """The policy in force."""
        return Policy(
            (each.rule() for each in self.rules),
            (Partner(each.domains, each.crypto) for each in self.partners),
        )


@section
class Route:
    """[[routes]]: the next hop for some domains, or for all others (default = true)."""

    name: str = setting(kinds.slug, example='"postfix"')
    domains: tuple[str, ...] = setting(
        kinds.list_of(kinds.domain_or_below),
        example='["justice.example", "*.justice.example"]',
        default=(),
    )
    default: bool = setting(kinds.boolean, example="true", default=False)
    host: str = setting(kinds.host, example='"mx.interior.example"')
    port: int = setting(kinds.port, example="25", default=25)
    tls: Tls = setting(kinds.choice(Tls), example='"verified"')
    ca: Path | None = setting(kinds.file, example='"anchors/mx-ca.crt"', default=None)


@section
class Queue:
    """[queue]: when delivery is tried again, and when it is given up.

    retry: waits between attempts; the last one is repeated until `expire` after acceptance.
    """

    retry: tuple[timedelta, ...] = setting(
        kinds.list_of(kinds.duration, least=1, repeats=True),
        example='["5m", "15m", "1h", "4h"]',
        default=tuple(timedelta(minutes=m) for m in (5, 15, 30, 60, 120, 240)),
    )
    expire: timedelta = setting(kinds.duration, example='"5d"', default=timedelta(days=5))


@section
class Workers:
    """[workers]: processes per role; "auto" is one for two cores."""

    intake: int | Literal["auto"] = setting(kinds.auto_or_count, example='"auto"', default="auto")
    seal: int | Literal["auto"] = setting(kinds.auto_or_count, example='"auto"', default="auto")


@section
class Log:
    """[log]: what the gateway says of itself, on standard error."""

    format: LogFormat = setting(kinds.choice(LogFormat), example='"json"', default=LogFormat.JSON)
    level: LogLevel = setting(kinds.choice(LogLevel), example='"info"', default=LogLevel.INFO)


@section
class Metrics:
    """[metrics]: where Prometheus may ask. port: None answers nobody."""

    address: kinds.IPAddress = setting(
        kinds.ip_address, example='"127.0.0.1"', default=kinds.ip_address.read("127.0.0.1", Path())
    )
    port: int | None = setting(kinds.port, example="9109", default=None)
    unsafe_public: bool = setting(kinds.boolean, example="true", default=False)


@section
class Config:
    """The whole file."""

    gateway: Gateway = table(Gateway)
    database: DatabaseSection = table(DatabaseSection)
    listen: Listen = table(Listen)
    relays: tuple[Relay, ...] = tables(Relay)
    archive: Archive = table(Archive)
    pki: Pki = table(Pki)
    seals: tuple[Seal, ...] = tables(Seal)
    policy: PolicySection = table(PolicySection)
    routes: tuple[Route, ...] = tables(Route)
    queue: Queue = table(Queue)
    workers: Workers = table(Workers)
    log: Log = table(Log)
    metrics: Metrics = table(Metrics)
