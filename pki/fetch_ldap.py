"""CRLs from directories by LDAP URL (RFC 4516, RFC 4523 §2.3–2.5): as hostile as any network.

The same rules as over HTTP (`pki.fetch`): listed hosts, addresses that were checked and no other,
no referral, an end in time and size. Nobody logs in: who could have us log in where he likes would
have the password.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from pki.directory import Directory
from pki.errors import FetchTrouble
from pki.fetch import FetchRules, checked_addresses, checked_url, trouble
from pki.ldap import wire
from pki.ldap.channel import Channel
from pki.ldap.faults import ServerFault
from pki.ldap.session import Search, Session
from pki.reach import LookUp, NoneReached, reach, resolve, seconds_left
from pki.unreached import told

PORTS = {"ldap": 389, "ldaps": 636}
_ATTRIBUTES = {
    name.lower(): name
    for name in ("certificateRevocationList", "authorityRevocationList", "deltaRevocationList")
}
_BESIDE = 64 * 1024  # octets of LDAP around a CRL


@dataclass(frozen=True, slots=True)
class LdapCrlUrl:
    """What an LDAP URL asks for: one attribute of one entry.

    object_class: which the entry must have, "" for any. Active Directory writes such a filter.
    """

    base: str
    attribute: str
    object_class: str = ""


def read_ldap_url(url: str) -> LdapCrlUrl:
    """ldap[s]://host[:port]/DN?attribute[?base[?objectClass=…]]. Raises FetchTrouble."""
    _, _, rest = url.partition("://")
    path, *asked = rest.partition("/")[2].split("?")
    asked += [""] * (4 - len(asked))
    attributes, scope, found, extensions = asked[:4]
    name, _, option = attributes.partition(";")
    attribute = _ATTRIBUTES.get(name.lower(), "") if attributes else "certificateRevocationList"
    if len(asked) > 4 or not attribute or option.lower() not in ("", "binary"):
        raise trouble(
            url,
            "it must ask for one attribute: {attributes}",
            attributes=", ".join(_ATTRIBUTES.values()),
        )
    if scope.lower() not in ("", "base"):
        raise trouble(url, "it must ask for one entry (scope base), not for a search")
    condition = _text(url, found).strip("()")
    kind, equals, value = condition.partition("=")
    if condition and (kind.lower() != "objectclass" or not equals or set(value) & set("()\\")):
        raise trouble(url, "its filter is not an objectClass")
    if any(each.startswith("!") for each in extensions.split(",")):
        raise trouble(url, "it has a critical extension, which is not known here")
    base = _text(url, path)
    if not base:
        raise trouble(url, "it names no entry")
    return LdapCrlUrl(base, attribute, "" if value == "*" else value)


def _text(url: str, escaped: str) -> str:
    try:
        return unquote_to_bytes(escaped).decode("utf-8")
    except UnicodeDecodeError:
        raise trouble(url, "it is not an address") from None


def fetch_ldap(
    url: str,
    rules: FetchRules,
    *,
    look_up: LookUp = resolve,
) -> bytes:
    """The CRL that an ldap:// or ldaps:// URL names, all of it within the limits.

    look_up: name resolution. Raises FetchTrouble.
    """
    deadline = time.monotonic() + rules.time_limit.total_seconds()
    parts, host, port = checked_url(url, rules, PORTS)
    asked = read_ldap_url(url)
    directory = Directory(name=f"{host}:{port}", urls=(url,), base=asked.base, domains=())
    try:
        addresses = checked_addresses(url, host, port, rules, look_up, deadline)
        with reach(addresses, port, deadline) as plain:
            plain.settimeout(seconds_left(deadline))
            server = plain
            if parts.scheme == "ldaps":
                server = rules.tls().wrap_socket(plain, server_hostname=host)
            session = Session.over(
                directory, Channel(server), deadline, max_octets=rules.max_bytes + _BESIDE
            )
            try:
                return _the_one(url, asked, session, deadline)
            finally:
                session.close()
    except ServerFault as fault:
        raise trouble(url, "{detail}", detail=fault.problem.sentence) from fault
    except NoneReached as error:
        raise trouble(url, "{detail}", detail=told(error)) from error
    except TimeoutError as error:
        raise trouble(
            url, "it took longer than {seconds} s", seconds=f"{rules.time_limit.total_seconds():g}"
        ) from error
    except OSError as error:
        raise trouble(url, "{detail}", detail=told(error)) from error


def _the_one(url: str, asked: LdapCrlUrl, session: Session, deadline: float) -> bytes:
    """The one value of the one entry. Raises FetchTrouble, ServerFault."""
    condition = (
        wire.equal("objectClass", asked.object_class)
        if asked.object_class
        else wire.present("objectClass")
    )
    # Servers differ in which of the two names they answer to (RFC 4522 §3 demands the option).
    names = (f"{asked.attribute};binary", asked.attribute)
    search = Search(asked.base, condition, names, 1, wire.BASE_SCOPE, may_be_absent=True)
    found = session.search(search, deadline)
    if found.referred:
        raise trouble(url, "it refers to another server, which is not followed")
    values = {value for entry in found.entries for value in entry.values(asked.attribute)}
    if len(values) != 1:
        raise _not_one(url, asked, len(values))
    return values.pop()


def _not_one(url: str, asked: LdapCrlUrl, count: int) -> FetchTrouble:
    if count:
        return trouble(
            url,
            "the entry has {count} values of {attribute}, and which one is meant cannot be told",
            count=str(count),
            attribute=asked.attribute,
        )
    return trouble(
        url,
        "there is no such entry, or it has no {attribute}",
        attribute=asked.attribute,
    )
