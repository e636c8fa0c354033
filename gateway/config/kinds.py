"""The kinds of values a configuration has, each with its own words for what is wrong."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from gateway.config.faults import Wrong
from gateway.config.reader import Kind
from gateway.policy.patterns import Pattern
from pki.addresses import canonical, canonical_domain
from pki.errors import AddressError

T = TypeVar("T")
E = TypeVar("E", bound=Enum)
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\Z")
_SLUG = re.compile(r"[a-z0-9]([a-z0-9_.-]{0,62}[a-z0-9])?\Z")
_DURATION = re.compile(r"(\d+)\s*([smhd])\Z")
_SIZE = re.compile(r"(\d+)\s*(B|kB|MB|GB|KiB|MiB|GiB)\Z")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
}  # fmt: skip
_TOML_NAMES: dict[type, str] = {
    bool: "true or false", int: "an integer", float: "a number with a point",
    str: "a text in quotes", list: "a list", dict: "a table",
}  # fmt: skip


def shown(value: object) -> str:
    """A value as TOML would write it, cut to a readable length."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 60 else f'"{value[:60]}…"'
    return str(value)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong("{value} is not a text; write it in quotes", value=shown(value))
    return value


def _kind(read: Callable[[str, Path], T]) -> Kind[T]:
    """A kind that is written as a text in quotes."""
    return Kind(lambda value, folder: read(_string(value), folder))


# -- plain values ------------------------------------------------------------------------------


@_kind
def text(value: str, _folder: Path) -> str:
    """Any text in one line."""
    if any(ord(char) < 32 for char in value):
        raise Wrong("{value} is more than one line", value=shown(value))
    return value


@_kind
def slug(value: str, _folder: Path) -> str:
    """A name in small letters, digits, - . _ ; it stands in log entries and never changes."""
    if not _SLUG.match(value):
        raise Wrong(
            "{value} is not a name: small letters, digits and - . _ only, at most 64",
            value=shown(value),
        )
    return value


def _boolean(value: object, _folder: Path) -> bool:
    if not isinstance(value, bool):
        raise Wrong("{value} is neither true nor false", value=shown(value))
    return value


boolean = Kind(_boolean)


def _integer(value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong("{value} is not an integer", value=shown(value))
    if not least <= value <= most:
        raise Wrong(
            "{value} is not between {least} and {most}",
            value=str(value), least=str(least), most=str(most),
        )  # fmt: skip
    return value


def count(*, least: int, most: int = 1_000_000) -> Kind[int]:
    """An integer."""
    return Kind(lambda value, _folder: _integer(value, least, most))


port = count(least=1, most=65535)


def _auto_or_count(value: object, _folder: Path) -> int | Literal["auto"]:
    return "auto" if value == "auto" else _integer(value, 1, 1024)


auto_or_count: Kind[int | Literal["auto"]] = Kind(_auto_or_count)


def choice(enum: type[E]) -> Kind[E]:
    """One of the values of an enumeration."""

    def read(value: str, _folder: Path) -> E:
        try:
            return enum(value)
        except ValueError:
            raise Wrong(
                "{value} is not one of {choices}",
                value=shown(value),
                choices=", ".join(shown(each.value) for each in enum),
            ) from None

    return _kind(read)


def _duration(value: str) -> timedelta:
    match = _DURATION.match(value)
    if not match or int(match[1]) == 0 or int(match[1]) * _UNITS[match[2]] > 100 * 365 * 86400:
        raise Wrong("{value} is not a duration: a number and s, m, h or d", value=shown(value))
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


@_kind
def duration(value: str, _folder: Path) -> timedelta:
    """ "30s", "5m", "4h", "5d"."""
    return _duration(value)


@_kind
def size(value: str, _folder: Path) -> int:
    """ "50 MB" (50,000,000 bytes) or "50 MiB" (52,428,800)."""
    match = _SIZE.match(value)
    if not match or int(match[1]) == 0:
        raise Wrong(
            "{value} is not a size: a number and B, kB, MB, GB, KiB, MiB or GiB",
            value=shown(value),
        )
    return int(match[1]) * _BYTES[match[2]]


@_kind
def revocation(value: str, _folder: Path) -> timedelta:
    """ "hard-fail" (zero) or "grace 24h"."""
    if value == "hard-fail":
        return timedelta()
    word, _, rest = value.partition(" ")
    if word != "grace":
        raise Wrong(
            '{value} is neither "hard-fail" nor "grace" with a duration', value=shown(value)
        )
    return _duration(rest)


def list_of(kind: Kind[T], *, least: int = 0, repeats: bool = False) -> Kind[tuple[T, ...]]:
    """A list; every wrong item is told. repeats: the same item may stand there twice."""

    def read(value: object, folder: Path) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise Wrong("{value} is not a list; write it in [ ]", value=shown(value))
        items: list[T] = []
        wrong: Wrong | None = None
        for each in value:
            try:
                item = kind.read(each, folder)
                if item in items and not repeats:
                    raise Wrong("{value} stands there twice", value=shown(each))
                items.append(item)
            except Wrong as one:
                if wrong is None:
                    wrong = one
                else:
                    wrong.reasons += one.reasons
        if wrong is not None:
            raise wrong
        if len(items) < least:
            raise Wrong("this list is empty")
        return tuple(items)

    return Kind(read)


def one_or_more(kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """A list, or one value without the brackets."""
    many = list_of(kind, least=1)
    return Kind(
        lambda value, folder: many.read(value if isinstance(value, list) else [value], folder)
    )


# -- names on the network ------------------------------------------------------------------------


def _domain(value: str) -> str:
    try:
        return canonical_domain(value)
    except AddressError:
        raise Wrong("{value} is not a domain", value=shown(value)) from None


@_kind
def domain(value: str, _folder: Path) -> str:
    """A domain, in lower case, internationalised ones in their xn-- form."""
    return _domain(value)


@_kind
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


@_kind
def ip_address(value: str, _folder: Path) -> IPAddress:
    """ "127.0.0.1", "::1", "0.0.0.0" for every interface."""
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        raise Wrong("{value} is not an IP address", value=shown(value)) from None


@_kind
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


@_kind
def host(value: str, _folder: Path) -> str:
    """A host name or an IP address."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        pass
    lower = value.lower()
    if not _DOMAIN.match(lower) or lower.rpartition(".")[2].isdigit():
        raise Wrong("{value} is neither a host name nor an IP address", value=shown(value))
    return lower


@_kind
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
    if parts.username is not None or parts.password is not None:
        # It would end in the record of every decision that names the source.
        raise Wrong("an address must not carry a name or a password")
    return value


@_kind
def ldap_url(value: str, _folder: Path) -> str:
    """ "ldaps://host", "ldap://host:389", without a path."""
    url = _url(value, ("ldaps", "ldap"))
    if urlsplit(url).path not in ("", "/") or "?" in url:
        raise Wrong("{value} has a path; the base stands in its own key", value=shown(value))
    return url


@_kind
def http_url(value: str, _folder: Path) -> str:
    """ "http://host/path" or "https://host/path"."""
    return _url(value, ("http", "https"))


@_kind
def mailbox(value: str, _folder: Path) -> str:
    """An address, in canonical form."""
    try:
        return canonical(value)
    except AddressError:
        raise Wrong("{value} is not an address", value=shown(value)) from None


@_kind
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


@_kind
def distinguished_name(value: str, _folder: Path) -> str:
    """An LDAP name, RFC 4514: checked for its shape only, the server knows the rest."""
    if not re.fullmatch(r"[A-Za-z0-9.-]+\s*=[^\x00-\x1f]+", value):
        raise Wrong("{value} is not a distinguished name", value=shown(value))
    return value


@_kind
def origin(value: str, _folder: Path) -> str:
    """The log's name for ever: a domain and a path, without a scheme (C2SP tlog-checkpoint)."""
    name, _, path = value.partition("/")
    if not _DOMAIN.match(name) or not re.fullmatch(r"[A-Za-z0-9._/-]*", path):
        raise Wrong(
            "{value} is not an origin: a domain and a path, without https://", value=shown(value)
        )
    return value


@_kind
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


# -- files ---------------------------------------------------------------------------------------


@_kind
def file(value: str, folder: Path) -> Path:
    """A file that exists and can be read."""
    path = folder / value
    if path.is_dir():
        raise Wrong("{path} is a folder, not a file", path=str(path))
    if not path.exists():
        raise Wrong("there is no file {path}", path=str(path))
    _readable(path)
    return path


@_kind
def file_or_folder(value: str, folder: Path) -> Path:
    """A file, or a folder all of whose files are meant."""
    path = folder / value
    if not path.exists():
        raise Wrong("there is no file or folder {path}", path=str(path))
    _readable(path)
    return path


@_kind
def folder(value: str, folder: Path) -> Path:
    """A folder of the gateway's own; it may be made later, its parent is there."""
    path = folder / value
    if path.exists() and not path.is_dir():
        raise Wrong("{path} is a file, not a folder", path=str(path))
    _parent(path)
    return path


@_kind
def database_url(value: str, folder: Path) -> str:
    """ "sqlite:///data/sceau.db" below the file's folder, "sqlite:////abs/path" elsewhere."""
    scheme, _, name = value.partition(":///")
    if scheme != "sqlite" or not name or "?" in name:
        raise Wrong("{value} is not a database this version can use", value=shown(value))
    path = folder / name
    if path.is_dir():
        raise Wrong("{path} is a folder, not a file", path=str(path))
    _parent(path)
    return f"sqlite:///{path}"


def _parent(path: Path) -> None:
    if not path.parent.is_dir():
        raise Wrong("there is no folder {path}", path=str(path.parent))


def _readable(path: Path) -> None:
    if not os.access(path, os.R_OK):
        raise Wrong("{path} may not be read by this user", path=str(path))
