"""The configuration as objects: one class for each table of the file, one field for each key.

With `pki_sections`, `policy_sections`, `blob_sections` and `senders` beside it this is the list of
what can be configured. Paths are absolute, durations `timedelta`, sizes bytes, domains and
host names lower case.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from gateway.ahead import Ahead
from gateway.config import kinds
from gateway.config.blob_sections import BlobsSection
from gateway.config.pki_sections import Pki, Seal
from gateway.config.policy_sections import PolicySection
from gateway.config.reader import (
    optional_table,
    section,
    setting,
    table,
    tables,
)
from gateway.config.senders import Auth, AuthDemand, Client, Sender
from gateway.policy import (
    Tls,
)


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
    directories: timedelta | None = setting(
        kinds.duration_or_never, example='"30d"', default=timedelta(days=7)
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
