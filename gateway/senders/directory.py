"""Logins in an LDAP directory: find the one entry, then bind as it (RFC 4513 §5.1.3). Blocking.

Any trouble is DirectoryTrouble: "cannot tell", which is never "wrong password". A connection is
used once: a bind as somebody must not be what the next search is made with.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import ldap
import ldap.filter

from pki.addresses import canonical
from pki.channel import open_channel
from pki.errors import AddressError, DirectoryTrouble, problem

# libldap opens a lost connection again by the address it was given, in clear: this leads nowhere.
_NOWHERE = "ldapi://%2Fnonexistent"

_MAX_ADDRESSES = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoginDirectory:
    """One directory with logins, as the admin described it.

    urls: servers with the same content, tried in order. filter: RFC 4515 with `{login}` where the
    escaped login stands. login_attribute: the login as the directory writes it; what rules see.
    address_attributes: his own addresses; only plain addr-specs and "smtp:" values count.
    ca: PEM; needed for TLS, the system's CAs are not used.
    """

    name: str
    urls: tuple[str, ...]
    base: str
    filter: str = "(uid={login})"
    login_attribute: str = "uid"
    address_attributes: tuple[str, ...] = ("mail",)
    starttls: bool = False
    ca: Path | None = None
    bind_dn: str = ""
    password: str = field(default="", repr=False)
    timeout: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the directory says of a login."""

    dn: str
    login: str
    addresses: tuple[str, ...]


class LoginClient:
    """Asks one directory. Thread-safe.

    A server that did not answer is not asked again for `retry_after`: frozen, it costs its
    time-out once and not per login.
    """

    def __init__(
        self, directory: LoginDirectory, *, retry_after: timedelta = timedelta(seconds=10)
    ) -> None:
        self.directory = directory
        self._retry_after = retry_after.total_seconds()
        self._away: dict[str, tuple[float, DirectoryTrouble]] = {}

    def check(self, login: str, password: str) -> tuple[Entry | None, bool]:
        """The entry of that login, if there is one, and whether the password is right.

        Raises DirectoryTrouble, ValueError for an empty password: a simple bind with one succeeds
        for everybody (RFC 4513 §5.1.2, "unauthenticated bind").
        """
        if not password:
            raise ValueError("an empty password never binds")
        return self._on_a_server(lambda url, deadline: self._check(url, deadline, login, password))

    def find(self, login: str) -> Entry | None:
        """The entry of a login that somebody else has proved. Raises DirectoryTrouble."""
        return self._on_a_server(lambda url, deadline: self._find(url, deadline, login))

    def probe(self, url: str) -> None:
        """Connect, bind, search for a login that nobody has, at one of the servers.

        Raises DirectoryTrouble.
        """
        self._on_a_server(lambda at, deadline: self._find(at, deadline, "sceau-check"), (url,))

    def _on_a_server(
        self, ask: Callable[[str, float], T], urls: tuple[str, ...] | None = None
    ) -> T:
        trouble: DirectoryTrouble | None = None
        for url in urls or self.directory.urls:
            until, trouble_before = self._away.get(url, (0.0, None))
            if time.monotonic() < until:
                trouble = trouble_before
                continue
            deadline = time.monotonic() + self.directory.timeout.total_seconds()
            try:
                found = ask(url, deadline)
            except (ldap.LDAPError, OSError, ValueError) as error:
                trouble = self._trouble(error)
                if not isinstance(error, ValueError):
                    self._away[url] = (time.monotonic() + self._retry_after, trouble)
                continue
            self._away.pop(url, None)
            return found
        assert trouble is not None
        raise trouble

    def _check(
        self, url: str, deadline: float, login: str, password: str
    ) -> tuple[Entry | None, bool]:
        entry = self._find(url, deadline, login)
        if entry is None:
            return None, False
        connection = self._open(url, deadline)
        try:
            connection.simple_bind_s(entry.dn, password)
            # A server that takes the bind for an anonymous one proves nothing (RFC 4532).
            return entry, connection.whoami_s() not in ("", "dn:")
        except (ldap.INVALID_CREDENTIALS, ldap.INAPPROPRIATE_AUTH, ldap.NO_SUCH_OBJECT):
            return entry, False  # NO_SUCH_OBJECT: removed since the search
        except (ldap.PROTOCOL_ERROR, ldap.UNAVAILABLE_CRITICAL_EXTENSION):
            return entry, True  # the bind went well; this server does not know "who am I"
        finally:
            _unbind(connection)

    def _find(self, url: str, deadline: float, login: str) -> Entry | None:
        directory = self.directory
        connection = self._open(url, deadline)
        try:
            connection.simple_bind_s(directory.bind_dn, directory.password)
            found = connection.search_ext_s(
                directory.base,
                ldap.SCOPE_SUBTREE,
                directory.filter.replace("{login}", ldap.filter.escape_filter_chars(login)),
                [directory.login_attribute, *directory.address_attributes],
                timeout=max(deadline - time.monotonic(), 0.1),
                sizelimit=2,
            )
        except ldap.SIZELIMIT_EXCEEDED:
            raise ValueError("more than one entry has this login") from None
        finally:
            _unbind(connection)
        # Without a DN it is a reference to another server, which is not followed: no entry there
        # may log in here.
        entries = [(dn, values) for dn, values in found if dn]
        if len(entries) > 1:
            raise ValueError("more than one entry has this login")
        return self._read(login, *entries[0]) if entries else None

    def _read(self, login: str, dn: str, values: dict[str, list[bytes]]) -> Entry:
        by_name = {name.lower().partition(";")[0]: each for name, each in values.items()}
        logins = _texts(by_name.get(self.directory.login_attribute.lower(), []))
        own: dict[str, None] = {}
        for attribute in self.directory.address_attributes:
            for text in _texts(by_name.get(attribute.lower(), [])):
                address = text[5:] if text[:5].lower() == "smtp:" else text
                try:
                    own[canonical(address)] = None
                except AddressError:
                    continue  # gives no right; the others still do
        return Entry(dn, logins[0] if len(logins) == 1 else login, tuple(own)[:_MAX_ADDRESSES])

    def _open(self, url: str, deadline: float) -> Any:
        """A connection with TLS up, not bound. Raises ldap.LDAPError, OSError."""
        parts = urlsplit(url)
        tls = parts.scheme == "ldaps" or self.directory.starttls
        channel = open_channel(
            parts.hostname or "",
            parts.port or (636 if parts.scheme == "ldaps" else 389),
            ca_file=self.directory.ca if tls else None,
            starttls=self.directory.starttls,
            deadline=deadline,
        )
        connection = ldap.initialize(_NOWHERE, fileno=channel.detach())
        connection.protocol_version = ldap.VERSION3
        # A referral would have us show a user's password wherever the server says (threats L12).
        connection.set_option(ldap.OPT_REFERRALS, ldap.OPT_OFF)
        connection.set_option(ldap.OPT_RESTART, ldap.OPT_OFF)
        connection.set_option(ldap.OPT_TIMEOUT, max(deadline - time.monotonic(), 0.1))
        return connection

    def _trouble(self, error: Exception) -> DirectoryTrouble:
        details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        detail = " ".join(str(details.get(key, "")) for key in ("desc", "info")).strip()
        if not detail:
            detail = (error.strerror if isinstance(error, OSError) else "") or str(error)
        facts = {
            "directory": self.directory.name,
            "detail": ascii(detail or type(error).__name__)[1:-1][:300],
        }
        if isinstance(error, ldap.TIMEOUT | ldap.TIMELIMIT_EXCEEDED | TimeoutError):
            return DirectoryTrouble(
                problem(
                    "directory.timeout", "the directory {directory} did not answer in time", **facts
                )
            )
        return DirectoryTrouble(
            problem(
                "directory.unreachable",
                "the directory {directory} is not there ({detail})",
                **facts,
            )
        )


def _texts(values: list[bytes]) -> list[str]:
    return [value.decode("utf-8", "replace") for value in values]


def _unbind(connection: Any) -> None:
    # python-ldap closes the socket in every case; a server that is gone cannot stop that.
    try:  # noqa: SIM105
        connection.unbind_ext_s()
    except ldap.LDAPError:
        pass
