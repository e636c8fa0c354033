"""Certificates of others in LDAP directories (RFC 4511, RFC 4523).

What a directory gives back is input of strangers: candidates, nothing more. What it does not give
back is never a "no": every trouble is DirectoryTrouble.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import ldap
import ldap.filter

from pki.addresses import canonical
from pki.anchors import parse_certificates
from pki.certificate import MAX_OCTETS
from pki.channel import open_channel
from pki.directory import Directory, check_settings
from pki.errors import DirectoryTrouble, Problem, problem
from pki.models import Candidate, Refusal

__all__ = ["Directory", "DirectoryAnswer", "DirectoryClient", "search_filter"]

MAX_ENTRIES = 20  # entries with one mail address
MAX_VALUES = 50  # certificates in one entry

_NOWHERE = "ldapi://%2Fnonexistent"


@dataclass(frozen=True, slots=True)
class DirectoryAnswer:
    """What one search gave: candidates, and values that are not certificates."""

    candidates: tuple[Candidate, ...]
    refused: tuple[Refusal, ...]


class DirectoryClient:
    """A small pool of connections to one directory, with a circuit breaker. Thread-safe.

    The breaker: after a time-out, a refused connection or a failed bind the directory counts as
    away for `retry_after`, and searches fail at once, so that a frozen server costs its time-out
    once and not per mail. Then one search tries it while the others still fail at once.
    Raises DirectoryTrouble (directory.settings) for settings that would be unsafe.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        pool: int = 4,
        retry_after: timedelta = timedelta(seconds=30),
    ) -> None:
        check_settings(directory)
        self.directory = directory
        self._places = threading.BoundedSemaphore(pool)
        self._lock = threading.Lock()
        self._idle: list[Any] = []
        self._retry_after = retry_after.total_seconds()
        self._away_until = 0.0
        self._trouble: Problem | None = None

    def search(self, address: str) -> DirectoryAnswer:
        """Certificates of the entries with this mail address.

        Raises DirectoryTrouble (at once while the breaker is open), AddressError: what has no
        canonical form never leaves (slapd takes a value with NUL at its end for the one without).
        """
        address = canonical(address)
        self._fail_fast()
        with self._places:
            self._fail_fast(may_try=True)  # it may have opened while we waited for a place
            try:
                found = self._search(address)
            except (ldap.LDAPError, OSError, ValueError) as error:
                # ValueError: libldap's binding decodes names in an answer as UTF-8.
                raise self._failed(error) from error
        with self._lock:
            self._trouble = None
        return self._read(found)

    def close(self) -> None:
        """Give back all idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            _unbind(connection)

    # Breaker

    def _fail_fast(self, *, may_try: bool = False) -> None:
        with self._lock:
            if self._trouble is None:
                return
            now = time.monotonic()
            if now < self._away_until:
                raise DirectoryTrouble(self._trouble)
            if may_try:  # others fail until this one is done or its time is over
                self._away_until = now + self._time_limit()

    def _time_limit(self) -> float:
        directory = self.directory
        return (directory.network_timeout + directory.operation_timeout).total_seconds()

    def _failed(self, error: ldap.LDAPError | OSError | ValueError) -> DirectoryTrouble:
        reason = _problem(self.directory, error)
        away = reason.code != "directory.answer"
        with self._lock:
            self._trouble = reason if away else None
            self._away_until = time.monotonic() + self._retry_after
        if away:
            self.close()
        return DirectoryTrouble(reason)

    # Connections

    @contextmanager
    def _connection(self, deadline: float) -> Iterator[tuple[Any, bool]]:
        """A bound connection, and whether it was used before. Kept only if nothing went wrong."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        used = connection is not None
        if connection is None:
            connection = _connect(self.directory, deadline)
        try:
            yield connection, used
        except BaseException:
            _unbind(connection)
            raise
        with self._lock:
            self._idle.append(connection)

    def _search(self, address: str) -> list[Any]:
        deadline = time.monotonic() + self._time_limit()
        filterstr = search_filter(self.directory.mail_attributes, address)
        used = False
        try:
            with self._connection(deadline) as (connection, used):
                return self._ask(connection, filterstr, deadline)
        except ldap.SERVER_DOWN:
            if not used:
                raise
        # The server closed an idle connection: nothing wrong with it, ask again on a new one.
        self.close()
        with self._connection(deadline) as (connection, _):
            return self._ask(connection, filterstr, deadline)

    def _ask(self, connection: Any, filterstr: str, deadline: float) -> list[Any]:
        timeout = min(
            self.directory.operation_timeout.total_seconds(), max(deadline - time.monotonic(), 0.1)
        )
        found: list[Any] = connection.search_ext_s(
            self.directory.base,
            ldap.SCOPE_SUBTREE,
            filterstr,
            list(self.directory.attributes),
            timeout=timeout,
            sizelimit=MAX_ENTRIES,
        )
        return found

    # Answers

    def _read(self, found: list[Any]) -> DirectoryAnswer:
        wanted = {name.lower() for name in self.directory.attributes}
        wanted |= {name.partition(";")[0] for name in wanted}
        candidates: dict[bytes, Candidate] = {}
        refused: list[Refusal] = []
        referred = False
        for dn, attributes in found:
            if dn is None:
                referred = True  # a search reference (RFC 4511 §4.5.3): never followed
                continue
            source = f"{self.directory.name}: {ascii(dn)[1:-1][:300]}"
            values = [
                value
                for name, values in attributes.items()
                if name.lower() in wanted or name.lower().partition(";")[0] in wanted
                for value in values
            ]
            for value in values[:MAX_VALUES]:
                if _is_certificate(value):
                    candidates.setdefault(value, Candidate(value, source))
                else:
                    refused.append(_garbage(value, source))
            if len(values) > MAX_VALUES:
                raise DirectoryTrouble(
                    problem(
                        "limits.directory",
                        "the entry {entry} has {count} certificates; {limit} are looked at",
                        entry=source,
                        count=str(len(values)),
                        limit=str(MAX_VALUES),
                    )
                )
        if referred and not candidates and not self.directory.ignore_references:
            # What is asked for may lie there: nobody may conclude that it does not exist (I3).
            raise DirectoryTrouble(
                problem(
                    "directory.answer",
                    "the directory {directory} refers to another server, which is not followed",
                    directory=self.directory.name,
                )
            )
        return DirectoryAnswer(tuple(candidates.values()), tuple(refused))


def search_filter(attributes: tuple[str, ...], address: str) -> str:
    """An RFC 4515 filter for entries whose mail is `address`; all of it stays a value."""
    value = ldap.filter.escape_filter_chars(address)
    terms = [f"({attribute}={value})" for attribute in attributes]
    return terms[0] if len(terms) == 1 else f"(|{''.join(terms)})"


def _connect(directory: Directory, deadline: float) -> Any:
    """A new connection, TLS up, bound. Raises ldap.LDAPError, OSError."""
    connection = _initialize(directory, deadline)
    try:
        connection.protocol_version = ldap.VERSION3
        # A referral would have us ask, and perhaps bind, wherever the server says (L12).
        connection.set_option(ldap.OPT_REFERRALS, ldap.OPT_OFF)
        connection.set_option(ldap.OPT_RESTART, ldap.OPT_OFF)
        network = directory.network_timeout.total_seconds()
        left = max(deadline - time.monotonic(), 0.1)
        connection.set_option(ldap.OPT_TIMEOUT, min(network, left))
        connection.simple_bind_s(directory.bind_dn, directory.password)
    except BaseException:
        _unbind(connection)
        raise
    return connection


def _initialize(directory: Directory, deadline: float) -> Any:
    """libldap on a connection that is up already."""
    parts = urlsplit(directory.url)
    if parts.scheme == "ldapi":
        return ldap.initialize(directory.url)
    network = directory.network_timeout.total_seconds()
    channel = open_channel(
        parts.hostname or "",
        parts.port or (636 if parts.scheme == "ldaps" else 389),
        ca_file=directory.ca_file if parts.scheme == "ldaps" or directory.starttls else None,
        starttls=directory.starttls,
        deadline=min(deadline, time.monotonic() + network),
    )
    # libldap opens a lost connection again by the address it was given, in clear: so it is given
    # one that leads nowhere.
    return ldap.initialize(_NOWHERE, fileno=channel.detach())


def _unbind(connection: Any) -> None:
    # python-ldap closes the socket in every case; a server that is gone cannot stop that.
    try:  # noqa: SIM105
        connection.unbind_ext_s()
    except ldap.LDAPError:
        pass


def _is_certificate(value: bytes) -> bool:
    if len(value) > MAX_OCTETS:
        return False
    try:
        return parse_certificates(value) == (value,)
    except ValueError:
        return False


def _garbage(value: bytes, source: str) -> Refusal:
    return Refusal(
        sha256=hashlib.sha256(value).hexdigest(),
        subject="",
        source=source,
        problem=problem(
            "structure.certificate",
            "{source}: a value of {size} octets is not a certificate",
            source=source,
            size=str(len(value)),
        ),
    )


def _plain(error: Exception) -> str:
    """Without the brackets and class names of Python: "Connection refused"."""
    words = error.strerror if isinstance(error, OSError) else ""
    return ascii(words or str(error) or type(error).__name__)[1:-1][:300]


def _problem(directory: Directory, error: ldap.LDAPError | OSError | ValueError) -> Problem:
    """What happened, in words. `directory.answer`: the server is there, the search is at fault."""
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    detail = " ".join(str(details.get(key, "")) for key in ("desc", "info")).strip()
    facts = {"directory": directory.name, "detail": ascii(detail)[1:-1][:300] or _plain(error)}
    if isinstance(error, ldap.TIMEOUT | ldap.TIMELIMIT_EXCEEDED | TimeoutError):
        return problem(
            "directory.timeout", "the directory {directory} did not answer in time", **facts
        )
    if isinstance(
        error, ldap.SERVER_DOWN | ldap.CONNECT_ERROR | ldap.UNAVAILABLE | ldap.BUSY | OSError
    ):
        return problem(
            "directory.unreachable", "the directory {directory} is not there ({detail})", **facts
        )
    if isinstance(
        error,
        ldap.INVALID_CREDENTIALS
        | ldap.INAPPROPRIATE_AUTH
        | ldap.STRONG_AUTH_REQUIRED
        | ldap.INSUFFICIENT_ACCESS
        | ldap.CONFIDENTIALITY_REQUIRED,
    ):
        return problem(
            "directory.access", "the directory {directory} does not let us in ({detail})", **facts
        )
    if isinstance(error, ldap.REFERRAL):
        return problem(
            "directory.answer",
            "the directory {directory} refers to another server, which is not followed",
            **facts,
        )
    if isinstance(error, ldap.NO_SUCH_OBJECT):
        return problem(
            "directory.answer",
            "the directory {directory} does not have the base {base}",
            base=directory.base,
            **facts,
        )
    if isinstance(error, ValueError):
        return problem(
            "directory.answer",
            "the directory {directory} answered with names not in UTF-8",
            **facts,
        )
    if isinstance(error, ldap.SIZELIMIT_EXCEEDED):
        return problem(
            "directory.answer",
            "the directory {directory} has more than {limit} entries with this address",
            limit=str(MAX_ENTRIES),
            **facts,
        )
    return problem("directory.answer", "the directory {directory} failed ({detail})", **facts)
