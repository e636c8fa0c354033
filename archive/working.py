"""Working keys: one symmetric key a day, for the mail in flight, destroyed when its day is done.

A folder holds one file a day, `2026-11-21.key`, with 32 random bytes. Several processes may ask
for the key of a new day at once: each writes a file of its own, links it to the day's name, and
the link that was first is the key for all.

Whoever takes over a gateway reads what the keys in this folder still open. So wraps are erased as
soon as a mail is settled, and a key is destroyed when no wrap of its day is left.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from archive.errors import NotMine, Problem, WorkingKeyTrouble
from archive.models import log_working_wraps
from archive.pieces import pieces
from archive.wrap import KEY_SIZE, Wrap, bound, does_not_open

_ID = re.compile(r"(\d{4}-\d{2}-\d{2})-[0-9a-f]{16}", re.ASCII)
_NONCE_SIZE = 12
# A mail sealed with the old key a moment before midnight may be committed a little after it.
_GRACE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class WorkingKey:
    """The key of one day. id: the day and a hash of the key, "2026-11-21-0123456789abcdef"."""

    id: str
    _aead: AESGCM = field(repr=False, compare=False)

    @classmethod
    def of(cls, day: date, secret: bytes) -> WorkingKey:
        """The key with these 32 bytes."""
        fingerprint = hashlib.sha256(b"sceau/working/1\x00" + secret).hexdigest()[:16]
        return cls(f"{day.isoformat()}-{fingerprint}", AESGCM(secret))

    def wrap(self, archive_id: str, key: bytes) -> Wrap:
        """The content key under AES-256-GCM: random 12-byte nonce, then ciphertext and tag."""
        nonce = os.urandom(_NONCE_SIZE)
        about = bound("working", archive_id, self.id)
        return Wrap(self.id, nonce + self._aead.encrypt(nonce, key, about))

    def unwrap(self, archive_id: str, wrap: Wrap) -> bytes:
        """See `archive.wrap.Unwrapper`."""
        if wrap.holder != self.id:
            raise _not_mine(archive_id)
        nonce, wrapped = wrap.wrapped[:_NONCE_SIZE], wrap.wrapped[_NONCE_SIZE:]
        try:
            key = self._aead.decrypt(nonce, wrapped, bound("working", archive_id, self.id))
        except (InvalidTag, ValueError):
            raise does_not_open("the wrapped key", archive_id, self.id) from None
        if len(key) != KEY_SIZE:
            raise does_not_open("the wrapped key", archive_id, self.id)
        return key


class WorkingKeys:
    """The folder of working keys. Safe for several processes and threads at once."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if it is not there (mode 0700). Raises WorkingKeyTrouble."""
        self._folder = folder
        self._known: dict[str, WorkingKey] = {}
        try:
            if not folder.exists():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _sync(folder.parent)
            mode = folder.stat().st_mode
            # Not glob, which finds nothing in a file and says nothing of it.
            leftovers = [one for one in folder.iterdir() if one.name.startswith(".dying-")]
        except OSError as error:
            raise self._trouble("cannot be used: {why}", why=str(error)) from error
        if mode & 0o077:
            raise self._trouble("is open to other users; run chmod 700 on it")
        for leftover in leftovers:  # a process was killed in the middle of `destroy`
            _shred(leftover)

    def current(self, moment: datetime) -> WorkingKey:
        """The key of the day (UTC) of `moment`, made if there is none yet.

        On return the key is on disk for good: file and folder are synced, because what is wrapped
        to a key that a power cut takes away can be read by the authority alone.
        Raises WorkingKeyTrouble.
        """
        day = moment.astimezone(UTC).date()
        try:
            # The file is looked for each time: when a clock went back into a day whose key another
            # process has destroyed, nobody could open what is wrapped to the key remembered here.
            known = self._known.get(day.isoformat())
            if known is not None and self._is_there(day.isoformat()):
                return known
            key = self._load(day)
            if key is None:
                key = self._create(day)
            else:
                # Another process may have made it a moment ago and not have synced its name yet.
                # A mail is acknowledged before that may be: each process sees to it itself.
                self._sync_folder()
        except OSError as error:
            raise self._trouble("cannot be used: {why}", why=str(error)) from error
        self._known[day.isoformat()] = key
        return key

    def get(self, key_id: str) -> WorkingKey | None:
        """The key with this id, None if it was destroyed or never was. Raises WorkingKeyTrouble."""
        match = _ID.fullmatch(key_id)
        if match is None:
            return None
        day = match[1]
        if not self._is_there(day):  # another process may have destroyed it
            self._known.pop(day, None)
            return None
        known = self._known.get(day) or self._load(_day(day))
        if known is None:
            return None
        self._known[day] = known
        return known if known.id == key_id else None

    def ids(self) -> list[str]:
        """Ids of the keys in the folder, oldest first."""
        found = []
        for path in sorted(self._folder.glob("????-??-??.key")):
            key = self._load(_day(path.stem))
            if key is not None:
                found.append(key.id)
        return found

    def destroy(self, key_id: str) -> bool:
        """Destroy a key; False if it is not there. Raises OSError.

        The bytes are overwritten and the file removed. A disk that moves blocks around may keep a
        copy (flash, copy-on-write, snapshots): put the folder on an encrypted volume.
        """
        key = self.get(key_id)
        if key is None:
            return False
        day = key_id[:10]
        self._known.pop(day, None)
        dying = self._folder / f".dying-{day}"
        # Out of sight first: no process may read a key that is being overwritten.
        self._path(day).rename(dying)
        self._sync_folder()
        _shred(dying)
        self._sync_folder()
        return True

    def _is_there(self, day: str) -> bool:
        return os.path.exists(f"{self._folder}/{day}.key")  # noqa: PTH110 - a tenth of pathlib's time

    def _path(self, day: str) -> Path:
        return self._folder / f"{day}.key"

    def _load(self, day: date) -> WorkingKey | None:
        try:
            secret = self._path(day.isoformat()).read_bytes()
        except FileNotFoundError:
            return None
        if len(secret) != KEY_SIZE:
            raise self._trouble("has a broken file for {day}", day=day.isoformat())
        return WorkingKey.of(day, secret)

    def _create(self, day: date) -> WorkingKey:
        path = self._path(day.isoformat())
        new = self._folder / f".new-{secrets.token_hex(8)}"
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(os.urandom(KEY_SIZE))
                file.flush()
                os.fsync(file.fileno())
            # link fails if the name is taken, rename would replace the key of another process,
            # with which mail may be wrapped already.
            with suppress(FileExistsError):
                path.hardlink_to(new)
        finally:
            new.unlink(missing_ok=True)
        self._sync_folder()
        key = self._load(day)
        if key is None:
            raise self._trouble("lost the key of {day} while it was made", day=day.isoformat())
        return key

    def _sync_folder(self) -> None:
        _sync(self._folder)

    def _trouble(self, template: str, **facts: str) -> WorkingKeyTrouble:
        return WorkingKeyTrouble(
            Problem(
                "keys.working-folder",
                "the folder of working keys {folder} " + template,
                {"folder": str(self._folder), **facts},
            )
        )


class WorkingUnwrapper:
    """Opens what is wrapped to any working key still in the folder."""

    def __init__(self, keys: WorkingKeys) -> None:
        self._keys = keys

    def unwrap(self, archive_id: str, wrap: Wrap) -> bytes:
        """See `archive.wrap.Unwrapper`. A key that was destroyed is NotMine, not damage."""
        key = self._keys.get(wrap.holder)
        if key is None:
            raise _not_mine(archive_id)
        return key.unwrap(archive_id, wrap)


def erase_wraps(conn: sa.Connection, archive_ids: Iterable[str]) -> int:
    """Remove the working wraps of these mails; how many there were.

    For the keeper, once sealing, indexing and delivery of a mail are settled: from then on only
    the archive recipients open it.
    """
    erased = 0
    for piece in pieces(list(archive_ids)):
        done = conn.execute(
            sa.delete(log_working_wraps).where(log_working_wraps.c.archive_id.in_(piece))
        )
        erased += done.rowcount
    return erased


def settled_days(conn: sa.Connection, keys: WorkingKeys, moment: datetime) -> list[str]:
    """Ids of working keys that may be destroyed: their day is over and no wrap of theirs is left.

    Call it in the write transaction that erased the last wraps, or in a later one.
    """
    today = (moment.astimezone(UTC) - _GRACE).date()
    past = [key_id for key_id in keys.ids() if _day(key_id[:10]) < today]
    return [
        key_id
        for key_id in past
        if conn.execute(
            sa.select(sa.literal(1)).where(log_working_wraps.c.holder == key_id).limit(1)
        ).first()
        is None
    ]


def _not_mine(archive_id: str) -> NotMine:
    return NotMine(
        Problem(
            "seal.no-working-key",
            "no working key opens {id}: its wrap was erased or its key destroyed",
            {"id": archive_id},
        )
    )


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:  # no such day, so no such key
        return date.min


def _shred(path: Path) -> None:
    try:
        with path.open("r+b", buffering=0) as file:
            file.write(bytes(KEY_SIZE))
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
    path.unlink(missing_ok=True)
