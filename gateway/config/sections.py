"""The configuration as objects: one class for each table of the file, one field for each key.

This file is the list of what can be configured. Paths are absolute, durations `timedelta`, sizes
bytes, domains and host names lower case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from gateway.ahead import Ahead
from gateway.config import kinds
from gateway.config.blob_sections import BlobsSection
from gateway.config.reader import (
    KeyPath,
    named_tables,
    named_values,
    optional_table,
    section,
    setting,
    table,
    tables,
    value_or_table,
)
from gateway.config.rules import rule_of
from gateway.config.senders import Auth, AuthDemand, Client, Sender
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
from pki.anchors import RevocationSources
from pki.directory import CERTIFICATE_ATTRIBUTES, ServerOrder
from pki.models import DomainCertificate, Harvest, Purpose
from pki.recipient_keys import KeyChange


class Language(Enum):
    """Language of what the gateway writes to people (notices, the log's texts)."""

    ENGLISH = "en"
    FRENCH = "fr"


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
class DomainLanguage:
    """[[gateway.languages]]: senders of some domains who are written to in another language."""

    domains: tuple[str, ...] = setting(
        kinds.list_of(kinds.domain, least=1), example='["interior.example"]'
    )
    language: Language = setting(kinds.choice(Language), example='"fr"')


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
    languages: tuple[DomainLanguage, ...] = tables(DomainLanguage)


@section
class DatabaseSection:
    """[database]: where everything is kept. url: absolute, for `gateway.database`.

    takeover: how long a process of a shared database gives no sign of life until others have what
    it held.
    """

    url: str = setting(kinds.database_url, example='"sqlite:///data/sceau.db"')
    password_file: Path | None = setting(
        kinds.file, example='"keys/database.password"', default=None
    )
    unsafe_plain: bool = setting(kinds.boolean, example="true", default=False)
    takeover: timedelta = setting(kinds.duration, example='"60s"', default=timedelta(seconds=60))


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
    auth: AuthDemand = setting(
        kinds.choice(AuthDemand), example='"offered"', default=AuthDemand.NONE
    )
    max_size: int = setting(kinds.size, example='"50 MB"', default=50_000_000)
    max_line: int = setting(kinds.size, example='"1 MB"', default=1_000_000)
    max_recipients: int = setting(kinds.count(least=1), example="1000", default=1000)
    max_connections: int = setting(kinds.count(least=1), example="250", default=250)
    max_connections_per_address: int = setting(kinds.count(least=1), example="200", default=200)
    max_idle_commands: int = setting(kinds.count(least=100), example="1000", default=1000)
    max_errors: int = setting(kinds.count(least=1), example="20", default=20)
    timeout: timedelta = setting(kinds.duration, example='"5m"', default=timedelta(minutes=5))
    transaction_timeout: timedelta = setting(
        kinds.duration, example='"1h"', default=timedelta(hours=1)
    )


@section
class Relay:
    """[[relays]]: a mail server that may hand in mail, and the domains it may vouch for.

    xclient: it may say for whom it speaks. from_is_envelope: From must be the envelope's sender.
    """

    name: str = setting(kinds.slug, example='"postfix"')
    networks: tuple[IPv4Network | IPv6Network, ...] = setting(
        kinds.list_of(kinds.network, least=1), example='["10.1.2.3/32"]'
    )
    domains: tuple[str, ...] = setting(
        kinds.list_of(kinds.domain, least=1), example='["interior.example"]'
    )
    xclient: bool = setting(kinds.boolean, example="true", default=False)
    from_is_envelope: bool = setting(kinds.boolean, example="true", default=False)


@section
class Archive:
    """[archive]: the log's name, who can open the archive, where its parts lie."""

    origin: str = setting(kinds.origin, example='"sceau.interior.example/archive"')
    recipients: tuple[Path, ...] = setting(
        kinds.list_of(kinds.file), example='["recipients/authority.pub", "recipients/escrow.pub"]'
    )
    working_keys: Path = setting(kinds.folder, example='"keys/working"')
    index: Path = setting(kinds.folder, example='"data/index"')
    blobs: BlobsSection | None = optional_table(BlobsSection)


@section
class Anchor:
    """[[pki.anchors]]: a certificate that is trusted of itself, for what and for whom.

    sha256: 64 hex digits, lower case. domains: as `pki.addresses.in_domain` takes them
    (".b.example" for every domain below b.example), empty for all.
    revocation: how long a CRL or OCSP response may be used past its nextUpdate; zero is a hard
    fail. revocation_sources: which of them is looked at, in order.
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
    revocation_sources: RevocationSources = setting(
        kinds.choice(RevocationSources), example='"crl-then-ocsp"', default=RevocationSources.CRL
    )
    comment: str = setting(
        kinds.text, example='"fingerprint read out by phone, 2026-03-02"', default=""
    )


@section
class DirectoryGroups:
    """[pki.directories.groups]: how groups of people are found there. Without base: they are not.

    The keys are those of `pki.directory.GroupRules`.
    """

    base: str = setting(
        kinds.distinguished_name, example='"ou=groups,dc=justice,dc=example"', default=""
    )
    object_class: str = setting(
        kinds.ldap_attribute, example='"groupOfNames"', default="groupOfNames"
    )
    member: str = setting(kinds.ldap_attribute_or_none, example='"member"', default="member")
    member_of: str = setting(kinds.ldap_attribute_or_none, example='"memberOf"', default="")
    name: str = setting(kinds.ldap_attribute, example='"cn"', default="cn")
    nested: int = setting(kinds.count(least=0, most=20), example="5", default=5)
    ttl: timedelta = setting(kinds.duration, example='"5m"', default=timedelta(minutes=5))


@section
class Directory:
    """[[pki.directories]]: LDAP servers with certificates of some domains' people.

    url: servers with the same entries, in order of preference.
    """

    name: str = setting(kinds.slug, example='"justice"')
    url: tuple[str, ...] = setting(
        kinds.one_or_more(kinds.ldap_url),
        example='"ldaps://ldap.justice.example"',
    )
    order: ServerOrder = setting(
        kinds.choice(ServerOrder), example='"preference"', default=ServerOrder.PREFERENCE
    )
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
    client_certificate: Path | None = setting(
        kinds.file, example='"keys/ldap-client.crt"', default=None
    )
    client_key: Path | None = setting(kinds.file, example='"keys/ldap-client.key"', default=None)
    sasl_external: bool = setting(kinds.boolean, example="true", default=False)
    certificate_attributes: tuple[str, ...] = setting(
        kinds.list_of(kinds.ldap_attribute, least=1),
        example='["userCertificate;binary", "userSMIMECertificate;binary"]',
        default=CERTIFICATE_ATTRIBUTES,
    )
    address_attributes: tuple[str, ...] = setting(
        kinds.list_of(kinds.ldap_attribute, least=1),
        example='["mail", "mailAlternateAddress", "proxyAddresses"]',
        default=("mail",),
    )
    connections: int = setting(kinds.count(least=1, most=64), example="4", default=4)
    network_timeout: timedelta = setting(
        kinds.duration, example='"3s"', default=timedelta(seconds=3)
    )
    operation_timeout: timedelta = setting(
        kinds.duration, example='"5s"', default=timedelta(seconds=5)
    )
    unsafe_plain: bool = setting(kinds.boolean, example="true", default=False)
    ignore_references: bool = setting(kinds.boolean, example="true", default=False)
    groups: DirectoryGroups = table(DirectoryGroups)


@section
class Crl:
    """[[pki.crls]]: a revocation list, fetched ahead of need. Exactly one of url and file."""

    url: str = setting(
        kinds.crl_url, example='"http://crl.justice.example/issuing.crl"', default=""
    )
    file: Path | None = setting(kinds.file, example='"crls/issuing.crl"', default=None, live=True)
    every: timedelta = setting(kinds.duration, example='"1h"', default=timedelta(hours=1))


@section
class Ocsp:
    """[[pki.ocsp]]: the OCSP responder for what one CA issued, where certificates do not name it.

    issuer: certificate of that CA. nonce: ask with one; without, by GET as caches want it.
    """

    issuer: Path = setting(kinds.file, example='"intermediates/justice-issuing.crt"')
    url: str = setting(kinds.http_url, example='"http://ocsp.justice.example/"')
    nonce: bool = setting(kinds.boolean, example="true", default=True)


@section
class CrlFetch:
    """[pki.fetch]: where the gateway may go to fetch CRLs and to ask by OCSP, and nowhere else.

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
class TokenKey:
    """A key in a PKCS#11 token (HSM): [pki.key_encryption_key], an AES-256 key; [seals.key], one
    that signs.

    module: the vendor's library. token, key: labels. pin_file: its content is the user PIN.
    """

    module: Path = setting(kinds.file, example='"/usr/lib/softhsm/libsofthsm2.so"', live=True)
    token: str = setting(kinds.text, example='"sceau"')
    key: str = setting(kinds.text, example='"sceau-kek-2026"')
    pin_file: Path = setting(kinds.file, example='"keys/hsm.pin"')


@section
class Recipients:
    """[[pki.recipients]]: other rules for some domains' certificates. None: as [pki] has it."""

    domains: tuple[str, ...] = setting(
        kinds.list_of(kinds.domain_or_below, least=1),
        example='["justice.example", "*.justice.example"]',
    )
    key_change: KeyChange | None = setting(kinds.choice(KeyChange), example='"hold"', default=None)
    harvest: Harvest | None = setting(kinds.choice(Harvest), example='"accept"', default=None)


@section
class Pki:
    """[pki]: certificates of others, and the key that wraps the keys of our people.

    former_key_encryption_key: opens what was wrapped before the change of key, wraps nothing.
    person_keys_kept, person_keys_ttl: how many unwrapped keys a process keeps, and how long.
    four_eyes: trust anchors are only those that two persons approved, none of this file.
    founders: SHA-256 of the requests by which the first persons were enrolled; empty = the first
    such request in the log is believed.
    """

    key_encryption_key: Path | TokenKey = value_or_table(kinds.file, TokenKey, example='"keys/kek"')
    former_key_encryption_key: Path | TokenKey | None = value_or_table(
        kinds.file, TokenKey, example='"keys/kek-2025"', default=None
    )
    person_keys_kept: int = setting(kinds.count(least=0), example="1000", default=1000)
    person_keys_ttl: timedelta = setting(kinds.duration, example='"1h"', default=timedelta(hours=1))
    four_eyes: bool = setting(kinds.boolean, example="true", default=False)
    founders: tuple[str, ...] = setting(
        kinds.list_of(kinds.fingerprint),
        example='["5f:1a:… (32 pairs of hex digits)"]',
        default=(),
    )
    intermediates: tuple[Path, ...] = setting(
        kinds.list_of(kinds.file_or_folder), example='["intermediates"]', default=()
    )
    found_ttl: timedelta = setting(kinds.duration, example='"1h"', default=timedelta(hours=1))
    not_found_ttl: timedelta = setting(kinds.duration, example='"5m"', default=timedelta(minutes=5))
    key_change: KeyChange = setting(
        kinds.choice(KeyChange), example='"hold"', default=KeyChange.RECORD
    )
    harvest: Harvest = setting(kinds.choice(Harvest), example='"suggest"', default=Harvest.SUGGEST)
    fetch: CrlFetch = table(CrlFetch)
    anchors: tuple[Anchor, ...] = tables(Anchor)
    directories: tuple[Directory, ...] = tables(Directory)
    recipients: tuple[Recipients, ...] = tables(Recipients)
    crls: tuple[Crl, ...] = tables(Crl)
    ocsp: tuple[Ocsp, ...] = tables(Ocsp)


@section
class Seal:
    """[[seals]]: a key of the organisation that signs for some of its domains (RFC 3183).

    key: PKCS#12, or PEM with `certificate` beside it; or in a token, with `certificate` here or
    under the key's id in the token. signs_from: when it takes over from the seal before it.
    """

    domains: tuple[str, ...] = setting(
        kinds.list_of(kinds.domain, least=1), example='["interior.example"]'
    )
    key: Path | TokenKey = value_or_table(kinds.file, TokenKey, example='"keys/seal.p12"')
    certificate: Path | None = setting(kinds.file, example='"keys/seal.crt"', default=None)
    password_file: Path | None = setting(kinds.file, example='"keys/seal.password"', default=None)
    signs_from: datetime | None = setting(
        kinds.moment, example='"2027-01-04T06:00:00Z"', default=None
    )


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
    warn: when the sender of mail that is still being tried is told so; None: never.
    held_expire: when held mail that nobody has decided about is given up; None: never.
    max_messages: that may wait; beyond it clients get 452.
    """

    retry: tuple[timedelta, ...] = setting(
        kinds.list_of(kinds.duration, least=1, repeats=True),
        example='["5m", "15m", "1h", "4h"]',
        default=tuple(timedelta(minutes=m) for m in (5, 15, 30, 60, 120, 240)),
    )
    expire: timedelta = setting(kinds.duration, example='"5d"', default=timedelta(days=5))
    warn: timedelta | None = setting(
        kinds.duration_or_never, example='"4h"', default=timedelta(hours=4)
    )
    held_expire: timedelta | None = setting(
        kinds.duration_or_never, example='"30d"', default=timedelta(days=30)
    )
    max_messages: int = setting(kinds.count(least=1), example="200000", default=200_000)


@section
class Workers:
    """[workers]: processes per role; "auto" is one intake for two cores, one worker for each."""

    intake: int | Literal["auto"] = setting(kinds.auto_or_count, example='"auto"', default="auto")
    seal: int | Literal["auto"] = setting(kinds.auto_or_count, example='"auto"', default="auto")


@section
class Log:
    """[log]: what the gateway says of itself, on standard error."""

    format: LogFormat = setting(kinds.choice(LogFormat), example='"json"', default=LogFormat.JSON)
    level: LogLevel = setting(kinds.choice(LogLevel), example='"info"', default=LogLevel.INFO)


@section
class Alarms:
    """[alarms]: how long before an end people are told of it, by kind; "never" tells nobody."""

    seals: timedelta | None = setting(
        kinds.duration_or_never, example='"7d"', default=timedelta(days=7)
    )
    persons: timedelta | None = setting(
        kinds.duration_or_never, example='"7d"', default=timedelta(days=7)
    )
    recipients: timedelta | None = setting(
        kinds.duration_or_never, example='"7d"', default=timedelta(days=7)
    )
    anchors: timedelta | None = setting(
        kinds.duration_or_never, example='"90d"', default=timedelta(days=7)
    )
    intermediates: timedelta | None = setting(
        kinds.duration_or_never, example='"30d"', default=timedelta(days=7)
    )
    listener: timedelta | None = setting(
        kinds.duration_or_never, example='"7d"', default=timedelta(days=7)
    )
    crls: timedelta | None = setting(
        kinds.duration_or_never, example='"6h"', default=timedelta(hours=6)
    )
    ocsp: timedelta | None = setting(
        kinds.duration_or_never, example='"1h"', default=timedelta(hours=1)
    )

    @property
    def ahead(self) -> Ahead:
        """The same for whoever looks."""
        return Ahead(**{each.name: getattr(self, each.name) for each in fields(Ahead)})


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
    auth: Auth = table(Auth)
    clients: tuple[Client, ...] = tables(Client)
    senders: tuple[Sender, ...] = tables(Sender)
    archive: Archive = table(Archive)
    pki: Pki = table(Pki)
    seals: tuple[Seal, ...] = tables(Seal)
    policy: PolicySection = table(PolicySection)
    routes: tuple[Route, ...] = tables(Route)
    queue: Queue = table(Queue)
    workers: Workers = table(Workers)
    log: Log = table(Log)
    alarms: Alarms = table(Alarms)
    metrics: Metrics = table(Metrics)
