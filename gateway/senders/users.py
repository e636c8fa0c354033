"""The users file: one line a login, `login:hash:address address…`. Read often, written safely.

It is written as a whole, beside itself, synced and moved into place, under a lock: a reader sees
the old file or the new one, and two writers do not undo each other.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.errors import SceauError
from gateway.senders.passwords import is_hash
from pki.addresses import canonical
from pki.errors import AddressError

_LOGIN = re.compile(r"[a-z0-9](?:[a-z0-9._+@-]{0,126}[a-z0-9])?\Z")
_HEADER = "# Logins of Sceau: login:hash:addresses. Written by `sceau user`; mode 0600.\n"
_LONGEST = 50_000_000

Users = dict[str, "User"]


@dataclass(frozen=True, slots=True)
class User:
    """One login. hash: PHC string of Argon2id. addresses: his own, canonical."""

    login: str
    hash: str
    addresses: tuple[str, ...]


class UsersFault(SceauError):
    """The file cannot be used as it is: nobody in it can log in, which is not "wrong password"."""


def login_form(text: str) -> str:
    """The one form of a login: NFKC, case folded. Raises ValueError for what cannot be one.

    Folded as LDAP compares (RFC 4518), so that writing a name another way gives neither another
    account to the throttle nor another name to a rule.
    """
    form = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    if not form or len(form.encode("utf-8", "replace")) > 255:
        raise ValueError("a login has 1 to 255 octets")
    if any(char == " " or not char.isprintable() for char in form):
        raise ValueError("a login has no blanks and no control characters")
    return form


def is_file_login(text: str) -> bool:
    """Whether `text` can stand in the file: small letters, digits, and . _ + - @ inside."""
    return _LOGIN.match(text) is not None


def read(path: Path) -> Users:
    """All users by login. Raises UsersFault for a file that others may read or write, or that
    has a line that is not right: half a list of users is none.
    """
    facts = {"file": str(path)}
    try:
        with path.open("rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise UsersFault("{file} is not a file", facts=facts)
            if info.st_mode & 0o077:
                raise UsersFault(
                    "{file} may be used by others (mode {mode})",
                    hint="take the rights of others away from it (chmod 600)",
                    facts={**facts, "mode": f"{stat.S_IMODE(info.st_mode):o}"},
                )
            data = file.read(_LONGEST + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsersFault(
            "{file} cannot be read: {reason}", facts={**facts, "reason": reason}
        ) from error
    if len(data) > _LONGEST:
        raise UsersFault("{file} is too large for a list of users", facts=facts)
    return _parsed(data, path)


def _parsed(data: bytes, path: Path) -> Users:
    users: Users = {}
    for number, line in enumerate(data.split(b"\n"), start=1):
        facts = {"file": str(path), "line": str(number)}
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            raise UsersFault("{file}:{line}: this line is not UTF-8", facts=facts) from None
        if not text.strip() or text.startswith("#"):
            continue
        parts = text.split(":", 2)
        if len(parts) != 3:
            raise UsersFault(
                "{file}:{line}: a line is login:hash:addresses",
                hint="sceau user add writes it",
                facts=facts,
            )
        login, stored, addresses = parts
        if not is_file_login(login):
            raise UsersFault("{file}:{line}: the login cannot be used", facts=facts)
        if not is_hash(stored):
            raise UsersFault("{file}:{line}: the hash is not one of Argon2id", facts=facts)
        if login in users:
            raise UsersFault("{file}:{line}: this login stands there twice", facts=facts)
        try:
            own = tuple(dict.fromkeys(canonical(one) for one in addresses.split()))
        except AddressError:
            raise UsersFault("{file}:{line}: an address cannot be used", facts=facts) from None
        users[login] = User(login, stored, own)
    return users


def change(path: Path, act: Callable[[Users], Users]) -> Users:
    """Replace the users by what `act` makes of them; the file is made if there is none.

    Returns them. Raises UsersFault, OSError, and what `act` raises: then nothing is changed.
    """
    with _locked(path):
        users = act(read(path) if path.exists() else {})
        _write(path, users)
        return users


def renew_hash(path: Path, user: User, new: str) -> bool:
    """Put a stronger hash in the place of `user.hash`, unless the line has changed meanwhile."""
    done = False

    def act(users: Users) -> Users:
        nonlocal done
        if users.get(user.login) == user:
            users[user.login] = replace(user, hash=new)
            done = True
        return users

    change(path, act)
    return done


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # A lock on the file itself would be on the old one once it was replaced.
    descriptor = os.open(path.parent / f".{path.name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _as_owner(descriptor, path)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, users: Users) -> None:
    lines = [f"{u.login}:{u.hash}:{' '.join(u.addresses)}\n" for _, u in sorted(users.items())]
    beside = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            os.fchmod(descriptor, 0o600)
            _as_owner(descriptor, path)
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write((_HEADER + "".join(lines)).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _as_owner(descriptor: int, path: Path) -> None:
    """Written by root, the file must still be the service's: its owner, or the folder's."""
    owner = (path if path.exists() else path.parent).stat()
    if os.geteuid() == 0:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


class UsersFile:
    """The file as a running gateway sees it: read anew when it was replaced. Thread-safe enough:
    what is replaced is one reference.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._users: Users = {}

    def find(self, login: str) -> User | None:
        """The user of that login (in `login_form`). Raises UsersFault."""
        try:
            info = self.path.stat()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UsersFault(
                "{file} cannot be read: {reason}",
                facts={"file": str(self.path), "reason": reason},
            ) from error
        # The time of the last change of any kind: of its mode, too.
        now = (info.st_ino, info.st_ctime_ns, info.st_size)
        if now != self._seen:
            self._users = read(self.path)
            self._seen = now
        return self._users.get(login)
