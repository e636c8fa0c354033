"""Tables that say who may send as whom: [auth], [[auth.directories]], [[clients]], [[senders]]."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import TypeVar

from gateway.config import kinds
from gateway.config.faults import Wrong
from gateway.config.reader import Kind, section, setting, tables
from gateway.policy import Pattern
from gateway.senders.users import login_form

T = TypeVar("T")

OWN = Pattern("own")  # no address: what no address can be written as


class AuthDemand(Enum):
    """What [listen] asks of those who come."""

    NONE = "none"  # no AUTH: relays by their networks, clients by their certificates
    OFFERED = "offered"  # whoever is no listed relay must log in or show a certificate
    REQUIRED = "required"  # a relay's network alone proves nothing


@kinds.kind_of
def _login_pattern(value: str, _folder: Path) -> str:
    """A login in its one form; "*" stands for any characters."""
    try:
        return "*".join(login_form(part) if part else "" for part in value.split("*"))
    except ValueError:
        raise Wrong("{value} cannot be a login", value=kinds.shown(value)) from None


@kinds.kind_of
def _group(value: str, _folder: Path) -> str:
    """The name (cn) of a group, compared in small letters."""
    if not value.strip() or not value.isprintable():
        raise Wrong("{value} is not the name of a group", value=kinds.shown(value))
    return value.strip().lower()


@kinds.kind_of
def _rights(value: str, folder: Path) -> Pattern:
    """ "own", or a pattern of addresses."""
    return OWN if value == OWN.text else kinds.pattern.read(value, folder)


@kinds.kind_of
def _certificate_name(value: str, folder: Path) -> str:
    """ "crm.b.example", "*.apps.b.example", "anna@b.example", "@b.example"."""
    if value.startswith("@"):
        return "@" + kinds.domain.read(value[1:], folder)
    if "@" in value:
        return kinds.mailbox.read(value, folder)
    if value.startswith("*."):
        return "*." + kinds.domain.read(value[2:], folder)
    return kinds.host_name.read(value, folder)


@kinds.kind_of
def _filter(value: str, _folder: Path) -> str:
    """An LDAP filter (RFC 4515) with {login} in it."""
    balanced = value.count("(") == value.count(")")
    if value.count("{login}") < 1 or not (value[:1] == "(" and value[-1:] == ")" and balanced):
        raise Wrong("{value} is not a filter with {{login}} in it", value=kinds.shown(value))
    return value


@kinds.kind_of
def _attribute(value: str, _folder: Path) -> str:
    """The name of an LDAP attribute (RFC 4512 §1.4)."""
    if not value.isascii() or not value.replace("-", "").isalnum():
        raise Wrong("{value} is not the name of an attribute", value=kinds.shown(value))
    return value


def _any(kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """A list, or one value without the brackets; an empty one says nothing."""
    many = kinds.list_of(kind)
    return Kind(
        lambda value, folder: many.read(value if isinstance(value, list) else [value], folder)
    )


@section
class AuthDirectory:
    """[[auth.directories]]: LDAP servers in which people log in with their own password."""

    name: str = setting(kinds.slug, example='"staff"')
    url: tuple[str, ...] = setting(
        kinds.one_or_more(kinds.ldap_url),
        example='["ldaps://ldap1.b.example", "ldaps://ldap2.b.example"]',
    )
    base: str = setting(kinds.distinguished_name, example='"ou=people,dc=interior,dc=example"')
    filter: str = setting(_filter, example='"(uid={login})"', default="(uid={login})")
    login_attribute: str = setting(_attribute, example='"uid"', default="uid")
    address_attributes: tuple[str, ...] = setting(
        kinds.list_of(_attribute, least=1), example='["mail"]', default=("mail",)
    )
    starttls: bool = setting(kinds.boolean, example="true", default=False)
    ca: Path | None = setting(kinds.file, example='"anchors/ldap-ca.crt"', default=None)
    bind_dn: str = setting(
        kinds.distinguished_name, example='"cn=sceau,dc=interior,dc=example"', default=""
    )
    password_file: Path | None = setting(kinds.file, example='"keys/staff.password"', default=None)
    timeout: timedelta = setting(kinds.duration, example='"5s"', default=timedelta(seconds=5))


@section
class Auth:
    """[auth]: where logins are, and what guessing costs."""

    users: Path | None = setting(kinds.file, example='"keys/users"', default=None, live=True)
    failures: int = setting(kinds.count(least=1, most=1000), example="5", default=5)
    window: timedelta = setting(kinds.duration, example='"15m"', default=timedelta(minutes=15))
    longest_wait: timedelta = setting(
        kinds.duration, example='"15m"', default=timedelta(minutes=15)
    )
    directories: tuple[AuthDirectory, ...] = tables(AuthDirectory)


@section
class Client:
    """[[clients]]: programs and machines that prove who they are by a TLS certificate."""

    name: str = setting(kinds.slug, example='"crm"')
    ca: Path = setting(kinds.file, example='"anchors/clients-ca.crt"')
    certificates: tuple[str, ...] = setting(
        kinds.list_of(kinds.fingerprint),
        example='["5f:1a:… (32 pairs of hex digits)"]',
        default=(),
    )
    names: tuple[str, ...] = setting(
        kinds.list_of(_certificate_name), example='["crm.interior.example"]', default=()
    )
    unsafe_no_revocation: bool = setting(kinds.boolean, example="true", default=False)


@section
class Sender:
    """[[senders]]: a right to send as some addresses. addresses: OWN among them for his own."""

    name: str = setting(kinds.slug, example='"press"')
    login: tuple[str, ...] = setting(
        _any(_login_pattern), example='["anna", "press-*"]', default=()
    )
    group: tuple[str, ...] = setting(_any(_group), example='"press"', default=())
    client: tuple[str, ...] = setting(_any(kinds.slug), example='"crm"', default=())
    addresses: tuple[Pattern, ...] = setting(
        kinds.one_or_more(_rights), example='["own", "press@interior.example"]'
    )
