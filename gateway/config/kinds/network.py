"""Domains, hosts, addresses, networks, URLs, patterns, and the names of certificates."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config.faults import Wrong
from gateway.config.kinds.plain import kind_of, list_of, shown
from gateway.config.reader import Kind
from gateway.policy.patterns import Pattern
from pki.addresses import canonical, canonical_domain
from pki.errors import AddressError, FetchTrouble

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\Z")


def _domain(value: str) -> str:
    try:
        return canonical_domain(value)
    except AddressError:
        raise Wrong("{value} is not a domain", value=shown(value)) from None


@kind_of
def domain(value: str, _folder: Path) -> str:
    """A domain, in lower case, internationalised ones in their xn-- form."""
    return _domain(value)


@kind_of
def domain_or_below(value: str, _folder: Path) -> str:
    """ "b.example", or "*.b.example" for every domain below it.

    The latter is given back as ".b.example", as `pki.addresses.in_domain` takes it.
    """
    return "." + _domain(value[2:]) if value.startswith("*.") else _domain(value)


def _domains_or_all(value: object, folder: Path) -> tuple[str, ...]:
    if value == ["*"]:
        return ()
    return list_of(domain_or_below, least=1).read(value, folder)


# A list of such domains, or ["*"] for every domain, which is given back as ().
domains_or_all = Kind(_domains_or_all)


@kind_of
def ip_address(value: str, _folder: Path) -> IPAddress:
    """ "127.0.0.1", "::1", "0.0.0.0" for every interface."""
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        raise Wrong("{value} is not an IP address", value=shown(value)) from None


@kind_of
def network(value: str, _folder: Path) -> IPNetwork:
    """ "10.1.0.0/16"; an address alone is that one machine."""
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        pass
    try:
        wider = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise Wrong("{value} is not a network", value=shown(value)) from None
    # 10.1.2.3/8 may be a slip for /32: guessing would let a whole network vouch for mail.
    raise Wrong(
        "{value} is an address inside a network; the network is {network}",
        value=shown(value),
        network=shown(str(wider)),
    )


@kind_of
def host(value: str, folder: Path) -> str:
    """A host name or an IP address."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        pass
    try:
        return host_name.read(value, folder)
    except Wrong:
        raise Wrong(
            "{value} is neither a host name nor an IP address", value=shown(value)
        ) from None


@kind_of
def host_name(value: str, _folder: Path) -> str:
    """A host name, and no IP address: that cannot stand in EHLO or a Received field as it is."""
    lower = value.lower()
    if not _DOMAIN.match(lower) or lower.rpartition(".")[2].isdigit():
        raise Wrong("{value} is not a host name", value=shown(value))
    return lower


@kind_of
def host_port(value: str, folder: Path) -> str:
    """ "crl.b.example:80", "[::1]:8080"; given back lower-case and without brackets, as
    `pki.fetch.FetchRules` takes it.
    """
    name, colon, number = value.rpartition(":")
    right = bool(colon) and number.isascii() and number.isdigit() and 0 < int(number) < 65536
    bracketed = name.startswith("[") and name.endswith("]")
    if not right or bracketed != (":" in name):
        raise Wrong("{value} is not a host and a port", value=shown(value))
    if bracketed:
        name = str(ip_address.read(name[1:-1], folder))
    return f"{host.read(name, folder)}:{int(number)}"


# What the tables keep of a source; PostgreSQL would refuse a longer one at every fetch.
_URL_LIMIT = 500


def _url(value: str, schemes: tuple[str, ...]) -> str:
    try:
        parts = urlsplit(value)
        right = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or any(char <= " " for char in value):
        raise Wrong(
            "{value} is not an address that begins with {schemes}",
            value=shown(value),
            schemes=", ".join(f"{scheme}://" for scheme in schemes),
        )
    if len(value) > _URL_LIMIT:
        raise Wrong(
            "{value} is longer than {limit} characters",
            value=shown(value),
            limit=str(_URL_LIMIT),
        )
    if parts.username is not None or parts.password is not None:
        # It would end in the record of every decision that names the source.
        raise Wrong("an address must not carry a name or a password")
    return value


@kind_of
def ldap_url(value: str, _folder: Path) -> str:
    """ "ldaps://host", "ldap://host:389", without a path."""
    url = _url(value, ("ldaps", "ldap"))
    if urlsplit(url).path not in ("", "/") or "?" in url:
        raise Wrong("{value} has a path; the base stands in its own key", value=shown(value))
    return url


@kind_of
def http_url(value: str, _folder: Path) -> str:
    """ "http://host/path" or "https://host/path"."""
    return _url(value, ("http", "https"))


@kind_of
def crl_url(value: str, _folder: Path) -> str:
    """ "http://host/path", "https://…", "ldap://host/DN?certificateRevocationList" or "ldaps://…"."""
    from pki.fetch_ldap import read_ldap_url  # every command reads the configuration

    url = _url(value, ("http", "https", "ldap", "ldaps"))
    if url.partition(":")[0].startswith("ldap"):
        try:
            read_ldap_url(url)
        except FetchTrouble as error:
            reason = error.problem
            raise Wrong(reason.template, **reason.facts) from None
    return url


@kind_of
def mailbox(value: str, _folder: Path) -> str:
    """An address, in canonical form."""
    try:
        return canonical(value)
    except AddressError:
        raise Wrong("{value} is not an address", value=shown(value)) from None


@kind_of
def pattern(value: str, folder: Path) -> Pattern:
    """ "a@b.example", "@b.example", "*.b.example", "*"."""
    if value == "*":
        return Pattern(value)
    if value.startswith("*."):
        return Pattern("*." + _domain(value[2:]))
    if value.startswith("@"):
        return Pattern("@" + _domain(value[1:]))
    if "@" not in value:
        raise Wrong(
            '{value} is not a pattern: "a@b.example", "@b.example", "*.b.example" or "*"',
            value=shown(value),
        )
    return Pattern(mailbox.read(value, folder))


@kind_of
def distinguished_name(value: str, _folder: Path) -> str:
    """An LDAP name, RFC 4514: checked for its shape only, the server knows the rest."""
    if not re.fullmatch(r"[A-Za-z0-9.-]+\s*=[^\x00-\x1f]+", value):
        raise Wrong("{value} is not a distinguished name", value=shown(value))
    return value


def _attribute(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*(;[A-Za-z0-9-]+)*", value):
        raise Wrong("{value} is not the name of an LDAP attribute", value=shown(value))
    return value


@kind_of
def ldap_attribute(value: str, _folder: Path) -> str:
    """ "mail", "userCertificate;binary": a name of the schema (RFC 4512 §2.5), known or not."""
    return _attribute(value)


@kind_of
def ldap_attribute_or_none(value: str, _folder: Path) -> str:
    """Such a name, or "" for none."""
    return _attribute(value) if value else ""


@kind_of
def origin(value: str, _folder: Path) -> str:
    """The log's name for ever: a domain and a path, without a scheme (C2SP tlog-checkpoint)."""
    name, _, path = value.partition("/")
    if not _DOMAIN.match(name) or not re.fullmatch(r"[A-Za-z0-9._/-]*", path):
        raise Wrong(
            "{value} is not an origin: a domain and a path, without https://", value=shown(value)
        )
    return value


@kind_of
def fingerprint(value: str, _folder: Path) -> str:
    """SHA-256 of a certificate, typed by a person: 64 hex digits, with or without colons."""
    digits = re.sub(r"[:\s]", "", value).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise Wrong(
            "{value} is not a SHA-256 fingerprint: 64 hex digits are, here are {count}",
            value=shown(value),
            count=str(len(digits)),
        )
    return digits
