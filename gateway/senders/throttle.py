"""Guessing passwords takes longer and longer: per network and per account, over all processes.

The counters are a table of fixed size in one file that every intake process of this machine maps
into its memory: nothing an attacker does makes it grow, a restart does not forgive him, and no
failed login costs a transaction of the database that takes the mail. Names are in it only as keyed
hashes. Machines of one installation count apart, so a guesser has his tries at each of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import mmap
import os
import secrets
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from gateway.clock import to_micros

_MAGIC = b"sceau/guessing/1"
_HEADER = struct.Struct("<16s32s16x")  # magic, secret of the hashes
_SLOT = struct.Struct("<16sqqIxxxx")  # key, last failure, no try before (microseconds), failures
_EMPTY = bytes(16)
_SETS, _WAYS = 4096, 8  # 32,768 counters, 1.3 MB
_SIZE = _HEADER.size + _SETS * _WAYS * _SLOT.size

# A login that was right from a network is believed to be its owner's for so long: somebody else's
# guessing at the account, from elsewhere, does not lock him out there.
_FAMILIAR = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Limits:
    """free: failures within `window` that cost nothing. After each further one nobody may try for
    `first_wait`, twice that, four times, … up to `longest_wait`. `window` without a failure
    forgets.
    """

    free: int = 5
    window: timedelta = timedelta(minutes=15)
    first_wait: timedelta = timedelta(seconds=2)
    longest_wait: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Count:
    """What a failure made of one counter. subject: "network" or "account"."""

    subject: str
    failures: int
    wait: timedelta


class Throttle:
    """The counters. All methods block for microseconds, and take the time as an argument.

    Raises OSError when the file cannot be made or mapped.
    """

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        # flock knows files, not threads.
        self._threads = threading.Lock()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with self._locked():
                if os.fstat(self._fd).st_size != _SIZE or os.pread(self._fd, 16, 0) != _MAGIC:
                    os.ftruncate(self._fd, 0)
                    os.ftruncate(self._fd, _SIZE)
                    os.pwrite(self._fd, _HEADER.pack(_MAGIC, secrets.token_bytes(32)), 0)
                self._map = mmap.mmap(self._fd, _SIZE)
                self._secret = _HEADER.unpack_from(self._map)[1]
        except BaseException:
            os.close(self._fd)
            raise

    def close(self) -> None:
        """Unmap; the counters stay in the file."""
        self._map.close()
        os.close(self._fd)

    def wait(self, ip: str, account: str, now: datetime) -> timedelta:
        """How long nobody at `ip` may try `account`; zero: now."""
        micros = to_micros(now)
        network, name, pair = self._keys(ip, account)
        with self._locked():
            until = self._until(network, micros)
            if not self._familiar(pair, micros):
                until = max(until, self._until(name, micros))
        return timedelta(microseconds=max(0, until - micros))

    def failed(self, ip: str, account: str, now: datetime) -> tuple[Count, Count]:
        """Count a wrong password for both; the counts of network and account."""
        micros = to_micros(now)
        network, name, _ = self._keys(ip, account)
        with self._locked():
            return self._add("network", network, micros), self._add("account", name, micros)

    def succeeded(self, ip: str, account: str, now: datetime) -> None:
        """Forget what the account had against it, and remember that it is used from there.

        Not what the network has: whoever has one password could try others for ever.
        """
        _, name, pair = self._keys(ip, account)
        with self._locked():
            at = self._find(name)
            if at is not None:
                self._map[at : at + _SLOT.size] = bytes(_SLOT.size)
            self._write(self._place(pair, to_micros(now)), pair, to_micros(now), 0, 0)

    # -- keys ----------------------------------------------------------------------------------

    def _keys(self, ip: str, account: str) -> tuple[bytes, bytes, bytes]:
        network = _network(ip)
        return (
            self._key(f"network {network}"),
            self._key(f"account {account}"),
            self._key(f"pair {network} {account}"),
        )

    def _key(self, text: str) -> bytes:
        # Keyed: nobody can choose names that push a given counter out of its set.
        return hashlib.blake2b(
            text.encode("utf-8", "replace"), digest_size=16, key=self._secret
        ).digest()

    # -- the table -----------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._threads:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _slots(self, key: bytes) -> range:
        start = _HEADER.size + int.from_bytes(key[:4], "little") % _SETS * _WAYS * _SLOT.size
        return range(start, start + _WAYS * _SLOT.size, _SLOT.size)

    def _find(self, key: bytes) -> int | None:
        for at in self._slots(key):
            if self._map[at : at + 16] == key:
                return at
        return None

    def _until(self, key: bytes, now: int) -> int:
        at = self._find(key)
        if at is None:
            return 0
        _, _, until, _ = _SLOT.unpack_from(self._map, at)
        # A clock that was put back must not close an account for the time of the jump.
        return min(int(until), now + _micros(self._limits.longest_wait))

    def _familiar(self, key: bytes, now: int) -> bool:
        at = self._find(key)
        return at is not None and now - int(_SLOT.unpack_from(self._map, at)[1]) < _micros(
            _FAMILIAR
        )

    def _add(self, subject: str, key: bytes, now: int) -> Count:
        at = self._find(key)
        failures = 1
        if at is None:
            at = self._place(key, now)
        else:
            _, last, until, before = _SLOT.unpack_from(self._map, at)
            if now - max(last, until) < _micros(self._limits.window):
                failures = min(before + 1, 2**32 - 1)
        wait = timedelta()
        over = failures - self._limits.free
        if over > 0:
            # 2**40 first waits are longer than any longest.
            wait = min(self._limits.first_wait * 2 ** min(over - 1, 40), self._limits.longest_wait)
        self._write(at, key, now, now + _micros(wait) if wait else 0, failures)
        return Count(subject, failures, wait)

    def _place(self, key: bytes, now: int) -> int:
        """A slot for a new key: its own, an empty one, else the one that says least.

        The fewest failures go first and among them the oldest: a flood of made-up names pushes out
        other made-up names, not the counter of an account that is being tried.
        """
        found = self._find(key)
        if found is not None:
            return found
        window = _micros(self._limits.window)

        def worth(at: int) -> tuple[bool, int, int]:
            name, last, until, failures = _SLOT.unpack_from(self._map, at)
            live = name != _EMPTY and now - max(last, until) < window
            return live, failures, last

        return min(self._slots(key), key=worth)

    def _write(self, at: int, key: bytes, last: int, until: int, failures: int) -> None:
        _SLOT.pack_into(self._map, at, key, last, until, failures)


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _network(ip: str) -> str:
    """An IPv4 address; of IPv6 the /64, since whoever has one address there has all of them."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
