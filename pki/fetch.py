"""Fetching of CRLs and OCSP responses over HTTP: the network is hostile (threats L8, L9).

`pki.crl` and `pki.ocsp` judge what came.

A fetch goes to listed hosts only, to addresses that were checked after resolution and to no other,
follows no redirect, and ends in time and size whatever the server does. Of several addresses the
first that takes a connection is asked, and no other one (`pki.reach`).
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pki.errors import FetchTrouble, problem
from pki.reach import LookUp, NoneReached, addresses_within, reach, resolve, seconds_left
from pki.unreached import told

IPAddress = IPv4Address | IPv6Address

_NAT64 = IPv6Network("64:ff9b::/96")
# All that is given out to anybody; outside of it lie site-local addresses (fec0::/10), IPv4 ones in
# forms that were given up (::a.b.c.d, ::ffff:0:a.b.c.d) and others that `is_global` lets pass.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_DOCUMENTATION = IPv6Network("3fff::/20")  # RFC 9637, younger than Python's list
_BLOCK = 64 * 1024
_BESIDE = 64 * 1024  # octets of an answer that are not its content
_HTTP = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class FetchRules:
    """Where fetches may go.

    hosts: "host:port", exact, lower-case. private: networks that are not public and may be reached
    all the same. time_limit: for everything from the look-up of the name to the last byte.
    ca: file of the CAs that servers behind TLS must have a certificate of; None: the system's.
    """

    hosts: frozenset[str]
    private: tuple[IPv4Network | IPv6Network, ...] = ()
    max_bytes: int = 64 * 1024 * 1024
    time_limit: timedelta = timedelta(seconds=10)
    ca: Path | None = None

    def tls(self) -> ssl.SSLContext:
        """For one connection, with the file as it is now. Raises OSError."""
        return ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))


@dataclass(frozen=True, slots=True)
class Post:
    """What is sent by POST. media_type: its Content-Type."""

    body: bytes
    media_type: str


def fetch(
    url: str,
    rules: FetchRules,
    *,
    look_up: LookUp = resolve,
    post: Post | None = None,
    media_type: str = "",
) -> bytes:
    """GET `url`, or POST to it, all of it within the limits. Raises FetchTrouble.

    look_up: name resolution. media_type: the answer must say that it is that. The time limit is
    one for all addresses of the host together, shared as `reach` says. Nothing is sent twice.
    """
    deadline = time.monotonic() + rules.time_limit.total_seconds()
    parts, host, port = checked_url(url, rules)
    try:
        addresses = checked_addresses(url, host, port, rules, look_up, deadline)
        with _connect(parts, addresses, port, deadline, rules) as connection:
            target = parts.path or "/"
            if parts.query:
                target += "?" + parts.query
            name = f"[{host}]" if ":" in host else host
            if port != _HTTP[parts.scheme]:
                name = f"{name}:{port}"
            request = (
                f"{'POST' if post else 'GET'} {target} HTTP/1.1\r\nHost: {name}\r\n"
                "Accept-Encoding: identity\r\nUser-Agent: sceau\r\nConnection: close\r\n"
            )
            if post is not None:
                request += f"Content-Type: {post.media_type}\r\n"
                request += f"Content-Length: {len(post.body)}\r\n"
            connection.settimeout(seconds_left(deadline))
            connection.sendall(f"{request}\r\n".encode("ascii") + (post.body if post else b""))
            return _read_answer(url, connection, rules, deadline, media_type)
    except NoneReached as error:
        raise trouble(url, "{detail}", detail=told(error)) from error
    except TimeoutError as error:
        raise trouble(
            url, "it took longer than {seconds} s", seconds=f"{rules.time_limit.total_seconds():g}"
        ) from error
    except OSError as error:
        raise trouble(url, "{detail}", detail=told(error)) from error
    # ValueError: of http.client, for a chunk of fewer than no octets.
    except (http.client.HTTPException, ValueError) as error:
        raise trouble(url, "the answer cannot be read ({detail})", detail=told(error)) from error


def is_allowed(url: str, rules: FetchRules) -> bool:
    """Whether a fetch of this URL would be tried at all."""
    try:
        checked_url(url, rules)
    except FetchTrouble:
        return False
    return True


def checked_url(
    url: str, rules: FetchRules, ports: Mapping[str, int] = _HTTP
) -> tuple[SplitResult, str, int]:
    """The parts of an acceptable URL, host and port. ports: schemes, with their default ports.

    No character that two parsers could read differently. Raises FetchTrouble.
    """
    if not url.isascii() or any(c <= " " or c in '\\"<>\x7f' for c in url):
        raise trouble(url, "the address has a blank or a forbidden character")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or ports.get(parts.scheme, 0)
    except ValueError as error:
        raise trouble(url, "it is not an address") from error
    if parts.scheme not in ports:
        schemes = " and ".join(f"{scheme}://" for scheme in ports)
        raise trouble(url, "only {schemes} are fetched", schemes=schemes)
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        raise trouble(url, "the address names a user or fragment, or no host")
    if f"{host}:{port}" not in rules.hosts:
        raise trouble(url, "{host} is not among the allowed hosts", host=f"{host}:{port}")
    return parts, host, port


def checked_addresses(
    url: str, host: str, port: int, rules: FetchRules, look_up: LookUp, deadline: float
) -> list[str]:
    """The addresses that may be connected to: all that the name has.

    A name that has a forbidden one beside them is refused as a whole. No honest host is at once
    out there and within; it is how a name is turned towards the inside (rebinding by several
    addresses: the first one is made to fail, and the next is asked). Passing over the forbidden
    one would leave the choice of the others with whoever wrote it there, and hide that he did.
    Raises FetchTrouble, OSError.
    """
    addresses = addresses_within(look_up, host, port, deadline)
    for address in addresses:
        if not _may_reach(ip_address(address.partition("%")[0]), rules):
            raise trouble(
                url,
                "{host} has the address {address}, which is not public; networks inside the house "
                "are named in pki.fetch.allow_private",
                host=host,
                address=address,
            )
    return addresses


def _may_reach(address: IPAddress, rules: FetchRules) -> bool:
    forms = _hidden_forms(address)
    return all(
        _is_public(form)
        or any(form.version == net.version and form in net for net in rules.private)
        for form in forms
    )


def _is_public(address: IPAddress) -> bool:
    if isinstance(address, IPv6Address) and (
        address not in _GLOBAL_UNICAST or address in _DOCUMENTATION
    ):
        return False
    return address.is_global and not address.is_multicast


def _hidden_forms(address: IPAddress) -> list[IPAddress]:
    """The address, or the IPv4 addresses that it stands for (mapped, NAT64, 6to4, Teredo)."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    forms: list[IPAddress] = [address]
    if address.sixtofour is not None:
        forms.append(address.sixtofour)
    if address.teredo is not None:
        forms.extend(address.teredo)
    return forms


def _connect(
    parts: SplitResult, addresses: list[str], port: int, deadline: float, rules: FetchRules
) -> socket.socket:
    """A connection to a checked address itself: no second look-up that could answer otherwise."""
    connection = reach(addresses, port, deadline)
    if parts.scheme == "http":
        return connection
    try:
        connection.settimeout(seconds_left(deadline))
        return rules.tls().wrap_socket(connection, server_hostname=parts.hostname)
    except BaseException:
        connection.close()
        raise


def _read_answer(
    url: str, connection: socket.socket, rules: FetchRules, deadline: float, media_type: str = ""
) -> bytes:
    reader: Any = _Reader(url, connection, rules, deadline)
    with http.client.HTTPResponse(reader, method="GET") as answer:
        answer.begin()
        if 300 <= answer.status < 400:
            raise trouble(url, "it redirects elsewhere, which is not followed")
        if answer.status != 200:
            raise trouble(url, "the server answered {status}", status=str(answer.status))
        encoding = ", ".join(answer.headers.get_all("Content-Encoding", [])).strip().lower()
        if encoding not in ("", "identity"):
            raise trouble(url, "the answer is encoded ({encoding})", encoding=encoding[:40])
        kind = answer.headers.get_content_type()
        if media_type and kind != media_type:
            raise trouble(
                url, "the answer is called {kind}, not {wanted}", kind=kind[:60], wanted=media_type
            )
        announced = answer.length
        if announced is not None and announced > rules.max_bytes:
            raise _too_large(url, rules)
        body = bytearray()
        while block := answer.read(min(_BLOCK, rules.max_bytes + 1 - len(body))):
            body += block
            if len(body) > rules.max_bytes:
                raise _too_large(url, rules)
    if announced is not None and len(body) != announced:
        raise trouble(url, "the answer is cut short")
    return bytes(body)


class _Reader(io.RawIOBase):
    """Reads from a socket until the deadline: a timeout per read would never end a slow drip.

    Nor more octets than an answer may have, framing and all: http.client takes a chunk of size -1
    for "all there is", and would hold whatever a server can send until then.
    """

    def __init__(
        self, url: str, connection: socket.socket, rules: FetchRules, deadline: float
    ) -> None:
        self._url = url
        self._connection = connection
        self._rules = rules
        self._deadline = deadline
        self._left = rules.max_bytes + rules.max_bytes // 8 + _BESIDE

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What http.client asks of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(seconds_left(self._deadline))
        came = self._connection.recv_into(buffer)
        self._left -= came
        if self._left < 0:
            raise _too_large(self._url, self._rules)
        return came


def _too_large(url: str, rules: FetchRules) -> FetchTrouble:
    return trouble(url, "it is larger than {limit} octets", limit=str(rules.max_bytes))


def trouble(url: str, why: str, /, **facts: str) -> FetchTrouble:
    """Why this was not fetched, the address shown in one short line."""
    shown = ascii(url)[1:-1][:200]
    return FetchTrouble(
        problem("limits.fetch", "{url} was not fetched: " + why, url=shown, **facts)
    )
