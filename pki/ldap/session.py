"""One logged-in connection to one server, and searches on it (RFC 4511)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pki.channel import Tls
from pki.directory import Directory
from pki.ldap import faults, wire
from pki.ldap.channel import Channel, open_channel
from pki.ldap.octets import TooMuch, WireFault
from pki.sentences import sentence

# Octets of one search, all its answers together: memory that a server can make us use.
MAX_OCTETS = 8_000_000
# Entries a page where paging is asked for, and how often a server may say that there is more.
PAGE = 200
_MAX_PAGES = 50


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked. limit: entries; one more is a fault, for what is left out may matter.

    may_be_absent: a base that is not there is an answer: no entry.
    """

    base: str
    filter: bytes
    attributes: tuple[str, ...]
    limit: int
    scope: int = wire.SUBTREE_SCOPE
    may_be_absent: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What came. referred: the server says that part of it lies on other servers."""

    entries: tuple[wire.Entry, ...]
    referred: bool


class Session:
    """Not thread-safe: its owner hands it to one thread at a time. Raises ServerFault.

    After a fault it must be closed: answers may still be on their way.
    """

    def __init__(
        self, directory: Directory, channel: Channel, *, max_octets: int = MAX_OCTETS
    ) -> None:
        self._directory = directory
        self._max_octets = max_octets
        self._channel = channel
        self._received = bytearray()
        self._number = 1  # 1 was StartTLS
        self._octets = 0
        self.idle_since = 0.0

    @classmethod
    def open(cls, directory: Directory, url: str, deadline: float) -> Session:
        """Connected, TLS up, logged in. deadline: monotonic seconds. Raises ServerFault."""
        tls = None
        secure = url.startswith("ldaps:") or directory.starttls
        if secure and directory.ca_file is not None:
            tls = Tls(directory.ca_file, directory.certificate_file, directory.key_file)
        with _faults(directory):
            channel = open_channel(url, tls=tls, starttls=directory.starttls, deadline=deadline)
        return cls.over(directory, channel, deadline)

    @classmethod
    def over(
        cls,
        directory: Directory,
        channel: Channel,
        deadline: float,
        *,
        max_octets: int = MAX_OCTETS,
    ) -> Session:
        """Logged in over a connection that is up, and closed if that fails. Raises ServerFault."""
        session = cls(directory, channel, max_octets=max_octets)
        try:
            session._log_in(deadline)
        except BaseException:
            channel.close()
            raise
        return session

    def _log_in(self, deadline: float) -> None:
        directory = self._directory
        number = self._next()
        with _faults(directory):
            if directory.external:
                request = wire.bind_external(number)
            else:
                request = wire.bind(number, directory.bind_dn, directory.password)
            self._channel.send(request, deadline)
            message = self._receive(number, deadline)
            if not isinstance(message.body, wire.Result):
                raise WireFault("it does not speak LDAP")
        if message.body.code != wire.SUCCESS:
            # A referral too: who would have us log in elsewhere gets no password from us.
            raise faults.of_result(directory, message.body, base="", limit=0)

    def search(self, search: Search, deadline: float) -> Found:
        """All entries, page by page where there can be many. Raises ServerFault."""
        entries: list[wire.Entry] = []
        referred = False
        paged = search.limit > PAGE
        cookie = b""
        self._octets = 0
        with _faults(self._directory):
            for _ in range(_MAX_PAGES):
                number = self._next()
                request = wire.search(
                    number,
                    search.base,
                    search.scope,
                    search.filter,
                    search.attributes,
                    size_limit=0 if paged else search.limit,
                    time_limit=max(math.ceil(deadline - time.monotonic()), 1),
                    page=(PAGE, cookie) if paged else None,
                )
                self._channel.send(request, deadline)
                for message in self._answers(number, deadline):
                    body = message.body
                    if isinstance(body, wire.Entry):
                        entries.append(body)
                        if len(entries) > search.limit:
                            raise faults.crowd(self._directory, search.limit)
                    elif isinstance(body, wire.Reference):
                        referred = True
                    elif search.may_be_absent and body.code == wire.NO_SUCH_OBJECT:
                        return Found((), referred)
                    elif body.code != wire.SUCCESS:
                        raise faults.of_result(
                            self._directory, body, base=search.base, limit=search.limit
                        )
                    else:
                        cookie = message.cookie or b""
                if not cookie:
                    return Found(tuple(entries), referred)
            raise TooMuch("the directory {directory} gave more than {limit} pages", _MAX_PAGES)

    def usable(self) -> bool:
        """Whether an idle connection still stands."""
        return not self._received and self._channel.quiet()

    def close(self) -> None:
        """Say goodbye if that costs no time; give the connection back."""
        try:
            self._channel.send(wire.unbind(self._next()), time.monotonic() + 0.05)
        except OSError:
            pass
        finally:
            self._channel.close()

    # Messages

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _answers(self, number: int, deadline: float) -> Iterator[wire.Message]:
        """Messages that answer one request; the last one is its Result."""
        while True:
            message = self._receive(number, deadline)
            yield message
            if isinstance(message.body, wire.Result):
                return

    def _receive(self, number: int, deadline: float) -> wire.Message:
        """The next message. Raises OSError, WireFault, TooMuch."""
        while True:
            length = wire.message_length(self._received, self._max_octets - self._octets)
            if length is None or len(self._received) < length:
                self._received += self._channel.receive(deadline)
                continue
            data = bytes(self._received[:length])
            del self._received[:length]
            self._octets += length
            if time.monotonic() > deadline:
                raise TimeoutError
            message = wire.read_message(data)
            if message is None:
                continue
            if message.id == 0:  # RFC 4511 §4.4.1: the server is about to close the connection
                raise ConnectionResetError(sentence("the server says goodbye"))
            if message.id != number:
                raise WireFault("it answers what nobody asked")
            return message


@contextmanager
def _faults(directory: Directory) -> Iterator[None]:
    try:
        yield
    except (OSError, WireFault, TooMuch) as error:
        raise faults.of_error(directory, error) from error
