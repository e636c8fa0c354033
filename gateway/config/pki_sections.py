"""[pki] and what is below it, and [[seals]]: trust, directories, revocation, keys that sign."""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from gateway.config import kinds
from gateway.config.reader import (
    section,
    setting,
    table,
    tables,
    value_or_table,
)
from pki.anchors import RevocationSources
from pki.directory import CERTIFICATE_ATTRIBUTES, ServerOrder
from pki.models import Harvest, Purpose
from pki.recipient_keys import KeyChange


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
    ca: CAs of the servers behind https:// and ldaps://; without it, those of the system.
    """

    allow: tuple[str, ...] = setting(
        kinds.list_of(kinds.host_port), example='["crl.justice.example:80"]', default=()
    )
    allow_private: tuple[IPv4Network | IPv6Network, ...] = setting(
        kinds.list_of(kinds.network), example='["10.0.0.0/8"]', default=()
    )
    ca: Path | None = setting(kinds.file, example='"anchors/web-ca.crt"', default=None)
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
    any_extended_key_usage: whether anyExtendedKeyUsage makes a certificate one for mail.
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
    any_extended_key_usage: bool = setting(kinds.boolean, example="false", default=True)
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
