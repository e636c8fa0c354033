"""Logins: users file, then directories; in threads, throttled, and silent about who exists.

Passwords are checked off the event loop: a hash costs tens of milliseconds, a directory may not
answer at all. Files and directories have threads of their own, so that a frozen directory keeps
nobody out whose login is in the file.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from gateway.errors import Refusal
from gateway.mail import Identity
from gateway.senders.directory import Entry, LoginClient
from gateway.senders.passwords import Passwords
from gateway.senders.throttle import Throttle
from gateway.senders.users import User, UsersFault, UsersFile, login_form, renew_hash
from pki.addresses import canonical
from pki.errors import AddressError, PkiError

log = structlog.get_logger()

T = TypeVar("T")

# Longer ones only cost: Argon2 itself would take 4 GiB.
_LONGEST_PASSWORD = 1024


class Groups(Protocol):
    """Which groups an address is in (`pki.groups.GroupSource`)."""

    def groups_of(self, address: str) -> frozenset[str]:
        """Lower-case names. Raises PkiError where nobody can tell. Blocking."""
        ...


@dataclass(frozen=True, slots=True)
class _Found:
    """What a back-end says. known: there is such a login; its name may stand in the log.

    account: whose failures count, however the login was written: a directory may know somebody by
        several names, and each of them would be an account of its own to the throttle.
    """

    known: bool
    account: str
    identity: Identity | None = None


class _Pool:
    """Threads, and a queue that does not grow: what does not fit is told so at once."""

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._room = threads + waiting

    async def run(self, act: Callable[[], T]) -> T:
        if self._room <= 0:
            raise Refusal(454, "4.7.0", "Too many logins at once, try again later")
        self._room -= 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, act)
        # Counted back when the thread is done, not when the client has gone.
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    def _done(self, future: asyncio.Future[T]) -> None:
        self._room += 1
        if not future.cancelled():
            future.exception()  # heard, also where nobody waits for it any more

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


class Logins:
    """Checks logins for the sessions of one process.

    groups: asked at log-in when some sender rule names a group; None: no rule does.
    floor: a wrong password is answered no sooner than this after it came, whatever the back-ends
        took: the time does not tell either which one knows the login.
    """

    def __init__(
        self,
        *,
        users: UsersFile | None,
        directories: Sequence[LoginClient] = (),
        throttle: Throttle,
        passwords: Passwords | None = None,
        groups: Groups | None = None,
        floor: timedelta = timedelta(seconds=1),
        threads: int = 2,
    ) -> None:
        self._users = users
        self._directories = tuple(directories)
        self._throttle = throttle
        # Only where there is a file: the hash for nobody takes its time at each start.
        self._passwords = passwords or (Passwords() if users is not None else None)
        self._groups = groups
        self._floor = floor.total_seconds()
        self._hashing = _Pool("argon2", threads, 64)
        self._asking = _Pool("login-directory", 8, 64)

    def close(self) -> None:
        """Give back the threads."""
        self._hashing.close()
        self._asking.close()

    async def check(self, login: str, password: str, ip: str, moment: datetime) -> Identity:
        """Whose login this is. Raises Refusal: 535 for wrong ones of every kind, 454 where nobody
        can tell or where too many were wrong.
        """
        started = time.monotonic()
        try:
            name = login_form(login)
        except ValueError:
            name = ""
        attempt = _Attempt(name, password, ip, moment)
        try:
            found = await self._hashing.run(lambda: self._in_file(attempt))
            if not found.known and self._directories:
                found = await self._asking.run(lambda: self._in_directories(attempt))
            if found.identity is not None:
                return await self._welcome(found.identity, found.account, attempt)
        except (PkiError, UsersFault) as error:
            log.error("login_cannot_tell", ip=ip, reason=str(error))
            raise Refusal(454, "4.7.0", "Temporary authentication failure") from error
        left = self._floor - (time.monotonic() - started)
        if left > 0:
            await asyncio.sleep(left)
        raise Refusal(535, "5.7.8", "Authentication credentials invalid")  # RFC 4954 §6

    async def named(self, login: str) -> Identity:
        """The identity behind a login that a front end has proved. Raises Refusal (451, 550)."""
        try:
            name = login_form(login)
        except ValueError:
            raise Refusal(550, "5.7.0", "This cannot be a login") from None
        try:
            return await self._asking.run(lambda: self._with_groups(self._named(name)))
        except (PkiError, UsersFault) as error:
            log.error("login_cannot_tell", reason=str(error))
            raise Refusal(451, "4.3.0", "Cannot look up this login now, try again later") from error

    # -- in threads ----------------------------------------------------------------------------

    # A wrong password is counted by the thread that found it wrong, before that takes the next one:
    # whoever sends many at once has no more tries than there are threads.

    def _in_file(self, attempt: _Attempt) -> _Found:
        self._not_too_often(attempt, attempt.name)
        found = self._by_file(attempt)
        if found.identity is None and (found.known or not self._directories):
            self._count(attempt, found)
        return found

    def _by_file(self, attempt: _Attempt) -> _Found:
        nobody = _Found(False, attempt.name)
        if self._users is None or self._passwords is None:
            return nobody
        user = self._users.find(attempt.name) if attempt.possible else None
        # Also for logins that are not there: it must take as long (RFC 4954 §9 wants no oracle).
        if not self._passwords.matches(None if user is None else user.hash, attempt.password):
            return nobody if user is None else _Found(True, user.login)
        assert user is not None
        if self._passwords.outdated(user.hash):
            self._renew(self._users.path, user, self._passwords.hash(attempt.password))
        return _Found(True, user.login, Identity("auth-file", user.login, user.addresses))

    def _in_directories(self, attempt: _Attempt) -> _Found:
        self._not_too_often(attempt, attempt.name)  # others may have failed while this one waited
        found = self._by_directories(attempt)
        if found.account != attempt.name:
            self._not_too_often(attempt, found.account)
        if found.identity is None:
            self._count(attempt, found)
        return found

    def _by_directories(self, attempt: _Attempt) -> _Found:
        if attempt.possible:
            for client in self._directories:
                entry, right = client.check(attempt.name, attempt.password)
                if entry is not None:
                    account = _form(entry, entry.dn.lower())
                    name = _form(entry, attempt.name)
                    identity = Identity("auth-ldap", name, entry.addresses) if right else None
                    return _Found(True, account, identity)
        return _Found(False, attempt.name)

    def _not_too_often(self, attempt: _Attempt, account: str) -> None:
        wait = self._throttle.wait(attempt.ip, account, attempt.moment)
        if wait:
            log.info("login_too_soon", ip=attempt.ip, seconds=round(wait.total_seconds()))
            raise Refusal(454, "4.7.0", "Too many failed logins, try again later")

    def _count(self, attempt: _Attempt, found: _Found) -> None:
        counts = self._throttle.failed(attempt.ip, found.account, attempt.moment)
        # What was typed is not logged but where it is a login: people type their password there.
        who = attempt.name if found.known else ""
        log.info("login_failed", ip=attempt.ip, login=who, failures=counts[0].failures)
        for count in counts:
            if count.wait:
                log.error(
                    "login_guessing",
                    subject=count.subject,
                    ip=attempt.ip,
                    login=who,
                    failures=count.failures,
                    wait=round(count.wait.total_seconds()),
                )

    async def _welcome(self, identity: Identity, account: str, attempt: _Attempt) -> Identity:
        await self._hashing.run(
            lambda: self._throttle.succeeded(attempt.ip, account, attempt.moment)
        )
        if self._groups is not None:
            identity = await self._asking.run(lambda: self._with_groups(identity))
        log.info("login", method=identity.method, login=identity.name, ip=attempt.ip)
        return identity

    def _renew(self, path: Path, user: User, stronger: str) -> None:
        try:
            if renew_hash(path, user, stronger):
                log.info("login_rehashed", login=user.login)
        except (OSError, UsersFault) as error:
            # The old hash still does; whoever may write the file can have it done by `sceau user`.
            log.warning("login_not_rehashed", login=user.login, reason=str(error))

    def _named(self, name: str) -> Identity:
        user = self._users.find(name) if self._users is not None else None
        if user is not None:
            return Identity("xclient", user.login, user.addresses)
        for client in self._directories:
            entry = client.find(name)
            if entry is not None:
                return Identity("xclient", _form(entry, name), entry.addresses)
        try:
            return Identity("xclient", name, (canonical(name),))
        except AddressError:
            return Identity("xclient", name)

    def _with_groups(self, identity: Identity) -> Identity:
        if self._groups is None:
            return identity
        names: set[str] = set()
        for address in identity.addresses:
            names |= self._groups.groups_of(address)
        return replace(identity, groups=frozenset(names))


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One try. name: in `login_form`, "" for what cannot be a login."""

    name: str
    password: str = field(repr=False)
    ip: str
    moment: datetime

    @property
    def possible(self) -> bool:
        """Whether a back-end may see it at all: an empty password binds as nobody, and succeeds."""
        return bool(self.name) and 0 < len(self.password) <= _LONGEST_PASSWORD


def _form(entry: Entry, asked: str) -> str:
    """The login as the directory writes it, in one form; what was asked for where that has none."""
    try:
        return login_form(entry.login)
    except ValueError:
        return asked
